"""The table of rules, and which numbers of holders each can work with.

A rule decides, from the geometry of the updates, what is to be done with them: a weighted sum of them, or order statistics
of every coordinate. `recipe` does it.
"""

import bisect
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from aggregation import (
    clipping,
    divide_and_conquer,
    geometric_median,
    geometry,
    krum,
    preaggregation,
    spectral,
    subsets,
    weights,
)
from aggregation.errors import RuleError, TooFewError

_ALL = range(1 << 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a rule decides on.

    Attributes:
        rows: Number of rows after the pre-aggregation.
        f: Byzantine clients to withstand.
        whole: Geometry of those rows, followed by the row to start from where there is one; None if the rule reads none.
        start: Index of the row to start from, or None.
        samples: The geometry of some drawn columns alone, once per drawing.
    """

    rows: int
    f: int
    whole: geometry.Geometry | None
    start: int | None
    samples: tuple[geometry.Geometry, ...]

    @property
    def among(self) -> geometry.Geometry:
        """The geometry of a rule that reads it."""
        if self.whole is None:
            raise RuleError("a rule of distances was given none")
        return self.whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """Order statistics of every coordinate.

    Attributes:
        statistic: `median`, `trimmed_mean` or `meamed`, as in `coordinatewise`.
        f: Its f; not read by the median.
        chosen: The rows it is taken of, ascending; None for all.
    """

    statistic: str
    f: int
    chosen: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One robust rule.

    Attributes:
        decide: What to do with the rows.
        needs: From f to the least number of rows, or None if no number is enough.
        sentence: What it returns, for people.
        measures: Whether it reads the geometry.
        samples: How many geometries of drawn columns it reads.
        require: Refuses, by RuleError, numbers (rows, f) beyond the rule's means.
    """

    decide: Callable[[Case], weights.Weights | Ordered]
    needs: Callable[[int], int | None]
    sentence: str
    measures: bool = True
    samples: int = 0
    require: Callable[[int, int], None] | None = None


def _majority(f: int) -> int:
    return 2 * f + 1


def _mean(case: Case) -> weights.Weights:
    return weights.Weights(numerators=np.ones(case.rows, dtype=np.int64), total=case.rows)


def _bulyan(case: Case) -> Ordered:
    chosen = krum.bulyan_selection(case.among, case.f)
    return Ordered(statistic="meamed", f=2 * case.f, chosen=tuple(sorted(chosen)))


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "mean": Rule(
            decide=_mean,
            needs=lambda f: 1 if f == 0 else None,
            sentence="The plain mean; a single Byzantine holder decides it.",
            measures=False,
        ),
        "median": Rule(
            decide=lambda case: Ordered(statistic="median", f=case.f),
            needs=_majority,
            sentence="The median of every coordinate.",
            measures=False,
        ),
        "trimmed_mean": Rule(
            decide=lambda case: Ordered(statistic="trimmed_mean", f=case.f),
            needs=_majority,
            sentence="The mean of every coordinate without its f smallest and f largest values.",
            measures=False,
        ),
        "meamed": Rule(
            decide=lambda case: Ordered(statistic="meamed", f=case.f),
            needs=_majority,
            sentence="The mean of the n - f values of every coordinate nearest to its median.",
            measures=False,
        ),
        "krum": Rule(
            decide=lambda case: krum.krum(case.among, case.f),
            needs=lambda f: 2 * f + 3,
            sentence="The one update closest to its n - f - 2 nearest neighbours.",
        ),
        "multi_krum": Rule(
            decide=lambda case: krum.multi_krum(case.among, case.f),
            needs=lambda f: 2 * f + 3,
            sentence="The mean of the n - f updates closest to their nearest neighbours.",
        ),
        "bulyan": Rule(
            decide=_bulyan,
            needs=lambda f: 4 * f + 3,
            sentence="Krum again and again picks n - 2 f updates; of each coordinate, the n - 4 f values nearest the median.",
        ),
        "geometric_median": Rule(
            decide=lambda case: geometric_median.geometric_median(case.among),
            needs=_majority,
            sentence="The point with the least sum of distances to the updates.",
        ),
        "centered_clipping": Rule(
            decide=lambda case: clipping.centered_clipping(case.among, start=case.start),
            needs=_majority,
            sentence="From the last aggregate, steps by the mean of the differences, the longer half shortened.",
        ),
        "mda": Rule(
            decide=lambda case: subsets.mda(case.among, case.f),
            needs=_majority,
            sentence="The mean of the n - f updates with the least diameter.",
            require=subsets.require_diameter,
        ),
        "smea": Rule(
            decide=lambda case: subsets.smea(case.among, case.f),
            needs=_majority,
            sentence="The mean of the n - f updates whose covariance is least.",
            require=subsets.require,
        ),
        "caf": Rule(
            decide=lambda case: spectral.caf(case.among, case.f),
            needs=_majority,
            sentence="The mean under weights that fade along the direction of greatest covariance.",
        ),
        "dnc": Rule(
            decide=lambda case: divide_and_conquer.dnc(case.samples, case.f),
            needs=_majority,
            sentence="The mean without those that lie farthest along the main direction of drawn coordinates.",
            measures=False,
            samples=divide_and_conquer.ITERATIONS,
        ),
    }
)


def measures(rule: str, pre: str) -> bool:
    """Returns whether the two read the geometry of the updates: if not, one pass over the data is enough."""
    return RULES[rule].measures or pre != preaggregation.NONE


def check(rule: str, pre: str, clients: int, byzantine: int) -> None:
    """Accepts a rule, a pre-aggregation and numbers of holders that fit together.

    Raises:
        RuleError: If a name is unknown or a number is out of range; one sentence that says what would do.
        TooFewError: If there are too few holders for so many Byzantine ones; likewise.
    """
    if rule not in RULES:
        raise RuleError(f"unknown rule {rule[:80]!r}: expected one of {', '.join(RULES)}")
    screened, rest = preaggregation.screened(pre)
    steps = preaggregation.parse(rest)
    if byzantine < 0:
        raise RuleError(f"{byzantine} Byzantine holders: expected 0 or more")
    if RULES[rule].needs(byzantine) is None:
        raise RuleError(
            f"{rule} withstands no Byzantine holder, got {byzantine}: set rule.byzantine to 0 or choose another rule"
        )
    enough = functools.partial(_enough, rule, steps, screened)
    if not enough(clients, byzantine):
        least = bisect.bisect_left(_ALL, True, lo=clients, key=lambda n: enough(n, byzantine))
        raise TooFewError(
            f"{rule if pre == preaggregation.NONE else f'{pre} + {rule}'} with {byzantine} Byzantine holders needs at least "
            f"{least} holders, got {clients}: {_remedy(enough, clients, byzantine)}"
        )
    limit = RULES[rule].require
    if limit is not None:
        limit(_rows(steps, clients), byzantine)


def _rows(steps: tuple[preaggregation.Step, ...], clients: int) -> int:
    for step in steps:
        clients = step.kind.rows(clients, step.value)
    return clients


def _enough(rule: str, steps: tuple[preaggregation.Step, ...], screened: bool, clients: int, byzantine: int) -> bool:
    # Whom standing sets aside, at most f, may all be honest.
    rows = clients - byzantine if screened else clients
    for step in steps:
        if rows < step.kind.needs(byzantine):
            return False
        rows = step.kind.rows(rows, step.value)
    return rows >= (RULES[rule].needs(byzantine) or math.inf)


def _remedy(enough: Callable[[int, int], bool], clients: int, byzantine: int) -> str:
    most = range(min(byzantine, clients + 1))
    most_enough = bisect.bisect_left(most, True, key=lambda fewer: not enough(clients, fewer))
    return f"lower rule.byzantine to {most_enough - 1} or add holders" if most_enough else "add holders"
