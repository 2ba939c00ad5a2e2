"""The plan of a run: everything its members must agree on, as the genesis statement records it.

A plan is public and unchangeable. What only one machine cares about (workers, folders, where blocks lie) is not in it, and
so cannot change the result. The ledger has no floats: real numbers travel as the shortest decimal text that reads back the
same double (docs/protocol.md P4).

    {"cohort":{"deadline":600,"size":0},"credit":{"pool":1000000},"disclosure":"public","lattice":{"headroom_bits":3},
     "privacy":{"clip_norm":"4.0"},"rounds":30,"rule":{"byzantine":2,"learning_rate":"1.0","name":"trimmed_mean",
     "pre":"nnm"},"seed":0,"task":{"alpha":"0.5",...,"name":"digits"},"v":1}
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Self

from client import errors
from ledger import canonical

VERSION = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the plan that is flat: integers, texts and real numbers."""

    def to_record(self) -> dict[str, canonical.Json]:
        """The fields as canonical JSON values, real numbers as decimal text."""
        return {field.name: _write(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_record(cls, record: object, where: str) -> Self:
        """The section that `record` spells, if it has exactly the fields of this section.

        Raises:
            PlanError: a field is missing, unknown or of another type; the message names it.
        """
        fields = typing.get_type_hints(cls)
        if not isinstance(record, Mapping) or set(record) != set(fields):
            found = sorted(map(str, record)) if isinstance(record, Mapping) else record
            raise errors.PlanError(f"plan.{where}: expected the fields {sorted(fields)}, got {found!r}")
        values: dict[str, Any] = {name: _read(record[name], kind, f"{where}.{name}") for name, kind in fields.items()}
        return cls(**values)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TaskPlan(Section):
    """What is trained, on whose data, and how a holder trains it."""

    name: str
    holders: int
    alpha: float
    hidden: int
    epochs: int
    batch: int
    learning_rate: float
    momentum: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RulePlan(Section):
    """How updates become one: rule, pre-aggregation, how many may lie, and the outer step."""

    name: str
    pre: str
    byzantine: int
    learning_rate: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyPlan(Section):
    """What a holder does to its update before it leaves: the L2 bound, or infinity for none."""

    clip_norm: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LatticePlan(Section):
    """Room above the previous aggregate, in bits, before an update saturates."""

    headroom_bits: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CohortPlan(Section):
    """Members a round (0 for all of them) and seconds until it is sealed without the rest."""

    size: int
    deadline: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CreditPlan(Section):
    """Micro-credits that each round divides."""

    pool: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The agreement of a run."""

    seed: int
    rounds: int
    disclosure: str
    task: TaskPlan
    rule: RulePlan
    privacy: PrivacyPlan
    lattice: LatticePlan
    cohort: CohortPlan
    credit: CreditPlan

    def to_record(self) -> dict[str, canonical.Json]:
        """The plan as the JSON object of the genesis statement."""
        record: dict[str, canonical.Json] = {"v": VERSION}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            record[field.name] = value.to_record() if isinstance(value, Section) else value
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, object]) -> Self:
        """The plan that a genesis statement carries.

        Raises:
            PlanError: the record has another version, a missing or unknown field, or a value of another type.
        """
        fields = typing.get_type_hints(cls)
        if record.get("v") != VERSION or set(record) != {*fields, "v"}:
            raise errors.PlanError(f"plan: expected version {VERSION} with {sorted(fields)}, got {sorted(record)}")
        values: dict[str, Any] = {}
        for name, kind in fields.items():
            section = isinstance(kind, type) and issubclass(kind, Section)
            values[name] = kind.from_record(record[name], name) if section else _read(record[name], kind, name)
        return cls(**values)


def _write(value: int | float | str) -> int | str:
    return repr(value) if isinstance(value, float) else value


def _read(value: object, kind: type | types.UnionType, where: str) -> object:
    if kind is not float:
        if type(value) is not kind:
            raise errors.PlanError(f"plan.{where}: expected {kind}, got {value!r}")
        return value
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        number = math.nan
    if math.isnan(number) or repr(number) != value:
        raise errors.PlanError(f"plan.{where}: expected a real number as its shortest decimal text, got {value!r}")
    return number
