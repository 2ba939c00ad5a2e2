"""The outer step: from the model of one round to the model of the next."""

import torch
from jaxtyping import Float32, Float64
from torch import Tensor


def sgd(
    parameters: Float32[Tensor, " dim"], step: Float64[Tensor, " dim"], *, learning_rate: float
) -> Float32[Tensor, " dim"]:
    """Returns the parameters moved along the aggregate: `float32(parameters + learning_rate * step)`.

    Three elementwise operations, each rounded by itself: a float64 product, a float64 sum, one cast. Never `torch.add`
    with `alpha` nor a compiled expression: those may fuse product and sum into one rounding (FMA), on some machines.

    Args:
        parameters: The weights of this round's checkpoint, flat.
        step: The aggregate in the units of the weights, as `lattice.decode_refined` gives it. Updates are differences
            "after minus before" training, so it is added.
        learning_rate: The server's step size; 1.0 with the mean is FedAvg.

    Reference:
        Reddi et al. 2021, "Adaptive federated optimization", algorithm 1 with SGD as the server's optimizer.
        docs/protocol.md P13.
    """
    product = step * learning_rate
    return (parameters.to(torch.float64) + product).to(torch.float32)
