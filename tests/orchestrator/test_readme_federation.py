"""The federations of README and docs/federation.md are what people see who type what is shown, each in a terminal of their own.

In the README a coordinator, two holders of the task's own data and one with a CSV; in the guide one holder
that is invited, looks first, and is asked, and one with a registered key.
"""

from pathlib import Path

import pytest

from tests import readme, terminals

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("document", "people"),
    [
        ("README.md", {"coordinator", "ann", "bo", "cleo"}),
        ("docs/federation.md", {"coordinator", "desk", "dora", "ward"}),
    ],
)
def test_people_who_type_what_it_shows_see_what_it_shows(document: str, people: set[str], tmp_path: Path) -> None:
    """Each command is a process of its own on a terminal, ends well, and prints what stands below it."""
    script = terminals.typed((ROOT / document).read_text())
    assert {each.terminal for each in script} == people
    for each, printed in zip(script, terminals.play(script, tmp_path), strict=True):
        difference = readme.difference(each.output, printed)
        assert difference is None, f"{each.terminal} $ {each.command}\n{difference}"
