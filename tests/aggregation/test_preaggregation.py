"""The grammar of pre-aggregations."""

import pytest

from aggregation import errors, preaggregation


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("none", []),
        ("nnm", [("nnm", 0)]),
        ("bucketing", [("bucketing", 2)]),
        ("bucketing:12+arc+nnm", [("bucketing", 12), ("arc", 0), ("nnm", 0)]),
        ("clip:900+nnm", [("clip", 900), ("nnm", 0)]),
    ],
)
def test_a_text_is_its_steps_in_order(text, steps):
    assert [(step.name, step.value) for step in preaggregation.parse(text)] == steps


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown pre-aggregation ''"),
        ("none+nnm", "unknown pre-aggregation 'none'"),
        ("nnm+", "unknown pre-aggregation ''"),
        ("NNM", "unknown pre-aggregation 'NNM'"),
        ("bucketing:0", "unknown pre-aggregation 'bucketing:0'"),
        ("bucketing:02", "unknown pre-aggregation 'bucketing:02'"),
        ("bucketing:1234567890", "unknown pre-aggregation"),
        ("nnm:3", "nnm takes no number"),
        ("clip", "expected a number, as in clip:1000"),
        ("arc+nnm+arc", "expected each step at most once"),
        ("standing+nnm", "expected it first"),
        ("nnm\n", "unknown pre-aggregation"),
    ],
)
def test_anything_else_is_refused_by_name(text, message):
    with pytest.raises(errors.RuleError) as caught:
        preaggregation.parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("nnm", (False, "nnm")),
        ("standing", (True, "none")),
        ("standing+arc+nnm", (True, "arc+nnm")),
        ("none", (False, "none")),
    ],
)
def test_standing_comes_first_and_apart(text, wanted):
    assert preaggregation.screened(text) == wanted


@pytest.mark.parametrize("text", ["standing+", "standing+none"])
def test_standing_has_one_spelling(text):
    with pytest.raises(errors.RuleError, match="expected standing alone, or steps behind it"):
        preaggregation.screened(text)
