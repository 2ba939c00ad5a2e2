"""The README tells the truth: its commands print what it says they print."""

import contextlib
import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from tests import readme

README = Path(__file__).parents[1] / "README.md"


def test_its_commands_print_what_it_shows(tmp_path: Path) -> None:
    """Every console block, in order, in one empty folder."""
    found = readme.commands(README.read_text())
    assert len(found) >= 6
    for command, expected in found:
        assert expected, f"{command}: run `make readme`"
        difference = readme.difference(expected, readme.run(command, tmp_path))
        assert difference is None, f"$ {command}\n{difference}"


def test_the_commands_of_the_exchange_print_what_its_page_shows(tmp_path: Path) -> None:
    """Every console block of docs/exchange.md, in order, in one empty folder; some show nothing."""
    for program in ("age", "curl"):
        if shutil.which(program) is None:
            if os.environ.get("FOLKMOOT_REQUIRE_SERVERS") == "1":
                pytest.fail(f"FOLKMOOT_REQUIRE_SERVERS=1, and there is no {program}")
            pytest.skip(f"there is no {program}")
    found = readme.commands((README.parent / "docs" / "exchange.md").read_text())
    assert len(found) >= 30
    try:
        for command, expected in found:
            difference = readme.difference(expected, readme.run(command, tmp_path))
            assert difference is None, f"$ {command}\n{difference}"
    finally:
        served = tmp_path / "served.pid"
        if served.exists():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(served.read_text()), signal.SIGKILL)


def test_the_commands_of_an_audit_print_what_its_page_shows(tmp_path: Path) -> None:
    """Every console block of docs/audit.md, in order, in one empty folder; some show nothing."""
    found = readme.commands((README.parent / "docs" / "audit.md").read_text())
    assert len(found) >= 13
    for command, expected in found:
        difference = readme.difference(expected, readme.run(command, tmp_path))
        assert difference is None, f"$ {command}\n{difference}"


def test_its_links_lead_somewhere() -> None:
    """Every relative link of every document names a file that is there."""
    for document in [*README.parent.glob("*.md"), *(README.parent / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if not target.startswith("http"):
                assert (document.parent / target).exists(), f"{document.name} links to {target}"


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("a 1", "a 2"),
        ("accuracy 0.9639", "accuracy 0.7639"),
        ("a\n...\nz", "a\nb\ny"),
        ("a", "a\nb"),
        ("checkpoint CID", "checkpoint"),
    ],
)
def test_the_comparison_can_fail(expected: str, printed: str) -> None:
    """What must be the same is compared: counts, words, lines, and measurements up to a tolerance."""
    assert readme.difference(expected, printed) is not None


def test_the_comparison_lets_time_and_hashes_pass() -> None:
    """Seconds and hashes differ between two honest runs."""
    first = f"round 3 took 0.12 s, {'0' * 64}, 0.9639\n...\nend"
    second = f"round 3 took 9.99 s, {'f' * 64}, 0.9711\nx\ny\nend"
    assert readme.difference(first, second) is None
