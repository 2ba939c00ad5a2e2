"""What `rule=auto` stands for."""

import pytest

from aggregation import errors, guidance


@pytest.mark.parametrize(
    ("clients", "byzantine", "rule", "pre"),
    [
        (1, 0, "mean", "none"),
        (10, 2, "trimmed_mean", "standing+arc+nnm"),
        (7, 2, "trimmed_mean", "standing+arc+nnm"),
        (6, 2, "trimmed_mean", "arc+nnm"),
        (5, 2, "trimmed_mean", "arc+nnm"),
    ],
)
def test_the_choice_follows_the_numbers(clients, byzantine, rule, pre):
    assert guidance.choose(clients, byzantine) == guidance.Choice(rule=rule, pre=pre)


def test_what_no_rule_can_do_is_refused():
    with pytest.raises(errors.TooFewError, match=r"needs at least 5 holders, got 4: lower rule\.byzantine to 1"):
        guidance.choose(4, 2)
