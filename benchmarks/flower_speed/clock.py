"""CPU seconds and peak memory of a process with all that it started, from /proc: Ray's workers too."""

import os
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def tree() -> list[int]:
    """This process and its descendants."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            fields = _stat(int(path.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(path.name))
    found = [os.getpid()]
    for each in found:
        found.extend(children.get(each, []))
    return found


def now() -> tuple[float, float]:
    """CPU seconds so far of all of them, with what ended and was waited for; and wall seconds."""
    ticks = sum(sum(map(int, fields[11:15])) for fields in map(_stat, tree()) if fields)
    return ticks / TICK, time.perf_counter()


def peak() -> float:
    """The sum of their greatest resident sizes so far, in MB."""
    total = 0
    for each in tree():
        try:
            lines = Path(f"/proc/{each}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return total / 1000


def _stat(number: int) -> list[str]:
    """Fields of /proc/N/stat after the name; empty where the process is gone."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
