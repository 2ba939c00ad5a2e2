"""The plan of a run that a Flower strategy leads: what its genesis records.

    {"app":"client.py:app","code":"<hex sha256>","credit":{"pool":0},"disclosure":"public","flwr":"1.41.0","kind":"grid",
     "nodes":10,"seed":0,"server":"FedAvg","v":1}

What a round comes to is the strategy's business, so there is no rule here, no lattice and no credit (docs/protocol.md P27).
"""

import dataclasses
from collections.abc import Mapping

from client import errors, section

KIND = "grid"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NoCredit(section.Section):
    """What a phase pays: nothing."""

    pool: int = section.within(0, 0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GridPlan(section.Section):
    """What all nodes are told of a run.

    Attributes:
        kind: `grid`.
        v: 1.
        app: name of the ClientApp.
        code: hex sha256 of its source.
        nodes: how many there are.
        seed: of what an app draws by habit.
        flwr: version of the coordinator's flwr.
        server: what leads the run, in the coordinator's words.
        disclosure: `public`, or `none`: whether the identities that replies are sealed to are published.
        credit: none.
    """

    kind: str
    v: int = section.within(1, 1)
    app: str
    code: str
    nodes: int = section.within(1, 100_000)
    seed: int = section.within(0, 2**53 - 1)
    flwr: str
    server: str
    disclosure: str
    credit: NoCredit

    def __post_init__(self) -> None:
        section.Section.__post_init__(self)
        if self.kind != KIND or self.disclosure not in ("public", "none"):
            raise errors.PlanError(
                f"kind is {self.kind!r} with disclosure {self.disclosure!r}, expected grid, public or none"
            )


def leads(record: object) -> bool:
    """Whether a genesis' plan is that of a run that a Flower strategy leads."""
    return isinstance(record, Mapping) and record.get("kind") == KIND
