"""Which rule when: what `rule=auto` puts into the plan, from the number of clients and of those that may be Byzantine.

    f = 0            mean                                nobody to withstand
    n >= 3 f + 1     standing+arc+nnm, trimmed_mean      the best worst case of all we measured (docs/aggregation.md)
    n >= 2 f + 1     arc+nnm, trimmed_mean               standing might set aside f honest ones, and too few would be left

What the data show is judged by the rule itself: whom standing sets aside, and how much is clipped, follows from each round's
updates and changes with them.
"""

from dataclasses import dataclass

from aggregation import rules
from aggregation.errors import TooFewError

AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A rule and a pre-aggregation, by their names."""

    rule: str
    pre: str


CHOICES = (
    Choice(rule="mean", pre="none"),
    Choice(rule="trimmed_mean", pre="standing+arc+nnm"),
    Choice(rule="trimmed_mean", pre="arc+nnm"),
)


def choose(clients: int, byzantine: int) -> Choice:
    """Returns the first choice that works with these numbers.

    Args:
        clients: Updates a round at least; n.
        byzantine: f, how many may be Byzantine.

    Raises:
        RuleError: If none does; the message says what would do.
    """
    *first, last = CHOICES if byzantine else CHOICES[:1]
    for choice in first[1:]:
        try:
            rules.check(choice.rule, choice.pre, clients, byzantine)
        except TooFewError:
            continue
        return choice
    rules.check(last.rule, last.pre, clients, byzantine)
    return last
