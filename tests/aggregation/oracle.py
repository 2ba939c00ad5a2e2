"""The peer byzfl 0.0.11 as an oracle: how it is loaded, the inputs, and what counts as the same.

`make peers` fetches it into `.peers/byzfl`; FOLKMOOT_BYZFL names another folder that holds it.
"""

import collections
import functools
import importlib.util
import itertools
import math
import os
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from aggregation import combine, geometry, gram, mixture, weights

FOLDER = Path(os.environ.get("FOLKMOOT_BYZFL", Path(__file__).parents[2] / ".peers" / "byzfl"))
INPUTS = 540
KINDS = ("normal", "far", "copies", "small integers", "far from zero", "huge", "tiny", "equal", "one-hot")


def load():
    """The modules (aggregators, preaggregators). Its own `__init__` would import torchvision, which no rule needs."""
    if not (FOLDER / "byzfl" / "aggregators" / "aggregators.py").exists():
        pytest.skip(f"byzfl is not in {FOLDER}: `make peers` fetches it", allow_module_level=True)
    if importlib.util.find_spec("scipy") is None:
        pytest.skip("byzfl needs scipy", allow_module_level=True)
    package = types.ModuleType("byzfl")
    package.__path__ = [str(FOLDER / "byzfl")]
    sys.modules["byzfl"] = package
    from byzfl.aggregators import aggregators, preaggregators

    return aggregators, preaggregators


@functools.cache
def inputs():
    """(matrix, f, kind): 5 to 30 rows, 1 to 200 columns, f from 0 to the most, half float64 and half float32."""
    cases = []
    for number in range(INPUTS):
        generator = np.random.default_rng(number)
        kind = KINDS[number % len(KINDS)]
        rows = int(generator.integers(5, 31) if number % 2 else generator.integers(5, 13))
        f = int(generator.integers(0, (rows - 1) // 2 + 1))
        dim = int(generator.choice([1, 2, 5, 30, 200]))
        matrix = generator.normal(size=(rows, dim))
        match kind:
            case "far":
                matrix[:f] += 1e3
            case "copies":
                matrix[rows // 2 :] = matrix[: rows - rows // 2]
            case "small integers":
                matrix = generator.integers(-2, 3, size=(rows, dim))
            case "far from zero":
                matrix = generator.integers(-50, 51, size=(rows, dim)) + 2.0**16
            case "huge" | "tiny":
                matrix *= 2.0 ** (40 if kind == "huge" else -40)
            case "equal":
                matrix[:] = matrix[0]
            case "one-hot":
                matrix = np.eye(rows, dim)
        cases.append((matrix.astype(np.float64 if number // len(KINDS) % 2 else np.float32), f, kind))
    return cases


def apart(left, right, matrix):
    """Whether two results differ by more than 1e-5 of themselves, and by more than rounding of the largest number."""
    if not np.all(np.isfinite(left)) or not np.all(np.isfinite(right)):
        return True
    rounding = 1e-13 if matrix.dtype == np.float64 else 1e-6
    allowed = 1e-5 * np.abs(right).max() + rounding * np.abs(matrix).max()
    return bool(np.abs(np.asarray(left, dtype=np.float64) - np.asarray(right, dtype=np.float64)).max() > allowed)


def compare(ours, theirs, literal, *, reason=lambda _matrix, _f: "", fits=lambda _rows, _f: True, least=INPUTS):
    """Counts of equal inputs, at least `least`, of those that differ by reason, and of those the paper leaves open."""
    counts = collections.Counter()
    for number, (matrix, f, kind) in enumerate(inputs()):
        if not fits(len(matrix), f):
            continue
        mine, formula = ours(matrix, f), literal(matrix, f)
        if formula is None:
            counts["open"] += 1
            continue
        assert not apart(mine, formula, matrix), f"input {number} ({kind}): ours is not the formula's value"
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                other = np.asarray(theirs(matrix, f), dtype=np.float64)
        except (EndlessError, TypeError, IndexError):
            other = np.full(matrix.shape[1], math.nan)
        if not apart(mine, other, matrix):
            counts["equal"] += 1
            continue
        known = reason(matrix, f)
        assert known, f"input {number} ({kind}): byzfl's value differs and no reason is known"
        counts[known] += 1
    assert counts["equal"] >= least
    return counts


def geometry_of(matrix):
    return geometry.of(gram.products(torch.from_numpy(matrix)))


def weighted(matrix, decided, mix=None):
    """What `recipe` does with weights: settled on the clients, then one weighted sum."""
    mix = mix or mixture.identity(len(matrix))
    return combine.combine(torch.from_numpy(matrix), weights.settle_floats(decided, mix), 1).numpy()


def mixed(matrix, mix):
    return mixture.as_real(mix) @ matrix.astype(np.float64)


def given(matrix):
    """A copy in the form byzfl gets it, since it overwrites: float64 for its numpy half, float32 for its torch half."""
    return torch.from_numpy(matrix.copy()) if matrix.dtype == np.float32 else matrix.copy()


def radius_of(matrix):
    """About the length of the median row: some are clipped, some are not."""
    return float(np.median(np.linalg.norm(matrix.astype(np.float64), axis=1))) or 1.0


class EndlessError(Exception):
    """byzfl's CAF has taken more steps than there are rows."""


def fed(monkeypatch, rule, matrix, least=0):
    """The value of its CAF or SMEA with an exact eigenvector: from a random start it makes one step of the power method.

    The draw is replaced by the top right singular vector of what it is about to look at, so its one step is exact.
    """
    steps = itertools.count()

    def draw(dimension, **_device):
        if next(steps) > least:
            raise EndlessError
        frame = sys._getframe(1).f_locals
        differences = np.asarray(frame["diffs"], dtype=np.float64)
        scale = np.sqrt(np.asarray(frame["c"], dtype=np.float64))[:, np.newaxis] if "c" in frame else 1.0
        top = np.linalg.svd(scale * differences, full_matrices=False)[2][0]
        return torch.from_numpy(top).float() if matrix.dtype == np.float32 else top

    monkeypatch.setattr(np.random, "randn", draw)
    monkeypatch.setattr(torch, "randn", draw)
    return np.asarray(rule(given(matrix)), dtype=np.float64)
