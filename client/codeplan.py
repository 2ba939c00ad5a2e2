"""The plan's task, where it is code that this package does not have."""

import dataclasses

from client import section, taskplan


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FlowerPlan(taskplan.TaskPlan):
    """Task `flower`: a Flower ClientApp trains, unmodified (client.flower).

    Attributes:
        app: name of the ClientApp, as `client.apps.find` takes it.
        code: hex sha256 of its source; a holder runs no other.
        server: name of the ServerApp whose first message holds the initial model; empty for a client that gives its own.
        arrays: of the model, each as `NAME TYPE LENGTHxLENGTH`, with numpy's short type: `0.weight <f4 10x64`.
        config: what the app is told beside the round and the numbers above, each as `NAME=JSON`.
        accuracy: name of the metric of its `evaluate` that is the share of right answers; empty for none.
        loss: name of the one that is the loss; empty for none.
        judged: partitions that the coordinator judges a checkpoint on; 0 for none.
        precision: the app chooses its own.
    """

    precision: str = section.optional("float32", taskplan.PRECISIONS[:1])
    app: str
    code: str
    server: str
    arrays: tuple[str, ...] = section.within(0, 10_000)
    config: tuple[str, ...] = section.within(0, 1_000)
    accuracy: str
    loss: str
    judged: int = section.within(0, 10_000)

    @property
    def unappraised(self) -> str:
        """As of any task."""
        return "has none"
