"""examples/flower: its README's commands print what it shows."""

import shutil
from pathlib import Path

import pytest

from tests import readme

EXAMPLE = Path(__file__).parents[1] / "examples" / "flower"
COMMANDS = readme.commands((EXAMPLE / "README.md").read_text())
OURS = [each for each in COMMANDS if "plain.py" not in each[0] and "robust.py" not in each[0]]


def compare(commands: list[tuple[str, str]], folder: Path) -> None:
    shutil.copytree(EXAMPLE, folder / "flower", ignore=shutil.ignore_patterns("runs", "__pycache__"))
    for command, expected in commands:
        difference = readme.difference(expected, readme.run(command, folder / "flower"))
        assert difference is None, f"$ {command}\n{difference}"


def test_the_third_way_prints_what_its_page_shows(tmp_path: Path) -> None:
    """The app on our grid, audited, and as a holder's trainer."""
    assert len(OURS) == 3
    compare(OURS, tmp_path)


@pytest.mark.chaos
def test_the_ways_on_flowers_engine_print_what_its_page_shows(tmp_path: Path) -> None:
    """Plain Flower, and our strategy in it, on Flower's engine with its own start of Ray: minutes."""
    compare([each for each in COMMANDS if each not in OURS], tmp_path)
