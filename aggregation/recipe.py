"""From updates to their aggregate, in two passes over the data: one measures, one does what was decided.

    columns of (clients, dim) --measure--> inner products --decide--> Recipe --apply--> columns of (dim)

What is decided depends on n x n inner products alone. These are sums over columns, and a recipe treats every column by
itself. So a matrix may be cut by columns at will, over processes or in time: parts are measured apart, the measurements
added, and the recipe applied to each part. On integers the result is the same, bit for bit.

Reference: docs/protocol.md P12.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float64, Real
from torch import Tensor

from aggregation import (
    combine,
    coordinatewise,
    divide_and_conquer,
    geometry,
    gram,
    mixture,
    preaggregation,
    rules,
    weights,
)
from aggregation.errors import RuleError


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How updates become one.

    Attributes:
        rule: A name in `rules.RULES`.
        pre: A pre-aggregation, as `preaggregation.parse` reads it.
        byzantine: f, the Byzantine clients to withstand.
        draw: Public bytes that nobody could know before the updates were fixed, for what is drawn at random.
        anchored: Whether the last row is no client but the point that centered clipping starts from.
    """

    rule: str
    pre: str
    byzantine: int
    draw: bytes = b""
    anchored: bool = False

    def __post_init__(self) -> None:
        if self.anchored and self.rule != "centered_clipping":
            raise RuleError(f"{self.rule} starts from no point: expected no row but the clients'")

    @property
    def measures(self) -> bool:
        """Whether it reads the data before it decides: distances, or drawn columns."""
        return rules.measures(self.rule, self.pre) or rules.RULES[self.rule].samples > 0

    def check(self, rows: int) -> None:
        """Accepts a number of rows that the method can work with.

        Raises:
            RuleError: As `rules.check`.
        """
        rules.check(self.rule, self.pre, rows - self.anchored, self.byzantine)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a part of the columns adds to the decision; parts are added up.

    Attributes:
        rows: Rows of the matrix.
        exact: Whether they are integers.
        whole: Inner products over all columns of the part; None if the method reads none.
        samples: Inner products over the drawn columns among them, once per drawing.
    """

    rows: int
    exact: bool
    whole: gram.Products | None
    samples: tuple[gram.Products, ...]

    def __add__(self, other: "Measured") -> "Measured":
        whole = None if self.whole is None or other.whole is None else self.whole + other.whole
        return replace(
            self, whole=whole, samples=tuple(a + b for a, b in zip(self.samples, other.samples, strict=True))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedSum:
    """A recipe: `sum_i numerators[i] x_i / denominator`."""

    numerators: np.ndarray
    denominator: int

    def apply(self, columns: Real[Tensor, "clients dim"]) -> Float64[Tensor, " dim"]:
        """Returns these columns of the aggregate."""
        return combine.combine(columns, self.numerators, self.denominator)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStatistic:
    """A recipe: a statistic of every column of the mixed rows; `mixed` is None where they are the updates themselves."""

    statistic: str
    f: int
    mixed: mixture.Mixture | None

    def apply(self, columns: Real[Tensor, "clients dim"]) -> Float64[Tensor, " dim"]:
        """Returns these columns of the aggregate."""
        match self.statistic:
            case "median":
                return coordinatewise.median(columns, mixture=self.mixed)
            case "trimmed_mean":
                return coordinatewise.trimmed_mean(columns, self.f, mixture=self.mixed)
            case _:
                return coordinatewise.meamed(columns, self.f, mixture=self.mixed)


Recipe = WeightedSum | OrderStatistic


def aggregate(
    matrix: Real[Tensor, "clients dim"], method: Method, order: Sequence[int] | None = None
) -> Float64[Tensor, " dim"]:
    """Returns the aggregate of a round: on integers in lattice units, rounded once.

    Args:
        matrix: One update a row: int16 lattice points, or finite floats.
        method: Rule and pre-aggregation.
        order: The rows in ascending order of their client ids: equal distances and scores go to the lower id, so this order
            is part of the result. Without it the rows are taken to stand in it.

    Raises:
        RuleError: As `rules.check`.
        LatticeError: If a float is not finite; the message names the row.
    """
    method.check(len(matrix))
    measured = measure(matrix, method, first=0, dim=matrix.shape[1])
    return decide(measured, method, order).apply(matrix)


def measure(columns: Real[Tensor, "clients dim"], method: Method, *, first: int, dim: int) -> Measured:
    """Returns what the columns `first`, `first + 1`, ... of a matrix of `dim` columns add to the decision."""
    rule = rules.RULES[method.rule]
    whole = gram.products(columns) if rules.measures(method.rule, method.pre) else None
    samples = []
    for number in range(rule.samples):
        drawn = divide_and_conquer.subset_of_coordinates(dim, draw=method.draw, iteration=number)
        mine = drawn[(drawn >= first) & (drawn < first + columns.shape[1])] - first
        samples.append(gram.products(columns[:, torch.from_numpy(mine).to(columns.device)]))
    exact = not columns.is_floating_point()
    return Measured(rows=len(columns), exact=exact, whole=whole, samples=tuple(samples))


def decide(measured: Measured, method: Method, order: Sequence[int] | None = None) -> Recipe:
    """Returns what to do with every column.

    Args:
        measured: The sum over all columns.
        method: As it was measured for.
        order: As in `aggregate`.
    """
    clients = measured.rows - method.anchored
    canonical = [*(order if order is not None else range(clients)), *range(clients, measured.rows)]
    whole = None if measured.whole is None else geometry.permuted(geometry.of(measured.whole), canonical)
    mixed = mixture.identity(measured.rows)
    if whole is not None and method.pre != preaggregation.NONE:
        mixed = _mixture(whole, method, clients)
    samples = [geometry.permuted(geometry.of(each), canonical) for each in measured.samples]
    rows = len(mixed.coefficients) - method.anchored
    case = rules.Case(
        rows=rows,
        f=method.byzantine,
        whole=None if whole is None else geometry.mixed(whole, mixed),
        start=rows if method.anchored else None,
        samples=tuple(geometry.mixed(each, mixed) for each in samples),
    )
    decided = rules.RULES[method.rule].decide(case)
    back = np.argsort(np.array(canonical, dtype=np.int64))
    if isinstance(decided, weights.Weights):
        if not measured.exact:
            return WeightedSum(numerators=weights.settle_floats(decided, mixed)[back], denominator=1)
        numerators, denominator = weights.settle(decided, mixed)
        return WeightedSum(numerators=numerators[back], denominator=denominator)
    coefficients = mixed.coefficients[list(decided.chosen)] if decided.chosen is not None else mixed.coefficients
    plain = method.pre == preaggregation.NONE and decided.chosen is None
    moved = mixture.Mixture(coefficients=coefficients[:, back], denominator=mixed.denominator)
    return OrderStatistic(statistic=decided.statistic, f=decided.f, mixed=None if plain else moved)


def _mixture(whole: geometry.Geometry, method: Method, clients: int) -> mixture.Mixture:
    """The pre-aggregation's map of the clients; a row to start from stays what it is."""
    steps = preaggregation.parse(method.pre)
    mixed = preaggregation.mixed(steps, geometry.permuted(whole, range(clients)), method.byzantine, method.draw)
    if not method.anchored:
        return mixed
    coefficients = np.pad(mixed.coefficients, (0, 1))
    coefficients[-1, -1] = mixed.denominator
    return mixture.Mixture(coefficients=coefficients, denominator=mixed.denominator)
