"""One client that lies: the ordinary app, except that the client of partition 0 replies something else.

python plain.py sign_flip        any of ATTACKS
"""

from collections.abc import Callable

import numpy as np
from digits import client_app, server_app
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

Arrays = dict[str, np.ndarray]


def named(sent: Arrays, trained: Arrays) -> Arrays:  # noqa: ARG001  each attack is told both
    """An array that nobody asked for."""
    return trained | {"extra": np.zeros(1, dtype=np.float32)}


def shaped(sent: Arrays, trained: Arrays) -> Arrays:  # noqa: ARG001
    """Its first array in another shape."""
    first = next(iter(trained))
    return trained | {first: trained[first][:, :-1]}


def filled(value: float) -> Callable[[Arrays, Arrays], Arrays]:
    """One number everywhere."""
    return lambda _sent, trained: {name: np.full_like(array, value) for name, array in trained.items()}


def flipped(sent: Arrays, trained: Arrays) -> Arrays:
    """Its update backwards and a hundred times as long."""
    return {name: sent[name] - 100 * (array - sent[name]) for name, array in trained.items()}


def honest(sent: Arrays, trained: Arrays) -> Arrays:  # noqa: ARG001
    """What it trained."""
    return trained


ATTACKS: dict[str, tuple[Callable[[Arrays, Arrays], Arrays], float | None]] = {
    "none": (honest, None),
    "extra_key": (named, None),
    "wrong_shape": (shaped, None),
    "garbage": (honest, None),
    "nan": (filled(np.nan), None),
    "inf": (filled(np.inf), None),
    "sign_flip": (flipped, None),
    "many_examples": (flipped, 10**9),
    "nan_examples": (honest, float("nan")),
    "negative_examples": (honest, -1293),  # what the nine others have: all together have none
}
"""By name: from the arrays sent and trained to those replied, and the number of examples declared, None for the true one."""


def app(attack: str) -> ClientApp:
    """The ordinary app with one hostile client."""
    made, (changed, examples) = ClientApp(), ATTACKS[attack]

    @made.train()
    def train(message: Message, context: Context) -> Message:
        sent = {name: array.numpy() for name, array in message.content["arrays"].items()}
        reply = client_app.train(message, context)
        if context.node_config["partition-id"] != 0:
            return reply
        trained = {name: array.numpy() for name, array in reply.content["arrays"].items()}
        arrays = {name: Array(array) for name, array in changed(sent, trained).items()}
        if attack == "garbage":
            arrays = {name: Array(a.dtype, a.shape, a.stype, b"garbage" * 9) for name, a in arrays.items()}
        metrics = dict(reply.content["metrics"])
        if examples is not None:
            metrics["num-examples"] = examples
        return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": MetricRecord(metrics)}), reply_to=message)

    made.evaluate()(client_app.evaluate)
    return made


server = server_app.app
sign_flip, many_examples, nan_examples, negative_examples = map(
    app, ("sign_flip", "many_examples", "nan_examples", "negative_examples")
)
