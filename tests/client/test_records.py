"""Flower's records as bytes: one form, read back as they were, and nothing else is taken."""

import contextlib
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
from flwr import app

from client import errors, records

REALS = st.floats(allow_nan=False)
NAMES = st.text(max_size=8)
METRICS = st.dictionaries(
    NAMES, st.integers() | REALS | st.lists(st.integers(), min_size=1) | st.lists(REALS, min_size=1)
)
CONFIGS = st.dictionaries(
    NAMES, st.booleans() | st.integers() | REALS | st.text() | st.binary() | st.lists(st.text(), min_size=1)
)


@given(METRICS, CONFIGS, st.lists(st.integers(0, 5), max_size=3))
def test_records_are_read_back_as_they_were(metrics: dict, config: dict, shape: list[int]) -> None:
    """Values, types, names and their order."""
    array = app.Array(np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
    content = app.RecordDict(
        {"m": app.MetricRecord(metrics), "a": app.ArrayRecord({"w": array}), "c": app.ConfigRecord(config)}
    )
    data = records.encode(content)
    again = records.decode(data)
    assert again == content
    assert list(again) == ["m", "a", "c"]
    assert [type(each) for each in again["m"].values()] == [type(each) for each in metrics.values()]
    assert records.encode(again) == data


def test_a_copy_is_somebody_elses() -> None:
    """What one client does to its message, no other sees: arrays, lists and names of it are its own."""
    content = app.RecordDict(
        {
            "a": app.ArrayRecord({"w": app.Array(np.zeros(2))}),
            "m": app.MetricRecord({"losses": [1.0, 2.0]}),
            "c": app.ConfigRecord({"names": ["a"], "lr": 0.5}),
        }
    )
    before = records.encode(content)
    copy = records.copied(content)
    assert records.encode(copy) == before
    copy["a"]["w"].data = b"other"
    copy["a"]["v"] = app.Array(np.ones(1))
    copy["m"]["losses"].append(3.0)
    copy["c"]["names"].append("b")
    copy["c"]["lr"] = 0.1
    del copy["m"]
    assert records.encode(content) == before


@given(st.data())
def test_other_bytes_are_refused_or_are_another_content(data: st.DataObject) -> None:
    """A byte changed is never read as the same records, and no byte makes it fail otherwise than with RecordsError."""
    content = app.RecordDict(
        {"c": app.ConfigRecord({"lr": 0.5, "n": 3}), "a": app.ArrayRecord({"w": app.Array(np.zeros(2))})}
    )
    file = bytearray(records.encode(content))
    place = data.draw(st.integers(0, len(file) - 1))
    file[place] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(errors.RecordsError):
        assert records.encode(records.decode(bytes(file))) == bytes(file)


@pytest.mark.parametrize("file", [b"", b"folkmoot-records/v1\n" + (10**9).to_bytes(8, "little")])
def test_what_is_cut_short_is_refused(file: bytes) -> None:
    """A length that lies allocates nothing."""
    with pytest.raises(errors.RecordsError, match="expected"):
        records.decode(file)
