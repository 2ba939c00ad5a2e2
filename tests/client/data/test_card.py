"""The data card: what is there, and no value of it."""

import json
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from client import task
from client.data import card, files, schema
from tests.client.data import holdings

WARD = holdings.made(holdings.WARD)
CARD = """\
task      ward
examples  113
inputs    2 columns: age, pressure
label     class
classes   well: 100 to 999, ill: 1 to 9"""


def described(folder: Path, values: np.ndarray, labels: list[str]) -> card.Card:
    return card.describe(files.read(holdings.write(folder, ".csv", holdings.WARD, values, labels), WARD), WARD)


def test_the_card_says_what_is_there(tmp_path: Path) -> None:
    """For people a line for each thing; for programs the same as JSON."""
    found = described(tmp_path, np.zeros((113, 2)), ["ill"] * 9 + ["well"] * 104)
    assert found.text == CARD
    assert found.to_record() == {
        "task": "ward",
        "examples": 113,
        "columns": ["age", "pressure"],
        "label": "class",
        "shape": [2],
        "classes": {"well": "100 to 999", "ill": "1 to 9"},
    }


def test_the_card_has_no_value(tmp_path: Path) -> None:
    """Neither a cell nor what scaling makes of it, nor an exact count of a class."""
    found = described(tmp_path, np.full((1234, 2), [47.1371, 6543.75]), ["ill"] * 417 + ["well"] * 817)
    for text in (found.text, json.dumps(found.to_record())):
        for value in ("47.1", "-0.14", "6543", "256.95", "417", "817"):
            assert value not in text


@given(st.integers(0, 10**9))
def test_a_range_holds_its_number_and_begins_and_ends_with_its_digits(count: int) -> None:
    """From a power of ten to the number before the next; nothing but 0 is exact."""
    low, _, high = card.count_range(count).replace(",", "").partition(" to ")
    assert (low, high) == ("0", "") if count == 0 else int(low) <= count <= int(high)
    assert count == 0 or (int(high) + 1 == 10 * int(low) and set(low) <= {"1", "0"})


def test_a_card_of_text_has_neither_columns_nor_classes(tmp_path: Path) -> None:
    """Bytes are not classes that anybody counts."""
    (tmp_path / "a.txt").write_text("a secret text")
    made = holdings.made(schema.Text(window=4, stride=1))
    found = card.describe(files.read(tmp_path, made), made)
    assert found.text == "task      ward\nexamples  9\ninputs    4 bytes of text"
    assert found.to_record()["classes"] == {}


def test_many_columns_are_named_in_the_record_alone(tmp_path: Path) -> None:
    """For people the first four."""
    made = holdings.made(holdings.TINY)
    table = holdings.write(tmp_path, ".npz", holdings.TINY, np.zeros((1, 6)), ["cat"])
    found = card.describe(files.read(table, made), made)
    assert "6 columns: pixel_0_0, pixel_0_1, pixel_0_2, pixel_1_0, ...\n" in found.text
    assert found.to_record()["columns"] == list(holdings.TINY.columns)
    assert isinstance(made, task.Task)
