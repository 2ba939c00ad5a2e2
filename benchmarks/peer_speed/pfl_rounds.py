"""Rounds of pfl's simulated backend in one process, timed: `python pfl_rounds.py '{"folder":...,"warm":2}'` prints JSON.

FederatedAveraging, each holder of one weight, a central step of length 1.
"""

import itertools
import json
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "flower_speed")]

import clock
import torch
import work
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByUser
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.pytorch import PyTorchTensorDataset
from pfl.hyperparam import NNEvalHyperParams, NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel
from torch import nn


class Linear(nn.Linear):
    """The model as pfl asks for it."""

    def loss(self, inputs: torch.Tensor, labels: torch.Tensor, **_: Any) -> torch.Tensor:
        """Mean cross-entropy of a minibatch."""
        return nn.functional.cross_entropy(self(inputs), labels)

    def metrics(self, *_: Any, **__: Any) -> dict[str, Any]:
        """None are asked for."""
        return {}


class Marked(TrainingProcessCallback):
    """Notes when each round ends."""

    def __init__(self) -> None:
        self.marks = [clock.now()]
        self.start_seconds = 0.0

    def after_central_iteration(self, *_: Any, **__: Any) -> tuple[bool, Metrics]:
        """Note it; the run goes on."""
        self.marks.append(clock.now())
        self.start_seconds = self.start_seconds or work.age()
        return False, Metrics()


def main() -> None:
    """Measure what the command line asks for."""
    torch.set_num_threads(1)
    wanted = json.loads(sys.argv[1])
    given = work.Work(wanted["folder"])
    settings, (rounds, cohort) = given.settings, given.cohorts.shape
    turns = itertools.product(range(rounds), range(cohort))
    users = FederatedDataset(lambda user: PyTorchTensorDataset(given.examples(*user)), lambda: next(turns))
    classes, features = given.linear().weight.shape
    module = given.start(Linear(features, classes))

    def local(parameters: Any, lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=lr, momentum=settings["momentum"])

    model = PyTorchModel(module, local, torch.optim.SGD(module.parameters(), lr=1.0))
    backend, marked = SimulatedBackend(users, users, postprocessors=[WeightByUser()]), Marked()
    often = rounds + 1  # but before the first round pfl evaluates whatever is asked; that is a warm one
    asked = NNAlgorithmParams(
        central_num_iterations=rounds, evaluation_frequency=often, train_cohort_size=cohort, val_cohort_size=0
    )
    lessons = NNTrainHyperParams(
        local_num_epochs=1, local_learning_rate=settings["learning_rate"], local_batch_size=settings["batch"]
    )
    FederatedAveraging().run(asked, backend, model, lessons, NNEvalHyperParams(local_batch_size=None), [marked])
    found = work.found(marked.marks, wanted["warm"], marked.start_seconds, clock.peak(), given.loss(module))
    print(found)


if __name__ == "__main__":
    main()
