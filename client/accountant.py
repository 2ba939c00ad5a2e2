"""What noisy releases give away: the one door to dp-accounting.

A holder's update is clipped to a ball of radius C and sent with noise N(0, (z C)^2) on every coordinate; z is the plan's noise
multiplier. Two updates in the ball are up to 2 C apart, whatever data they come from, so a release is a Gaussian mechanism of
sensitivity 2 C, and its epsilon holds for *any* change of the holder's data: one record more, less or other, or all of them.

    mu_i = 2 / z_i        mu = sqrt(mu_1^2 + ... + mu_k^2)        epsilon(delta) is that of one Gaussian mechanism with mu

There is no credit for subsampling: who is in a cohort is public.

References:
    J. Dong, A. Roth, W. Su, "Gaussian Differential Privacy", 2019, corollary 3.3 (adaptive composition).
    B. Balle, Y.-X. Wang, "Improving the Gaussian Mechanism for Differential Privacy", 2018, theorem 8; as dp-accounting has it.
    docs/protocol.md P25.
"""

import math
from collections.abc import Iterable

import dp_accounting

SENSITIVITY = 2.0
"""How far two clipped updates can be apart, in clip norms."""

# Below this the figure is astronomical (above 1e11), and the library's search for it no longer numerically sound.
_LEAST_DEVIATION = 1e-6


def epsilon(multipliers: Iterable[float], delta: float) -> float:
    """The epsilon that releases of the Gaussian mechanism have spent together, at `delta`: 0 or more, or infinity.

    Args:
        multipliers: the noise multiplier of each release, >= 0; 0 is a release without noise.
        delta: 0 to 1; at 0 no noise of this kind is enough.
    """
    inverses = [1 / each if each else math.inf for each in multipliers]
    if not inverses:
        return 0.0
    squares = [each * each for each in inverses]
    total = math.inf if math.inf in squares else math.fsum(squares)
    deviation = 1 / (SENSITIVITY * math.sqrt(total)) if total else math.inf
    if deviation < _LEAST_DEVIATION:
        return math.inf
    return float(dp_accounting.get_epsilon_gaussian(deviation, delta))
