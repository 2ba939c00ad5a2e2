"""Cheaters who want credit for no work, or for harm: what each sends beside ten honest holders.

All see the public past: every earlier aggregate and, as with disclosure `public`, every earlier update. None sees an update of
its own round, which is sealed.

References:
    Lin, Du, Liu 2019, "Free-riders in federated learning: attacks and defenses".
    Douceur 2002, "The Sybil attack".
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch

from client import task

KEYS = 3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A finished round: its step, float64 `(dim,)`, and the updates it came of, `(clients, dim)`."""

    aggregate: torch.Tensor
    updates: torch.Tensor


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a cheater works with.

    Attributes:
        honest: updates of the round, `(holders, dim)`. The first holder is the one that turns into several keys or flips; all
            others take from these no more than their length.
        history: finished rounds, the latest last.
        flipped: the first holder's update, trained on labels turned round.
        draw: of the cheater.
    """

    honest: torch.Tensor
    history: Sequence[Past]
    flipped: Callable[[], torch.Tensor]
    draw: np.random.Generator

    @property
    def length(self) -> float:
        """The median length of the honest updates: what a cheater takes care to look like."""
        return float(self.honest.to(torch.float64).norm(dim=1).median())

    def noise(self) -> torch.Tensor:
        """A direction without meaning, of length 1."""
        drawn = torch.from_numpy(self.draw.standard_normal(self.honest.shape[1]))
        return drawn / float(drawn.norm())

    def disguised(self, update: torch.Tensor, noise: float) -> torch.Tensor:
        """An update brought to the median length, with so much noise in parts of its length."""
        size = float(update.norm())
        if size == 0.0:
            return torch.zeros_like(update)
        return self.length * (update / size + noise * self.noise())


Cheat: TypeAlias = Callable[[Scene], Sequence[torch.Tensor]]


def _zeros(scene: Scene) -> torch.Tensor:
    return torch.zeros(scene.honest.shape[1], dtype=torch.float64)


def _resent(back: int, noise: float) -> Cheat:
    """The global step of so many rounds ago; zeros before there is one."""

    def cheat(scene: Scene) -> Sequence[torch.Tensor]:
        if len(scene.history) < back:
            return [_zeros(scene)]
        return [scene.disguised(scene.history[-back].aggregate, noise)]

    return cheat


def _copied(back: int, scale: float, noise: float) -> Cheat:
    """An honest update of so many rounds ago, drawn anew each round."""

    def cheat(scene: Scene) -> Sequence[torch.Tensor]:
        if len(scene.history) < back:
            return [_zeros(scene)]
        victim = scene.history[-back].updates[int(scene.draw.integers(len(scene.honest)))]
        return [scale * (scene.disguised(victim, noise) if noise else victim)]

    return cheat


def _mixed(scene: Scene) -> Sequence[torch.Tensor]:
    if not scene.history:
        return [_zeros(scene)]
    parts = (
        torch.from_numpy(scene.draw.standard_normal(len(scene.honest))) @ scene.history[-1].updates[: len(scene.honest)]
    )
    return [scene.disguised(parts + scene.history[-1].aggregate * len(scene.honest), 0.1)]


def _duet(scene: Scene) -> Sequence[torch.Tensor]:
    shared = scene.noise()
    return [scene.length * (shared + 0.1 * scene.noise()) for _ in range(2)]


def _keys(noise: float) -> Cheat:
    """The first holder under so many keys more, each with a noised copy of its update of this round."""
    return lambda scene: [
        scene.honest[0] + noise * float(scene.honest[0].norm()) * scene.noise() for _ in range(KEYS - 1)
    ]


CHEATS: Mapping[str, Cheat] = {
    "zero": lambda scene: [_zeros(scene)],
    "tiny": lambda scene: [scene.honest[0].to(torch.float64) / 100],
    "noise": lambda scene: [scene.length * scene.noise()],
    "noise_shared": _duet,
    "last_delta": _resent(1, 0.1),
    "last_delta_noised": _resent(1, 1.0),
    "stale_delta": _resent(4, 0.1),
    "copy": _copied(1, 1.0, 0.0),
    "copy_scaled": _copied(1, 2.0, 0.0),
    "copy_noised": _copied(1, 1.0, 0.3),
    "copy_old": _copied(3, 1.0, 0.1),
    "copy_beyond": _copied(6, 1.0, 0.1),
    "mixture": _mixed,
    "sign_flip": lambda scene: [-10.0 * scene.honest[0].to(torch.float64)],
    "label_flip": lambda scene: [scene.flipped()],
    "keys_exact": _keys(0.0),
    "keys_noised": _keys(0.3),
}
"""By name. `keys_*` add keys to the first holder; what their party gets beyond one holder is the gain."""


def rare(parts: Sequence[task.Examples], label: int) -> list[task.Examples]:
    """Honest holders' examples, all those of one class moved to the last holder, which has nothing else."""
    mine = [part.labels == label for part in parts]
    whole = task.Examples(
        inputs=torch.cat([part.inputs[own] for part, own in zip(parts, mine, strict=True)]),
        labels=torch.cat([part.labels[own] for part, own in zip(parts, mine, strict=True)]),
    )
    others = [
        task.Examples(inputs=part.inputs[~own], labels=part.labels[~own]) for part, own in zip(parts, mine, strict=True)
    ]
    return [*others[:-1], whole]
