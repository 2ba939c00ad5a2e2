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
        ("clip:900+clip:1", [("clip", 900), ("clip", 1)]),
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
        ("arc+arc+arc+arc+arc", "has 5 steps: expected at most 4"),
        ("nnm\n", "unknown pre-aggregation"),
    ],
)
def test_anything_else_is_refused_by_name(text, message):
    with pytest.raises(errors.RuleError) as caught:
        preaggregation.parse(text)
    assert message in str(caught.value)
