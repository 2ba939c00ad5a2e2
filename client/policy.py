"""The holder's consent: default deny. Nothing trains, and nothing leaves, unless each clause here admits it.

A policy is a YAML file that the holder owns (`client.clauses`, docs/policy.md). A clause that it does not have admits nothing.
"""

import dataclasses
import datetime as dt
from typing import Self

from client import accountant, agreement, clauses, environment, update
from client.tasks import catalogue

HEX64 = clauses.texts("[0-9a-f]{64}", "a digest of 64 lower-case hex digits")
DELTA = 1e-6
"""The delta of a policy that is made for a run."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much may be learned of the holder's data: (epsilon, delta)-differential privacy, over all that ever left.

    An epsilon of infinity asks for no noise.
    """

    epsilon: float = 0.0
    delta: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a holder agreed to.

    Attributes:
        coordinators: fingerprints of the keys whose runs it takes part in.
        tasks: digests of the code and settings that may run on its data (`client.tasks.catalogue.digest`).
        environments: digests of the software that may be installed around them (`client.environment.digest`).
        disclosures: ways of disclosing updates for audit that it accepts.
        recipients: how many may read its updates.
        rounds: rounds it takes part in, in all.
        rounds_per_day: rounds it takes part in within 24 hours.
        expires: the last day, in UTC.
        clip_norm: the largest L2 norm of an update that may leave, before noise.
        privacy: the budget of what may be learned.
        max_bytes_out: bytes of sealed updates that may leave, in all.
        announce_refusals: whether a refusal is said on the ledger; no clause depends on it.
    """

    coordinators: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()
    environments: frozenset[str] = frozenset()
    disclosures: frozenset[str] = frozenset()
    recipients: int = 0
    rounds: int = 0
    rounds_per_day: int = 0
    expires: dt.date = dt.date.min
    clip_norm: float = 0.0
    privacy: Budget = Budget()
    max_bytes_out: int = 0
    announce_refusals: bool = False

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The policy in a file.

        Raises:
            PolicyError: not a policy; the message names line and clause.

        Reference: docs/protocol.md P25.
        """
        return cls(**clauses.read(data, KINDS))  # type: ignore[arg-type]  # each kind reads its clause's type

    @classmethod
    def narrowest(
        cls,
        agreed: agreement.Agreement,
        *,
        recipients: int = 1,
        expires: dt.date = dt.date.max,
        delta: float = DELTA,
    ) -> Self:
        """The policy that admits this run as it stands, by this code in this environment, and nothing else.

        The bytes are twice what the updates can have: a holder that dies before it has kept an update seals it again.
        """
        planned = agreed.plan
        spent = accountant.epsilon([planned.privacy.noise_multiplier] * planned.rounds, delta)
        return cls(
            coordinators=frozenset({agreed.coordinator.fingerprint}),
            tasks=frozenset({catalogue.digest(planned.task)}),
            environments=frozenset({environment.digest()}),
            disclosures=frozenset({planned.disclosure}),
            recipients=recipients,
            rounds=planned.rounds,
            rounds_per_day=planned.rounds,
            expires=expires,
            clip_norm=planned.privacy.clip_norm,
            privacy=Budget(epsilon=spent, delta=delta),
            max_bytes_out=2 * planned.rounds * update.limit(sum(spec.size for spec in agreed.specs)),
        )

    def to_yaml(self) -> str:
        """The file that `parse` reads back, each clause under a sentence that says what it does."""
        lines = ["# What this holder consents to. A clause that is not here admits nothing."]
        for field in dataclasses.fields(self):
            lines += ["", f"# {SAYS[field.name]}", *_written(field.name, getattr(self, field.name))]
        return "\n".join(lines) + "\n"


SAYS = {
    "coordinators": "Fingerprints of the coordinators whose runs may ask.",
    "tasks": "Digests of the code and settings that may train on the data.",
    "environments": "Digests of the installed software: the interpreter, and every package with its version.",
    "disclosures": "How updates may become readable: public (to all, after each round) or none.",
    "recipients": "How many keys an update may be sealed to.",
    "rounds": "Rounds to take part in, in all.",
    "rounds_per_day": "Rounds to take part in within 24 hours.",
    "expires": "The last day of this consent, in UTC.",
    "clip_norm": "The largest L2 norm of an update, before noise; .inf for any.",
    "privacy": "Differential privacy of all that leaves, over all rounds; epsilon .inf asks for no noise.",
    "max_bytes_out": "Bytes of sealed updates that may leave, in all.",
    "announce_refusals": "Whether a refusal is said on the ledger, with its code, for all to read.",
}
"""What each clause means."""

KINDS: dict[str, clauses.Read] = {
    "coordinators": clauses.texts("SHA256:[A-Za-z0-9+/]{43}", "a fingerprint, SHA256:..."),
    "tasks": HEX64,
    "environments": HEX64,
    "disclosures": clauses.texts("public|none", "public or none"),
    "recipients": clauses.natural,
    "rounds": clauses.natural,
    "rounds_per_day": clauses.natural,
    "expires": clauses.date,
    "clip_norm": clauses.real,
    "privacy": lambda node, where: _budget(clauses.mapping(BUDGET)(node, where)),
    "max_bytes_out": clauses.natural,
    "announce_refusals": clauses.boolean,
}
"""How each clause is read."""

BUDGET: dict[str, clauses.Read] = {"epsilon": clauses.real, "delta": clauses.real}


def _budget(values: dict[str, object]) -> Budget:
    return Budget(**values)  # type: ignore[arg-type]  # each kind reads its field's type


def _written(name: str, value: object) -> list[str]:
    match value:
        case frozenset():
            return [f"{name}:", *(f"  - {item}" for item in sorted(value))] if value else [f"{name}: []"]
        case Budget():
            return [f"{name}:", f"  epsilon: {_number(value.epsilon)}", f"  delta: {_number(value.delta)}"]
        case bool():
            return [f"{name}: {str(value).lower()}"]
        case float():
            return [f"{name}: {_number(value)}"]
        case dt.date():
            return [f"{name}: {value.isoformat()}"]
    return [f"{name}: {value}"]


def _number(value: float) -> str:
    return repr(value).replace("inf", ".inf")
