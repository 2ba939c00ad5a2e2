"""The table of rules: name -> function of a matrix `(clients, dim) -> (dim)`, and what it needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jaxtyping import Float64, Int16
from torch import Tensor

from aggregation import coordinatewise, krum, mixing
from aggregation.errors import RuleError, TooFewError


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One robust rule.

    Attributes:
        function: From (rows, f, how many updates each row sums) to the aggregate in lattice units.
        needs: From f to the least number of clients, or None if no number is enough.
        sentence: What it returns, for people.
    """

    function: Callable[[Tensor, int, int], Tensor]
    needs: Callable[[int], int | None]
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PreAggregation:
    """One step before the rule; attributes as in `Rule`."""

    function: Callable[[Tensor, int], mixing.Mixture]
    needs: Callable[[int], int | None]
    sentence: str


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "mean": Rule(
            function=lambda rows, _f, count: coordinatewise.mean(rows, count=count),
            needs=lambda f: 1 if f == 0 else None,
            sentence="The plain mean; a single Byzantine holder decides it.",
        ),
        "median": Rule(
            function=lambda rows, _f, count: coordinatewise.median(rows, count=count),
            needs=lambda f: 2 * f + 1,
            sentence="The median of every coordinate.",
        ),
        "trimmed_mean": Rule(
            function=lambda rows, f, count: coordinatewise.trimmed_mean(rows, f, count=count),
            needs=lambda f: 2 * f + 1,
            sentence="The mean of every coordinate without its f smallest and f largest values.",
        ),
        "krum": Rule(
            function=lambda rows, f, count: krum.krum(rows, f, count=count),
            needs=lambda f: 2 * f + 3,
            sentence="The one update closest to its n - f - 2 nearest neighbours.",
        ),
        "multi_krum": Rule(
            function=lambda rows, f, count: krum.multi_krum(rows, f, count=count),
            needs=lambda f: 2 * f + 3,
            sentence="The mean of the n - f updates closest to their nearest neighbours.",
        ),
    }
)

PRE_AGGREGATIONS: Mapping[str, PreAggregation] = MappingProxyType(
    {
        "none": PreAggregation(
            function=lambda rows, _f: mixing.unmixed(rows),
            needs=lambda _f: 1,
            sentence="The updates as they are.",
        ),
        "nnm": PreAggregation(
            function=mixing.nearest_neighbours,
            needs=lambda f: 2 * f + 1,
            sentence="Every update replaced by the mean of the n - f updates nearest to it.",
        ),
    }
)


def aggregate(matrix: Int16[Tensor, "clients dim"], *, rule: str, pre: str, byzantine: int) -> Float64[Tensor, " dim"]:
    """Returns the aggregate of a round in lattice units, rounded once.

    Rows must stand in the order of the client ids: equal distances and scores go to the lower row, so that order is
    part of the result. Everything runs on the matrix's device; only n x n distances are moved to the CPU.

    Args:
        matrix: One accepted update a row.
        rule: A name in `RULES`.
        pre: A name in `PRE_AGGREGATIONS`.
        byzantine: f, the Byzantine holders to withstand.

    Raises:
        RuleError: As `check`.

    Reference:
        docs/protocol.md P12.
    """
    check(rule, pre, len(matrix), byzantine)
    mixture = PRE_AGGREGATIONS[pre].function(matrix, byzantine)
    return RULES[rule].function(mixture.sums, byzantine, mixture.count)


def check(rule: str, pre: str, clients: int, byzantine: int) -> None:
    """Accepts a rule, a pre-aggregation and numbers of holders that fit together.

    Raises:
        RuleError: If a name is unknown or a number is out of range; one sentence that says what would do.
        TooFewError: If there are too few holders for so many Byzantine ones; likewise.
    """
    if rule not in RULES:
        raise RuleError(f"unknown rule {rule[:80]!r}: expected one of {', '.join(RULES)}")
    if pre not in PRE_AGGREGATIONS:
        raise RuleError(f"unknown pre-aggregation {pre[:80]!r}: expected one of {', '.join(PRE_AGGREGATIONS)}")
    if byzantine < 0:
        raise RuleError(f"{byzantine} Byzantine holders: expected 0 or more")
    least = _least(rule, pre, byzantine)
    if least is None:
        raise RuleError(
            f"{rule} withstands no Byzantine holder, got {byzantine}: set rule.byzantine to 0 or choose another rule"
        )
    if clients < least:
        raise TooFewError(
            f"{rule if pre == 'none' else f'{pre} + {rule}'} with {byzantine} Byzantine holders needs at least {least} "
            f"holders, got {clients}: {_remedy(rule, pre, clients, byzantine)}"
        )


def _least(rule: str, pre: str, byzantine: int) -> int | None:
    needs = RULES[rule].needs(byzantine), PRE_AGGREGATIONS[pre].needs(byzantine)
    return None if None in needs else max(least for least in needs if least is not None)


def _remedy(rule: str, pre: str, clients: int, byzantine: int) -> str:
    for fewer in range(min(byzantine - 1, clients), -1, -1):
        least = _least(rule, pre, fewer)
        if least is not None and least <= clients:
            return f"lower rule.byzantine to {fewer} or add holders"
    return "add holders"
