"""The console blocks of the README, and of other documents: run them, compare, or write what they print.

A block opens with three backticks and `console`; a line that begins with `$ ` is a command, the lines below it what it prints.
`...` alone on a line stands for any lines. Commands run one after the other in one empty folder. Blocks that have a name are
terminals of several people (tests.terminals), in another folder.

    python -m tests.readme README.md docs/exchange.md docs/federation.md     run all, and write their output into the files
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests import terminals

BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
HEAD, TAIL = 9, 23
REST = "..."
TOLERANCE = 0.1


def run(command: str, folder: Path) -> str:
    """What a command prints, errors included."""
    here = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "FOLKMOOT_STATE": str(folder / ".state")}
    environment = os.environ | here | {"COLUMNS": "120"}
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    result = subprocess.run(command, shell=True, cwd=folder, env=environment, text=True, check=False, **both)
    return "\n".join(line.rstrip() for line in result.stdout.splitlines())


def commands(text: str) -> list[tuple[str, str]]:
    """Each command in `text` with the output that the text gives it."""
    found = []
    for block in BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output.rstrip("\n")))
    return found


def shorten(output: str, shown: str = "") -> str:
    """The first and last lines of a long output; as many as are `shown` where the document leaves others out itself."""
    lines, wanted = output.splitlines(), shown.splitlines()
    head, tail = HEAD, TAIL
    if REST in wanted:
        head = wanted.index(REST)
        tail = len(wanted) - head - 1
    return output if len(lines) <= head + tail else "\n".join([*lines[:head], REST, *lines[len(lines) - tail :]])


def difference(expected: str, printed: str) -> str | None:
    """The first line that the README has otherwise, or None.

    Hashes differ from run to run, and seconds (numbers with one or two decimals) too; measurements with more decimals may
    differ a little between processors. All else is exact.
    """
    wanted = expected.splitlines()
    got = printed.splitlines()
    if REST in wanted:
        cut = wanted.index(REST)
        tail = wanted[cut + 1 :]
        if len(got) < cut + len(tail):
            return f"expected at least {cut + len(tail)} lines, got {len(got)}"
        wanted, got = [*wanted[:cut], *tail], [*got[:cut], *got[len(got) - len(tail) :]]
    if len(wanted) != len(got):
        return f"expected {len(wanted)} lines, got {len(got)}:\n{printed}"
    for want, have in zip(wanted, got, strict=True):
        if not _alike(want, have):
            return f"expected {want!r}, got {have!r}"
    return None


def _alike(want: str, have: str) -> bool:
    first, second = _masked(want).split(), _masked(have).split()
    return len(first) == len(second) and all(_same(a, b) for a, b in zip(first, second, strict=True))


def _masked(line: str) -> str:
    line = re.sub(r"(SHA256:[A-Za-z0-9+/]{43}|\bfolkmoot/[A-Za-z0-9_-]{43})", "FINGERPRINT", line)
    line = re.sub(r"\bssh-ed25519 AAAA\S+", "KEY", line)
    line = re.sub(r"\b\d\d:\d\d:\d\d\b", "TIME", re.sub(r"\b20\d\d-\d\d-\d\d\b", "DATE", line))
    # How often the coordinator signs while offers come in is a matter of moments.
    line = re.sub(r"^roots +\d+$", "roots SOME", line)
    return re.sub(r"\bbaf[a-z2-7]{56}\b", "CID", re.sub(r"\b[0-9a-f]{64}\b", "HASH", line))


def _same(want: str, have: str) -> bool:
    number = re.compile(r"-?\d+\.(\d+),?")
    first, second = number.fullmatch(want), number.fullmatch(have)
    if first is None or second is None:
        return want == have
    if len(first.group(1)) <= 2:
        return len(second.group(1)) == len(first.group(1))
    return abs(float(want.rstrip(",")) - float(have.rstrip(","))) <= TOLERANCE


def rerun(text: str) -> str:
    """The text with what its commands print."""
    with tempfile.TemporaryDirectory() as folder:

        def again(block: re.Match[str]) -> str:
            parts = []
            for command, _ in commands(block.group(0)):
                output = shorten(run(command, Path(folder)))
                parts.append(f"$ {command}\n{output}\n" if output else f"$ {command}\n")
            return "```console\n" + "".join(parts) + "```"

        return BLOCK.sub(again, text)


def replay(text: str) -> str:
    """The text with what is printed in its terminals."""
    with tempfile.TemporaryDirectory() as folder:
        printed = iter(terminals.play(terminals.typed(text), Path(folder)))

    def again(block: re.Match[str]) -> str:
        parts = []
        for each in terminals.typed(block.group(0)):
            output = shorten(next(printed), each.output)
            parts.append(f"$ {each.command}\n{output}\n" if output else f"$ {each.command}\n")
        return f"```console {block.group(1)}\n" + "".join(parts) + "```"

    return terminals.BLOCK.sub(again, text)


def main(path: Path) -> None:
    """Run every command of the file and write what it prints below it."""
    path.write_text(replay(rerun(path.read_text())))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        main(Path(name))
