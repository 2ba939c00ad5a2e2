"""The table of pre-aggregations: steps before the rule, each a linear map of the updates that their geometry decides.

none                  the updates as they are
nnm                   nearest-neighbour mixing
arc+nnm               clipped to what most of them reach, then mixed
bucketing:3+arc       means of three, then clipped
standing+arc+nnm      first without those whose past speaks against them (`standing`), which needs the rounds before
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from aggregation import clipping, geometry, mixing, mixture
from aggregation.errors import RuleError

NONE = "none"
STANDING = "standing"
_STEP = re.compile(r"(?P<name>[a-z]+)(?::(?P<value>[1-9][0-9]{0,8}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreAggregation:
    """One kind of step.

    Attributes:
        mix: From (geometry of the rows so far, its unit's denominator, f, the number after the colon, draw) to their map.
        rows: From (rows so far, the number) to the rows that come out.
        needs: From f to the least number of rows so far.
        default: The number where the text gives none; None if the step takes no number, 0 if it must be given.
        sentence: What it does, for people.
    """

    mix: Callable[[geometry.Geometry, int, int, int, bytes], mixture.Mixture]
    rows: Callable[[int, int], int]
    needs: Callable[[int], int]
    default: int | None
    sentence: str


PRE_AGGREGATIONS: Mapping[str, PreAggregation] = MappingProxyType(
    {
        "arc": PreAggregation(
            mix=lambda rows, _unit, f, _value, _draw: clipping.arc(rows, f),
            rows=lambda rows, _value: rows,
            needs=lambda f: 2 * f + 1,
            default=None,
            sentence="The longest updates, a number that follows from f, shortened to the next in length.",
        ),
        "bucketing": PreAggregation(
            mix=lambda rows, _unit, _f, value, draw: mixing.bucketing(len(rows.inner), value, draw=draw),
            rows=lambda rows, value: math.ceil(rows / value),
            needs=lambda _f: 1,
            default=2,
            sentence="Means of this many updates (2), drawn anew each round.",
        ),
        "clip": PreAggregation(
            mix=lambda rows, unit, _f, value, _draw: clipping.static(rows, float(value * unit)),
            rows=lambda rows, _value: rows,
            needs=lambda _f: 1,
            default=0,
            sentence="Updates longer than this many lattice steps shortened to them.",
        ),
        "nnm": PreAggregation(
            mix=lambda rows, _unit, f, _value, _draw: mixing.nearest_neighbours(rows, f),
            rows=lambda rows, _value: rows,
            needs=lambda f: 2 * f + 1,
            default=None,
            sentence="Every update replaced by the mean of the n - f updates nearest to it.",
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a pre-aggregation: its name in the table and its number."""

    name: str
    value: int

    @property
    def kind(self) -> PreAggregation:
        """The table's entry."""
        return PRE_AGGREGATIONS[self.name]


def screened(text: str) -> tuple[bool, str]:
    """Returns whether a pre-aggregation begins with standing, and what follows; `none` if nothing does.

    Raises:
        RuleError: If what follows is spelled out as nothing.
    """
    first, plus, rest = text.partition("+")
    if first != STANDING:
        return False, text
    if plus and rest in ("", NONE):
        raise RuleError(f"pre-aggregation {text[:80]!r}: expected {STANDING} alone, or steps behind it")
    return True, rest or NONE


def parse(text: str) -> tuple[Step, ...]:
    """Returns the steps that `none`, or names joined by `+`, each with `:number` where it takes one, stand for.

    Raises:
        RuleError: If a name is unknown, or a number is missing or not wanted; the message says what would do.
    """
    if text == NONE:
        return ()
    steps = tuple(_step(part) for part in text.split("+")[: len(PRE_AGGREGATIONS) + 1])
    names = [step.name for step in steps]
    if len(set(names)) < len(names):
        raise RuleError(f"pre-aggregation {text[:80]!r}: expected each step at most once")
    return steps


def mixed(steps: tuple[Step, ...], rows: geometry.Geometry, f: int, draw: bytes) -> mixture.Mixture:
    """Returns the map that all steps, one after the other, make of the rows.

    Args:
        steps: As `parse` gives them.
        rows: The geometry of the updates.
        f: Byzantine clients to withstand.
        draw: Public bytes that nobody could know before the updates were fixed; the buckets are drawn from them.
    """
    whole = mixture.identity(len(rows.inner))
    for step in steps:
        so_far = geometry.mixed(rows, whole)
        whole = mixture.after(step.kind.mix(so_far, whole.denominator, f, step.value, draw), whole)
    return whole


def _step(part: str) -> Step:
    match = _STEP.fullmatch(part)
    name, given = (match["name"], match["value"]) if match else (part, None)
    if name == STANDING:
        raise RuleError(f"pre-aggregation step {part[:80]!r}: expected it first, before all others, and once")
    if name not in PRE_AGGREGATIONS:
        known = ", ".join((NONE, *PRE_AGGREGATIONS))
        raise RuleError(f"unknown pre-aggregation {part[:80]!r}: expected {known}, or several joined by +")
    default = PRE_AGGREGATIONS[name].default
    if given is not None and default is None:
        raise RuleError(f"pre-aggregation {part[:80]!r}: {name} takes no number")
    if given is None and default == 0:
        raise RuleError(f"pre-aggregation {part[:80]!r}: expected a number, as in {name}:1000")
    return Step(name=name, value=int(given) if given else default or 0)
