"""When the rounds of a run were committed."""

import itertools
import os
import time
from pathlib import Path

from orchestrator import listener


class Clock:
    """A listener that notes CPU and wall time at each commit."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []
        self.ages: list[float] = []

    def opened(self, number: int, total: int) -> None:
        """Nothing to note."""

    def answered(self, reply: object) -> None:
        """Nothing to note."""

    def committed(self, report: listener.RoundReport) -> None:  # noqa: ARG002  a listener's signature
        """Note the time."""
        self.mark()

    def mark(self) -> None:
        """Note the time."""
        self.marks.append((time.process_time(), time.perf_counter()))
        self.ages.append(age())

    def per_round(self) -> tuple[float, float]:
        """CPU and wall seconds between the first mark and the last, by round."""
        (cpu, wall), (last_cpu, last_wall) = self.marks[0], self.marks[-1]
        rounds = len(self.marks) - 1
        return (last_cpu - cpu) / rounds, (last_wall - wall) / rounds

    def walls(self) -> list[float]:
        """Wall seconds of each round after the first mark."""
        return [after - before for (_, before), (_, after) in itertools.pairwise(self.marks)]


def age() -> float:
    """Wall seconds since this process began, to 10 ms."""
    began = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return float(Path("/proc/uptime").read_text().split()[0]) - began
