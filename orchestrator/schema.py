"""Which configuration keys exist, and of what type. No value stands here: values are in `conf/`, each written once."""

import dataclasses

from omegaconf import MISSING

from orchestrator import taskschema


@dataclasses.dataclass
class RuleSchema:
    """Keys of `rule`."""

    name: str = MISSING
    pre: str = MISSING
    byzantine: int = MISSING


@dataclasses.dataclass
class OuterSchema:
    """Keys of `outer`."""

    name: str = MISSING
    learning_rate: float = MISSING
    momentum: float = MISSING
    beta2: float = MISSING
    tau: float = MISSING
    late_rounds: int = MISSING
    late_factor: float = MISSING


@dataclasses.dataclass
class AttackSchema:
    """Keys of `attack`."""

    behaviours: dict[str, str] = MISSING


@dataclasses.dataclass
class PrivacySchema:
    """Keys of `privacy`."""

    clip_norm: float = MISSING
    noise_multiplier: float = MISSING


@dataclasses.dataclass
class StoreSchema:
    """Keys of `store`."""

    name: str = MISSING
    api: list[str] = MISSING
    gateways: list[str] = MISSING


@dataclasses.dataclass
class LedgerSchema:
    """Keys of `ledger`."""

    name: str = MISSING
    url: str | None = MISSING
    witnesses: str | None = MISSING
    post_quantum: bool = MISSING


@dataclasses.dataclass
class CohortSchema:
    """Keys of `cohort`."""

    size: int = MISSING
    minimum: int = MISSING
    enough: int = MISSING
    deadline: int = MISSING
    cosignatures: int = MISSING


@dataclasses.dataclass
class PoolSchema:
    """Keys of `pool`."""

    name: str = MISSING
    workers: int = MISSING
    threads: int = MISSING
    together: int = MISSING
    address: str | None = MISSING
    members: list[str] = MISSING
    aggregators: list[str] = MISSING
    host: str | None = MISSING
    port: int | None = MISSING
    url: str | None = MISSING


@dataclasses.dataclass
class LatticeSchema:
    """Keys of `lattice`."""

    headroom_bits: int = MISSING


@dataclasses.dataclass
class CreditSchema:
    """Keys of `credit`."""

    pool: int = MISSING
    method: str = MISSING
    screened: bool = MISSING
    examples: int = MISSING
    schedule: str = MISSING
    rate: int = MISSING
    floor: int = MISSING
    cap: int = MISSING
    utility: str = MISSING
    scorers: list[str] = MISSING
    held_out: float = MISSING


@dataclasses.dataclass
class Schema:
    """Keys of a run's configuration."""

    task: taskschema.TaskSchema = MISSING
    rule: RuleSchema = MISSING
    outer: OuterSchema = MISSING
    attack: AttackSchema = MISSING
    privacy: PrivacySchema = MISSING
    store: StoreSchema = MISSING
    ledger: LedgerSchema = MISSING
    cohort: CohortSchema = MISSING
    pool: PoolSchema = MISSING
    rounds: int = MISSING
    seed: int = MISSING
    disclosure: str = MISSING
    audit_window: int = MISSING
    lattice: LatticeSchema = MISSING
    credit: CreditSchema = MISSING
    runs: str = MISSING
    dir: str | None = MISSING
    standby: bool = MISSING
    app: str | None = MISSING
    profile: bool = MISSING
