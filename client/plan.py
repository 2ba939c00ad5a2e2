"""The plan of a run: everything its members must agree on, as the genesis statement records it.

A plan is public and unchangeable. What only one machine cares about (workers, folders, where blocks lie) is not in it, and
so cannot change the result. The ledger has no floats: real numbers travel as the shortest decimal text that reads back the
same double (docs/protocol.md P7).

    {"audit_window":2,"cohort":{"cosignatures":0,"deadline":600,"enough":0,"members":"fixed","minimum":0,"size":0},"credit":{"cap":0,"examples":1000,"floor":0,
     "method":"secant_shapley","pool":1000000,"rate":0,"schedule":"proportional","screened":true},
     "disclosure":"public","lattice":{"headroom_bits":3},"outer":{"beta2":"0.0","late_factor":"1.0","late_rounds":0,"learning_rate":"1.0","momentum":"0.0","name":"sgd",
     "tau":"1.0"},"privacy":{"clip_norm":"4.0","noise_multiplier":"0.0"},"rounds":30,"rule":{"byzantine":2,"name":"trimmed_mean","pre":"nnm"},
     "seed":0,"task":{"alpha":"0.5",...,"name":"digits"},"v":1}
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar

from client import errors, section, taskplan
from ledger import payout

VERSION = 1
DISCLOSURES = ("public", "none")
MEMBERS = ("fixed", "invited")
OPTIMIZERS: Mapping[str, tuple[str, ...]] = {
    "sgd": (),
    "nesterov": ("momentum",),
    "adam": ("momentum", "beta2", "tau"),
    "yogi": ("momentum", "beta2", "tau"),
}
"""The outer optimizers, each with those of the fields in UNUSED that it reads."""
UNUSED: Mapping[str, float] = {"momentum": 0.0, "beta2": 0.0, "tau": 1.0}
"""What a field holds that the optimizer does not read, so that nobody sets one in vain."""


METHODS = ("gram", "leave_one_out", "single_add", "secant_shapley", "gtg_shapley", "exact_shapley")
"""The credit scores: all but `gram` evaluate models on the public test set."""
MOST_EXACT = 12
"""Holders of a round whose exact Shapley values, 4,095 evaluations, are worked out."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RulePlan(section.Section):
    """How updates become one: rule, pre-aggregation, and how many may lie."""

    WHERE: ClassVar[str] = "rule."

    name: str
    pre: str
    byzantine: int = section.within(0, 10_000)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OuterPlan(section.Section):
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
    learning_rate: float = section.within(1e-9, 1e6)
    momentum: float = section.within(0.0, 0.9999)
    beta2: float = section.within(0.0, 0.9999)
    tau: float = section.within(1e-12, 1e6)
    late_rounds: int = section.within(0, 1_000_000)
    late_factor: float = section.within(1e-9, 1.0)

    def __post_init__(self) -> None:
        section.Section.__post_init__(self)
        if self.name not in OPTIMIZERS:
            raise errors.PlanError(f"outer.name is {self.name!r}, expected one of: {', '.join(OPTIMIZERS)}")
        for field, expected in UNUSED.items():
            value = getattr(self, field)
            if field not in OPTIMIZERS[self.name] and value != expected:
                raise errors.PlanError(
                    f"outer.{field} is {value}, which {self.name} does not read: expected {expected}"
                )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyPlan(section.Section):
    """What a holder does to its update before it leaves.

    Attributes:
        clip_norm: the L2 bound, or infinity for none.
        noise_multiplier: standard deviation of the Gaussian noise on each coordinate, in clip norms; 0 for none.
    """

    WHERE: ClassVar[str] = "privacy."

    clip_norm: float = section.within(1e-9, math.inf)
    noise_multiplier: float = section.within(0.0, 1e6)

    def __post_init__(self) -> None:
        section.Section.__post_init__(self)
        if self.noise_multiplier > 0 and math.isinf(self.clip_norm):
            message = f"privacy.noise_multiplier is {self.noise_multiplier} of a privacy.clip_norm of infinity"
            raise errors.PlanError(f"{message}: expected a finite bound with noise, or no noise")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LatticePlan(section.Section):
    """Room above the previous aggregate, in bits, before an update saturates."""

    WHERE: ClassVar[str] = "lattice."

    headroom_bits: int = section.within(0, 15)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CohortPlan(section.Section):
    """Who is in a round, and when it is sealed.

    Attributes:
        members: `fixed` where the holders are those of the founding; `invited` where others join while the run goes on.
        size: members a round, drawn from the holders; 0 for all of them.
        minimum: fewest members a round opens with, and fewest offers it is sealed with while others could still offer; 0 for
            what the rule needs.
        enough: offers that suffice to seal at once; 0 for those of the whole cohort.
        deadline: seconds after which a round is sealed without those that have not answered.
        cosignatures: of aggregators, with which a round's checkpoint is final; 0 asks for none.
    """

    WHERE: ClassVar[str] = "cohort."

    members: str
    size: int = section.within(0, 10_000)
    minimum: int = section.within(0, 10_000)
    enough: int = section.within(0, 10_000)
    deadline: int = section.within(1, 10_000_000)
    cosignatures: int = section.within(0, 10_000)

    def __post_init__(self) -> None:
        section.Section.__post_init__(self)
        if self.members not in MEMBERS:
            raise errors.PlanError(f"cohort.members is {self.members!r}, expected one of: {', '.join(MEMBERS)}")
        for few, many in (("minimum", "enough"), ("minimum", "size"), ("enough", "size")):
            least, most = getattr(self, few), getattr(self, many)
            if most and least > most:
                raise errors.PlanError(f"cohort.{few} is {least}, expected at most cohort.{many}, which is {most}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CreditPlan(section.Section):
    """What a round pays, and for what (docs/protocol.md P29).

    Attributes:
        pool: micro-credits that each round divides, or with `linear` the most that it pays.
        method: one of METHODS: how updates are scored.
        screened: whether updates that only repeat, keys of one party, and silence are looked for.
        examples: of the public test set that a method of utilities is asked about, at most; 0 for all.
        schedule: one of SCHEDULES.
        rate: with `linear`: micro-credits for 1,000 units of score.
        floor: micro-credits, least payment to whoever is paid.
        cap: micro-credits, greatest payment; 0 for none.
    """

    WHERE: ClassVar[str] = "credit."

    pool: int = section.within(0, 10**15)
    method: str
    screened: bool
    examples: int = section.within(0, 1_000_000)
    schedule: str
    rate: int = section.within(0, 10**9)
    floor: int = section.within(0, 10**15)
    cap: int = section.within(0, 10**15)

    @classmethod
    def form(cls, record: object) -> type["CreditPlan"]:
        """This, or where the record names scorers that of `client.scoringplan`."""
        from client import scoringplan  # noqa: PLC0415 - which is made of this one

        return scoringplan.form(record)

    @property
    def kept(self) -> bool:
        """Whether rounds leave a book of scores: not where `gram` alone decides, which needs none."""
        return self.screened or self.method != "gram"

    def __post_init__(self) -> None:
        section.Section.__post_init__(self)
        for name, value, known in (("method", self.method, METHODS), ("schedule", self.schedule, payout.SCHEDULES)):
            if value not in known:
                raise errors.PlanError(f"credit.{name} is {value!r}, expected one of: {', '.join(known)}")
        if (self.schedule == "linear") != (self.rate > 0):
            message = f"credit.rate is {self.rate} with credit.schedule={self.schedule}"
            raise errors.PlanError(f"{message}: expected more than 0 with linear, and 0 without")
        if self.cap and self.floor > self.cap:
            raise errors.PlanError(f"credit.floor is {self.floor}, expected at most credit.cap, which is {self.cap}")

    def require(self, agreed: "Plan", most: float) -> None:
        """Nothing, if a plan's rounds of at most `most` holders can be paid so; raises PlanError as in `client.scoringplan`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan(section.Section):
    """The agreement of a run.

    Attributes:
        audit_window: rounds for which the coordinator keeps a round's identity after the round, where `disclosure` is `none`.
    """

    v: int = dataclasses.field(default=VERSION, metadata={"low": VERSION, "high": VERSION})
    seed: int = section.within(0, 2**53 - 1)
    rounds: int = section.within(1, 1_000_000)
    disclosure: str
    audit_window: int = section.within(0, 999)  # less than the rounds whose destruction the ledger admits
    task: taskplan.TaskPlan
    rule: RulePlan
    outer: OuterPlan
    privacy: PrivacyPlan
    lattice: LatticePlan
    cohort: CohortPlan
    credit: CreditPlan

    def __post_init__(self) -> None:
        section.Section.__post_init__(self)
        if self.disclosure not in DISCLOSURES:
            raise errors.PlanError(f"disclosure is {self.disclosure!r}, expected one of: {', '.join(DISCLOSURES)}")
        most = self.cohort.size or (self.task.holders if self.cohort.members == "fixed" else math.inf)
        if self.credit.method == "exact_shapley" and most > MOST_EXACT:
            message = f"credit.method is exact_shapley for rounds of {most} holders"
            raise errors.PlanError(f"{message}: expected at most {MOST_EXACT}, or another method")
        self.credit.require(self, most)
        if self.credit.method != "gram" and self.task.unappraised:
            message = f"credit.method is {self.credit.method}, which evaluates models on a public test set"
            raise errors.PlanError(f"{message}, and task {self.task.name} {self.task.unappraised}: expected gram")
