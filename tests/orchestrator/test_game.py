"""The game that a round's updates play: who points against the aggregate is not paid for thinning out a poison."""

import torch

from aggregation import lattice, shapley
from orchestrator import game

ON = lattice.Lattice(sizes=(2,), exponents=(-8,))
TARGET = torch.tensor([1.0, 0.0], dtype=torch.float64)


def loss(weights: torch.Tensor) -> int:
    return int(((weights.double() - TARGET) ** 2).sum() * 1_000_000)


def test_an_opponent_beside_a_poison_scores_nothing() -> None:
    """21: exact Shapley values pay a small step the wrong way, since any update makes a poison a smaller part of the mean."""
    rows = torch.tensor([[200, 20], [180, -20], [220, 0], [-20, 10], [-900, 0]], dtype=torch.int16)
    aggregate = torch.full((2,), 0.0)
    aggregate[0] = 150.0
    refined = lattice.refine(aggregate.double())
    played = game.Game(loss, ON, torch.zeros(2), rows, refined)
    assert shapley.exact(len(rows), played.utility)[3] > 0
    scores = played.scores("secant_shapley", b"")
    assert scores[3] <= 0
    assert scores[4] < 0 < min(scores[:3])
