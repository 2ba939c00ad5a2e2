"""docs/data.md: its example does what the page says."""

import re
import shlex
from pathlib import Path

import pytest

from client import errors, taskkinds
from client.data import batches, card, delimited, files, npz, pictures, text
from client.tasks import catalogue
from orchestrator import config

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text()
BLOCKS = dict(re.findall(r"^```(?:csv |text )?([\w.]+)\n(.*?)\n```$", PAGE, re.DOTALL | re.MULTILINE))


def test_the_example_does_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command founds such a run, the table is read for it, and its card and its refusal are those of the page."""
    monkeypatch.chdir(tmp_path)
    for name in ("test.csv", "ward.csv"):
        Path(name).write_text(BLOCKS[name] + "\n")
    command = shlex.split(BLOCKS["console"])
    assert command[:2] == ["folkmoot", "run"]
    chosen = config.compose(command[2:])
    made = catalogue.load(chosen.plan.task, seed=chosen.plan.seed)
    examples = files.read(Path("ward.csv"), made)
    assert card.describe(examples, made).text == BLOCKS["card"]
    assert examples.inputs[0].tolist() == [1.0, 1.0]
    Path("ward.csv").write_text(BLOCKS["ward.csv"].replace("ill,145,70", "ill,high,70"))
    with pytest.raises(errors.DataError) as caught:
        files.read(Path("ward.csv"), made)
    assert str(caught.value) == BLOCKS["refusal"]


def test_the_pages_limits_and_names_are_the_codes() -> None:
    """Each number and suffix stands on the page as the code has it, and each task is in its table."""
    for said in (
        f"{delimited.LINE:,} bytes",
        f"{pictures.SIDE:,} pixels",
        f"{pictures.BYTES // 2**20} MiB a file",
        f"{text.BYTES // 2**20} MiB a file",
        f"{files.LIMIT // 2**30} GiB of memory",
        f"{batches.ROWS:,} examples",
        *(f"`{name}`: " for name in npz.ARRAYS),
        *(f"`{suffix}`" for suffix in text.SUFFIXES),
        *(f"\n| `{name}` | " for name in taskkinds.KINDS),
    ):
        assert said in PAGE
