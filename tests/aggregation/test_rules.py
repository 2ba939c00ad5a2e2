"""The table of rules: what each needs, and what is refused before anything is computed."""

import pytest
import torch

from aggregation import errors, preaggregation, recipe, rules


@pytest.mark.parametrize(
    ("rule", "pre", "clients", "byzantine", "message"),
    [
        ("trimmed_mean", "none", 10, 5, "needs at least 11 holders, got 10: lower rule.byzantine to 4 or add holders"),
        ("median", "nnm", 4, 2, "needs at least 5 holders, got 4: lower rule.byzantine to 1 or add holders"),
        ("krum", "none", 2, 0, "needs at least 3 holders, got 2: add holders"),
        ("multi_krum", "nnm", 8, 3, "needs at least 9 holders, got 8: lower rule.byzantine to 2 or add holders"),
        (
            "median",
            "none",
            3,
            10**9,
            "needs at least 2000000001 holders, got 3: lower rule.byzantine to 1 or add holders",
        ),
        ("mean", "none", 0, 0, "needs at least 1 holders, got 0: add holders"),
        ("bulyan", "none", 10, 2, "needs at least 11 holders, got 10: lower rule.byzantine to 1 or add holders"),
        ("median", "bucketing:3", 12, 2, "needs at least 13 holders, got 12: lower rule.byzantine to 1 or add holders"),
        ("mean", "bucketing:3+nnm", 9, 0, None),
    ],
)
def test_too_few_holders_are_refused_with_what_would_do(rule, pre, clients, byzantine, message):
    """Buckets count as one holder each, whoever is in them: one Byzantine holder spoils one."""
    if message is None:
        rules.check(rule, pre, clients, byzantine)
        return
    with pytest.raises(errors.TooFewError) as caught:
        rules.check(rule, pre, clients, byzantine)
    name = rule if pre == "none" else f"{pre} + {rule}"
    assert str(caught.value) == f"{name} with {byzantine} Byzantine holders {message}"
    assert caught.value.code == "rule-refused"


@pytest.mark.parametrize(
    ("rule", "pre", "byzantine", "message"),
    [
        (
            "mean",
            "none",
            1,
            "mean withstands no Byzantine holder, got 1: set rule.byzantine to 0 or choose another rule",
        ),
        ("mean", "none", -1, "-1 Byzantine holders: expected 0 or more"),
        ("avg", "none", 0, f"unknown rule 'avg': expected one of {', '.join(rules.RULES)}"),
        (
            "mean",
            "bucket",
            0,
            "unknown pre-aggregation 'bucket': expected none, arc, bucketing, clip, nnm, or several joined by +",
        ),
    ],
)
def test_a_plan_that_cannot_work_is_refused_before_anything_is_computed(rule, pre, byzantine, message):
    with pytest.raises(errors.RuleError) as caught:
        rules.check(rule, pre, 9, byzantine)
    assert str(caught.value) == message


@pytest.mark.parametrize("rule", ["smea", "mda"])
def test_a_rule_that_would_take_for_ever_is_refused(rule):
    """51 of 200 Byzantine: more subsets than any machine looks at."""
    with pytest.raises(errors.RuleError, match=r"C\(200, 51\) = .* subsets.*lower rule\.byzantine"):
        rules.check(rule, "none", 200, 51)


@pytest.mark.parametrize("rule", list(rules.RULES))
@pytest.mark.parametrize("pre", ["none", "nnm", "arc+nnm", "bucketing:1"])
def test_the_least_number_of_clients_is_enough(rule, pre):
    """Exactly at the limit the rule runs and, for equal updates, returns them; with one less it is refused."""
    byzantine = 0 if rule == "mean" else 2
    least = next(clients for clients in range(100) if _works(rule, pre, clients, byzantine))
    assert least == max(rules.RULES[rule].needs(byzantine), 1 if pre in {"none", "bucketing:1"} else 2 * byzantine + 1)
    matrix = torch.full((least, 2), -7, dtype=torch.int16)
    method = recipe.Method(rule=rule, pre=pre, byzantine=byzantine)
    assert recipe.aggregate(matrix, method).tolist() == [-7.0, -7.0]


def _works(rule, pre, clients, byzantine):
    try:
        rules.check(rule, pre, clients, byzantine)
    except errors.TooFewError:
        return False
    return True


def test_every_entry_has_one_sentence_for_people():
    for entry in (*rules.RULES.values(), *preaggregation.PRE_AGGREGATIONS.values()):
        assert entry.sentence[0].isupper()
        assert entry.sentence.endswith(".")
