"""Refusals."""

import pickle

import pytest

from ledger import errors


@pytest.mark.parametrize(
    ("error", "attribute", "value", "text"),
    [
        (errors.StatementError("too long", code="too-large"), "code", "too-large", "too long"),
        (errors.HistoryError("wrong-round", "round 3"), "reason", "wrong-round", "wrong-round: round 3"),
        (errors.CorruptError("torn", seq=7), "seq", 7, "entry 7: torn"),
        (errors.CorruptError("torn"), "seq", None, "torn"),
    ],
)
def test_a_refusal_keeps_its_code_and_its_words_across_processes(error, attribute, value, text):
    """A worker's error arrives at the coordinator as it was raised: type, code and message."""
    for same in (error, pickle.loads(pickle.dumps(error))):
        assert type(same) is type(error)
        assert getattr(same, attribute) == value
        assert str(same) == text
