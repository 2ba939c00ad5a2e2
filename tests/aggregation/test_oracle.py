"""Every rule that byzfl has too, against byzfl 0.0.11 and against the paper's formula, on the same 540 inputs.

Ours must be the formula's value always. Where byzfl's differs from it by more than 1e-5, one of these reasons must hold,
as a condition on the input:

| byzfl's rule | differs where | reason |
|---|---|---|
| NNM, Multi-Krum, Meamed | two rows, or values, are equally near at the cut | its argpartition takes any; we the lower |
| Krum | always unless given f + 1 | it sums n - f - 1 distances, the paper n - f - 2: compared with f + 1 |
| Multi-Krum | n - f - 1 and n - f - 2 distances choose other rows | the same; f + 1 would also average one row less |
| ARC | n = 242, f = 33 (alone up to n = 400) | it rounds 2 f / n (n - f) down from below an integer: a row less |
| CAF | f = 0 | it returns None |
| CAF | a removed client lies farthest out | it scales by it, and never ends |
| CAF, SMEA | float32, eigenvalues below 1e-19 or above 1e19 | their squares under- or overflow, and it divides by zero |
| CAF, SMEA | all rows left are equal | it divides by zero; SMEA then raises |
| CAF, SMEA | the top eigenvalue is double | which eigenvector decides; the paper leaves it open |
| CAF, SMEA | always | its eigenvector is one power step from a random start: here it is fed the exact one |
| GeometricMedian | its 3 steps have not converged | given 2,000 steps and a tiny smoothing; what is minimised is compared |
"""

import collections
import math

import numpy as np
import pytest
import torch

from aggregation import clipping, coordinatewise, geometric_median, krum, spectral, subsets
from tests.aggregation import oracle, papers

aggregators, _ = oracle.load()


def tensor(matrix):
    return torch.from_numpy(matrix)


def kept_subsets(rows, f):
    return math.comb(rows, f) <= 300


def test_average():
    oracle.compare(
        lambda m, f: coordinatewise.mean(tensor(m)).numpy(),
        lambda m, f: aggregators.Average()(oracle.given(m)),
        lambda m, f: m.astype(np.float64).mean(0),
    )


def test_median():
    oracle.compare(
        lambda m, f: coordinatewise.median(tensor(m)).numpy(),
        lambda m, f: aggregators.Median()(oracle.given(m)),
        lambda m, f: np.median(m.astype(np.float64), axis=0),
    )


def test_trimmed_mean():
    oracle.compare(
        lambda m, f: coordinatewise.trimmed_mean(tensor(m), f).numpy(),
        lambda m, f: aggregators.TrMean(f)(oracle.given(m)),
        lambda m, f: np.sort(m.astype(np.float64), axis=0)[f : len(m) - f].mean(0),
    )


def test_meamed():
    def tie(matrix, f):
        wide = matrix.astype(np.float64)
        return "tie" if papers.tie_at(np.abs(wide - np.median(wide, axis=0)).T, len(matrix) - f) else ""

    oracle.compare(
        lambda m, f: coordinatewise.meamed(tensor(m), f).numpy(),
        lambda m, f: aggregators.Meamed(f)(oracle.given(m)),
        papers.meamed,
        reason=tie,
        least=450,
    )


def test_krum():
    oracle.compare(
        lambda m, f: oracle.weighted(m, krum.krum(oracle.geometry_of(m), f)),
        lambda m, f: aggregators.Krum(f + 1)(oracle.given(m)),
        lambda m, f: m[np.argmin(papers.scores(m, f))].astype(np.float64),
        reason=lambda m, f: "tie" if papers.tie_at(papers.scores(m, f), 1) else "",
        fits=lambda rows, f: rows >= 2 * f + 3,
        least=400,
    )


def test_multi_krum():
    def other_rows(matrix, f):
        nearest = np.sort(papers.squared_distances(matrix), axis=1)[:, 1:]
        theirs, ours = nearest[:, : len(matrix) - f - 1].sum(1), papers.scores(matrix, f)
        chosen = [set(np.argsort(scores)[: len(matrix) - f].tolist()) for scores in (theirs, ours)]
        if any(papers.tie_at(scores, len(matrix) - f) for scores in (theirs, ours)):
            return "tie"
        return "one distance more" if chosen[0] != chosen[1] else ""

    oracle.compare(
        lambda m, f: oracle.weighted(m, krum.multi_krum(oracle.geometry_of(m), f)),
        lambda m, f: aggregators.MultiKrum(f)(oracle.given(m)),
        papers.multi_krum,
        reason=other_rows,
        fits=lambda rows, f: rows >= 2 * f + 3,
        least=380,
    )


@pytest.mark.parametrize("steps", [1, 4])
def test_centered_clipping(steps):
    oracle.compare(
        lambda m, f: oracle.weighted(
            m, clipping.centered_clipping(oracle.geometry_of(m), start=None, radius=oracle.radius_of(m), steps=steps)
        ),
        lambda m, f: aggregators.CenteredClipping(L=steps, tau=oracle.radius_of(m))(oracle.given(m)),
        lambda m, f: papers.centered_clipping(m, oracle.radius_of(m), steps),
    )


def test_minimum_diameter():
    oracle.compare(
        lambda m, f: oracle.weighted(m, subsets.mda(oracle.geometry_of(m), f)),
        lambda m, f: aggregators.MDA(f)(oracle.given(m)),
        papers.mda,
        fits=kept_subsets,
        least=350,
    )


def test_smallest_maximum_eigenvalue(monkeypatch):
    def tie(matrix, f):
        if papers.without_spread(matrix, f):
            return "no spread"
        if papers.beyond_float32(matrix):
            return "beyond float32"
        return "tie" if papers.tie_at(papers.spreads(matrix, f)[1], 1) else ""

    oracle.compare(
        lambda m, f: oracle.weighted(m, subsets.smea(oracle.geometry_of(m), f)),
        lambda m, f: oracle.fed(monkeypatch, aggregators.SMEA(f), m, least=300),
        papers.smea,
        reason=tie,
        fits=kept_subsets,
        least=270,
    )


def test_covariance_filter(monkeypatch):
    def known(matrix, f):
        if f == 0:
            return "f = 0"
        if papers.beyond_float32(matrix):
            return "beyond float32"
        theirs = papers.caf(matrix, f, over_removed=True)
        if theirs is None:
            return "never ends, or no spread"
        return "scaled by the removed" if oracle.apart(theirs, papers.caf(matrix, f), matrix) else ""

    oracle.compare(
        lambda m, f: oracle.weighted(m, spectral.caf(oracle.geometry_of(m), f)),
        lambda m, f: oracle.fed(monkeypatch, aggregators.CAF(f), m, least=2 * len(m)),
        papers.caf,
        reason=known,
        least=200,
    )


def test_geometric_median():
    """Both minimise the sum of distances. Ours is a minimum by its own condition; byzfl's, after 2,000 steps, is no lower."""
    counts = collections.Counter()
    for number, (matrix, _f, kind) in enumerate(oracle.inputs()):
        wide = matrix.astype(np.float64)
        mine = oracle.weighted(matrix, geometric_median.geometric_median(oracle.geometry_of(matrix)))
        assert papers.optimality(wide, mine) < 1e-7, f"input {number} ({kind})"
        if number % 6:
            continue
        other = aggregators.GeometricMedian(nu=1e-9 * oracle.radius_of(matrix), T=2000)(wide)
        sums = [np.linalg.norm(wide - point, axis=1).sum() for point in (mine, other)]
        assert sums[0] <= sums[1] * (1 + 1e-9) + 1e-12 * np.abs(wide).max(), f"input {number} ({kind})"
        counts["not unique, or not there yet" if oracle.apart(mine, other, wide) else "equal"] += 1
    assert counts["equal"] > 60
