"""An ordinary Flower app of the older kind: a NumPyClient in float64, three lines of logistic regression."""

import numpy as np
from flwr.app import Context
from flwr.client import Client, NumPyClient
from flwr.clientapp import ClientApp

FEATURES, CLASSES, ROWS = 12, 3, 48


class Numeric(NumPyClient):
    """A client of one partition."""

    def __init__(self, partition: int) -> None:
        truth = np.random.default_rng(7).normal(size=(FEATURES, CLASSES))
        self.inputs = np.random.default_rng(1000 + partition).normal(size=(ROWS, FEATURES))
        self.labels = (self.inputs @ truth).argmax(1)

    def get_parameters(self, config):
        """Zeros."""
        return [np.zeros((FEATURES, CLASSES)), np.zeros(CLASSES)]

    def fit(self, parameters, config):
        """Three steps of gradient descent."""
        weight, bias = (each.copy() for each in parameters)
        for _ in range(3):
            error = self._shares(weight, bias) - np.eye(CLASSES)[self.labels]
            weight -= config["lr"] * self.inputs.T @ error / ROWS
            bias -= config["lr"] * error.mean(0)
        return [weight, bias], ROWS, {}

    def evaluate(self, parameters, config):
        """Loss and accuracy."""
        shares = self._shares(*parameters)
        loss = -float(np.log(shares[np.arange(ROWS), self.labels]).mean())
        return loss, ROWS, {"accuracy": float((shares.argmax(1) == self.labels).mean())}

    def _shares(self, weight, bias):
        scores = self.inputs @ weight + bias
        powers = np.exp(scores - scores.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)


def client_fn(context: Context) -> Client:
    """The client of a node."""
    return Numeric(int(context.node_config["partition-id"])).to_client()


app = ClientApp(client_fn=client_fn)
