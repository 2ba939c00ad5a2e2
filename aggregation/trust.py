"""FLTrust: every update counts by how far it points along one update from clean data, and is given that one's length.

Reference:
    Cao, Fang, Liu, Gong 2021, "FLTrust: Byzantine-robust federated learning via trust bootstrapping", equations 2 to 4.
"""

import numpy as np

from aggregation import geometry as geometries
from aggregation import weights


def fltrust(geometry: geometries.Geometry, root: int) -> weights.Weights:
    """Returns the rows, each rescaled to the length of the root row, averaged by their trust.

    The trust in a row g is TS = max(0, cos(g, g0)) for the root row g0, and the result `sum TS |g0| / |g| g / sum TS`.
    In inner products:

        TS_i = max(0, <g_i, g0>) / (|g_i| |g0|)        numerator_i = TS_i |g0| / |g_i| = max(0, <g_i, g0>) / |g_i|**2

    The root row is a measure and has no weight itself. Rows of zeros are not trusted. If no row is, all weights are 0 and
    nothing moves: the paper leaves that case open.

    Args:
        geometry: Of the rows, the root row among them.
        root: Index of the row that was trained on clean data.

    Returns:
        Weights >= 0 that need not sum to one: a row shorter than the root is stretched.

    Reference:
        Cao et al. 2021, equations 2 to 4.
    """
    inner = geometries.as_floats(geometry.inner)
    squares = inner.diagonal().copy()
    agreement = np.maximum(inner[root], 0.0)
    agreement[root] = 0.0
    # A row of zeros agrees with nothing: 0 / 1.
    squares[squares == 0.0] = 1.0
    trust = agreement / (np.sqrt(squares) * np.sqrt(squares[root]))
    total = float(geometries.total(trust))
    return weights.Weights(numerators=agreement / squares, total=total if total > 0.0 else 1.0)
