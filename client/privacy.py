"""What a holder does to its update before it leaves the machine."""

import torch


def clip(delta: torch.Tensor, bound: float) -> torch.Tensor:
    """`delta` scaled down to an L2 norm of at most `bound`; itself if it is within, or if the bound is infinite.

    Args:
        delta: float32 `(dim,)`, finite.
        bound: > 0.

    Reference:
        M. Abadi et al., "Deep Learning with Differential Privacy", 2016, Algorithm 1 (per update instead of per example).
    """
    norm = float(torch.linalg.vector_norm(delta, dtype=torch.float64))
    return delta if norm <= bound else delta * (bound / norm)
