"""The plan of a run: everything its members must agree on, as the genesis statement records it.

A plan is public and unchangeable. What only one machine cares about (workers, folders, where blocks lie) is not in it, and
so cannot change the result. The ledger has no floats: real numbers travel as the shortest decimal text that reads back the
same double (docs/protocol.md P7).

    {"cohort":{"deadline":600,"size":0},"credit":{"pool":1000000},"disclosure":"public","lattice":{"headroom_bits":3},
     "outer":{"beta2":"0.0","late_factor":"1.0","late_rounds":0,"learning_rate":"1.0","momentum":"0.0","name":"sgd",
     "tau":"1.0"},"privacy":{"clip_norm":"4.0"},"rounds":30,"rule":{"byzantine":2,"name":"trimmed_mean","pre":"nnm"},
     "seed":0,"task":{"alpha":"0.5",...,"name":"digits"},"v":1}
"""

import dataclasses
import hashlib
import math
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from client import errors
from ledger import canonical

VERSION = 1
DISCLOSURES = ("public", "none")
OPTIMIZERS: Mapping[str, tuple[str, ...]] = {
    "sgd": (),
    "nesterov": ("momentum",),
    "adam": ("momentum", "beta2", "tau"),
    "yogi": ("momentum", "beta2", "tau"),
}
"""The outer optimizers, each with those of the fields in UNUSED that it reads."""
UNUSED: Mapping[str, float] = {"momentum": 0.0, "beta2": 0.0, "tau": 1.0}
"""What a field holds that the optimizer does not read, so that nobody sets one in vain."""


def within(low: float, high: float) -> Any:  # noqa: ANN401  as `dataclasses.field`
    """A field whose value lies in low .. high, both included."""
    return dataclasses.field(metadata={"low": low, "high": high})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the plan: integers, texts, real numbers and further sections, each number within its range."""

    WHERE: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            low, high = field.metadata.get("low"), field.metadata.get("high")
            if low is not None and not low <= value <= high:
                raise errors.PlanError(f"{self.WHERE}{field.name} is {value}, expected {low} to {high}")

    def digest(self) -> str:
        """Hex sha256 of the section's record."""
        return hashlib.sha256(canonical.encode(self.to_record())).hexdigest()

    def to_record(self) -> dict[str, canonical.Json]:
        """The fields as canonical JSON values, real numbers as decimal text."""
        return {field.name: _write(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_record(cls, record: object) -> Self:
        """The section that `record` spells, if it has exactly the fields of this section.

        Raises:
            PlanError: a field is missing, unknown, of another type or outside its range; the message names it.
        """
        hints = typing.get_type_hints(cls)
        kinds = {field.name: hints[field.name] for field in dataclasses.fields(cls)}
        if not isinstance(record, Mapping) or set(record) != set(kinds):
            found = sorted(map(str, record)) if isinstance(record, Mapping) else record
            raise errors.PlanError(
                f"{cls.WHERE.rstrip('.') or 'plan'}: expected the fields {sorted(kinds)}, got {found!r}"
            )
        values: dict[str, Any] = {name: _read(record[name], kind, cls.WHERE + name) for name, kind in kinds.items()}
        return cls(**values)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TaskPlan(Section):
    """What is trained, on whose data, and how a holder trains it."""

    WHERE: ClassVar[str] = "task."

    name: str
    holders: int = within(1, 10_000)
    alpha: float = within(0.001, 1e6)
    hidden: int = within(1, 65_536)
    epochs: int = within(1, 10_000)
    batch: int = within(1, 1_000_000)
    learning_rate: float = within(1e-9, 1e30)
    momentum: float = within(0.0, 0.9999)
    batches: int = within(0, 1_000_000)
    update_momentum: float = within(0.0, 0.9999)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RulePlan(Section):
    """How updates become one: rule, pre-aggregation, and how many may lie."""

    WHERE: ClassVar[str] = "rule."

    name: str
    pre: str
    byzantine: int = within(0, 10_000)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OuterPlan(Section):
    """How the aggregate moves the model: the coordinator's optimizer, called the outer one.

    Attributes:
        name: one of OPTIMIZERS.
        learning_rate: what a step is multiplied by; 1.0 with sgd and the mean is FedAvg.
        momentum: weight of the velocity so far (nesterov), or of the mean step so far (adam and yogi: beta1).
        beta2: weight of the mean square so far.
        tau: in the unit of the weights; the larger, the less adaptive.
        late_rounds: in so many last rounds of the run the learning rate is multiplied by `late_factor`.
        late_factor: 1.0 has no effect.
    """

    WHERE: ClassVar[str] = "outer."

    name: str
    learning_rate: float = within(1e-9, 1e6)
    momentum: float = within(0.0, 0.9999)
    beta2: float = within(0.0, 0.9999)
    tau: float = within(1e-12, 1e6)
    late_rounds: int = within(0, 1_000_000)
    late_factor: float = within(1e-9, 1.0)

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        if self.name not in OPTIMIZERS:
            raise errors.PlanError(f"outer.name is {self.name!r}, expected one of: {', '.join(OPTIMIZERS)}")
        for field, expected in UNUSED.items():
            value = getattr(self, field)
            if field not in OPTIMIZERS[self.name] and value != expected:
                raise errors.PlanError(
                    f"outer.{field} is {value}, which {self.name} does not read: expected {expected}"
                )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyPlan(Section):
    """What a holder does to its update before it leaves: the L2 bound, or infinity for none."""

    WHERE: ClassVar[str] = "privacy."

    clip_norm: float = within(1e-9, math.inf)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LatticePlan(Section):
    """Room above the previous aggregate, in bits, before an update saturates."""

    WHERE: ClassVar[str] = "lattice."

    headroom_bits: int = within(0, 15)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CohortPlan(Section):
    """Members a round (0 for all of them) and seconds until it is sealed without the rest."""

    WHERE: ClassVar[str] = "cohort."

    size: int = within(0, 10_000)
    deadline: int = within(1, 10_000_000)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CreditPlan(Section):
    """Micro-credits that each round divides."""

    WHERE: ClassVar[str] = "credit."

    pool: int = within(0, 10**15)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Section):
    """The agreement of a run."""

    v: int = dataclasses.field(default=VERSION, metadata={"low": VERSION, "high": VERSION})
    seed: int = within(0, 2**53 - 1)
    rounds: int = within(1, 1_000_000)
    disclosure: str
    task: TaskPlan
    rule: RulePlan
    outer: OuterPlan
    privacy: PrivacyPlan
    lattice: LatticePlan
    cohort: CohortPlan
    credit: CreditPlan

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        if self.disclosure not in DISCLOSURES:
            raise errors.PlanError(f"disclosure is {self.disclosure!r}, expected one of: {', '.join(DISCLOSURES)}")


def _write(value: int | float | str | Section) -> canonical.Json:
    if isinstance(value, Section):
        return value.to_record()
    return repr(value) if isinstance(value, float) else value


def _read(value: object, kind: type, where: str) -> object:
    if issubclass(kind, Section):
        return kind.from_record(value)
    if kind is not float:
        if type(value) is not kind:
            raise errors.PlanError(f"{where}: expected {kind.__name__}, got {value!r}")
        return value
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        number = math.nan
    if math.isnan(number) or repr(number) != value:
        raise errors.PlanError(f"{where}: expected a real number as its shortest decimal text, got {value!r}")
    return number
