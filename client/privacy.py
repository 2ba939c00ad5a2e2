"""What a holder does to its update before it leaves the machine: clip, then noise.

    released = clip(update, C) + N(0, (z C)^2) on every coordinate        C clip_norm, z noise_multiplier

What follows (the lattice, its bound, sealing) looks at nothing but the released numbers, so it takes nothing from the
guarantee: it is post-processing. `client.accountant` has the guarantee, docs/threat-model.md what it leaves open.

References:
    M. Abadi et al., "Deep Learning with Differential Privacy", 2016, Algorithm 1 (per update instead of per example).
    docs/protocol.md P10, P25.
"""

import math
import os

import numpy as np
import torch

# Coordinates drawn at once: 8 MiB of random bytes, whatever the size of the model.
_BLOCK = 1 << 20


def clip(delta: torch.Tensor, bound: float) -> torch.Tensor:
    """`delta` scaled down to an L2 norm of at most `bound`; itself if it is within, or if the bound is infinite.

    Args:
        delta: float32 `(dim,)`, finite.
        bound: > 0.
    """
    if math.isinf(bound):
        return delta
    norm = float(torch.linalg.vector_norm(delta, dtype=torch.float64))
    return delta if norm <= bound else delta * (bound / norm)


def release(delta: torch.Tensor, *, clip_norm: float, noise_multiplier: float) -> torch.Tensor:
    """What may leave of an update: clipped, and with noise if the plan has any.

    Args:
        delta: float32 `(dim,)`, finite.
        clip_norm: L2 bound, > 0; finite where there is noise.
        noise_multiplier: standard deviation of the noise in clip norms; 0 for none.

    Returns:
        `(dim,)`: float32 without noise, float64 with it, so that the noise keeps its fine grid until the lattice.
    """
    clipped = clip(delta, clip_norm)
    if noise_multiplier == 0:
        return clipped
    noise = torch.from_numpy(gaussian(len(delta))).to(delta.device)
    return clipped.to(torch.float64) + noise * (noise_multiplier * clip_norm)


def gaussian(size: int) -> np.ndarray:
    """Float64 `(size,)` of independent standard normal draws, from the operating system's random bytes.

    Never from a seed of the plan: that is public, and noise which others can draw again they can take off again. Nor from a
    generator that is merely statistically good: where an update is known to be zero (a pixel that is always black) the noise
    lies open, and from enough of it such a generator's state follows, and with that the rest of the noise.

    Reference: G. Box, M. Muller, "A Note on the Generation of Random Normal Deviates", 1958.
    """
    drawn = np.empty(size + size % 2)
    for start in range(0, len(drawn), _BLOCK):
        part = drawn[start : start + _BLOCK]
        words = np.frombuffer(os.urandom(8 * len(part)), dtype="<u8") >> 11
        # 2**-53 to 1: the logarithm of 0 would be infinite.
        uniform = (words + 1) * 2.0**-53
        radius = np.sqrt(-2 * np.log(uniform[0::2]))
        angle = 2 * np.pi * uniform[1::2]
        part[0::2], part[1::2] = radius * np.cos(angle), radius * np.sin(angle)
    return drawn[:size]
