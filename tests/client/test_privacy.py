"""Clipping and noise: what leaves is bounded, then noisy, and nobody can draw the same noise again."""

import numpy as np
import pytest
import torch
from scipy import stats

from client import privacy


def test_the_noise_is_gaussian() -> None:
    """A hundred thousand draws pass Kolmogorov and Smirnov's test of the standard normal, and are not correlated in pairs."""
    drawn = privacy.gaussian(100_001)
    assert (drawn.dtype, drawn.shape) == (np.float64, (100_001,))
    # At this level an honest generator fails once in ten million runs.
    assert stats.kstest(drawn, "norm").pvalue > 1e-7
    assert abs(np.corrcoef(drawn[:-1:2], drawn[1::2])[0, 1]) < 6 / np.sqrt(50_000)
    assert abs(stats.kurtosis(drawn)) < 6 * np.sqrt(24 / 100_000)


def test_noise_is_never_the_same() -> None:
    """The noise comes from the operating system: seeding whatever has a seed does not bring it back."""
    drawn = []
    for _ in range(2):
        torch.manual_seed(7)
        np.random.seed(7)
        drawn.append(privacy.gaussian(64))
    assert not np.isin(drawn[0], drawn[1]).any()


def test_the_size_of_the_noise_is_that_of_the_plan() -> None:
    """Clipped to norm 2 with multiplier 3: on each coordinate a deviation of 6 around the clipped update, in float64."""
    delta = torch.full((40_000,), 1.0)
    out = privacy.release(delta, clip_norm=2.0, noise_multiplier=3.0)
    clipped = privacy.clip(delta, 2.0)
    assert out.dtype == torch.float64
    noise = (out - clipped).numpy() / 6.0
    assert stats.kstest(noise, "norm").pvalue > 1e-7


def test_zeros_are_noisy_too() -> None:
    """An update of zeros leaves as noise alone: that nothing was learned shows no more than what was."""
    assert float(privacy.release(torch.zeros(1000), clip_norm=1.0, noise_multiplier=1.0).abs().min()) > 0


def test_without_noise_the_update_is_clipped_and_nothing_else() -> None:
    """A multiplier of zero is the update itself, to the bit."""
    delta = torch.tensor([3.0, 4.0])
    assert privacy.release(delta, clip_norm=5.0, noise_multiplier=0.0) is delta
    torch.testing.assert_close(privacy.release(delta, clip_norm=1.0, noise_multiplier=0.0), torch.tensor([0.6, 0.8]))


@pytest.mark.parametrize("size", [0, 1, 2, (1 << 20) + 3])
def test_any_number_can_be_drawn(size: int) -> None:
    """Odd numbers, none, and more than one block."""
    drawn = privacy.gaussian(size)
    assert len(drawn) == size
    assert np.isfinite(drawn).all()
    assert len(np.unique(drawn)) == size
