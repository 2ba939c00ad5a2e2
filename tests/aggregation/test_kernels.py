"""The doors to numba: when it is loaded, and on which spans of columns it works."""

import itertools
import pathlib
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch

from aggregation import gram, kernels, registers, spans


def test_numba_is_loaded_by_the_first_call_and_not_before():
    """A command that aggregates nothing does not wait for the compiler."""
    code = """
import sys, torch
from aggregation import combine, coordinatewise, gram
assert "numba" not in sys.modules
gram.products(torch.ones(2, 2))
assert "numba" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_compiled_products_go_by_the_text_of_the_registers():
    """Numba keeps machine code by the text of the calling file alone: another `registers.py` must not find it."""
    gram.products(torch.ones(2, 2, dtype=torch.int16))
    gram.products(torch.ones(2, 2))
    assert zlib.crc32(pathlib.Path(registers.__file__).read_bytes()) == registers.FINGERPRINT
    for kernel in (kernels.integer_products, kernels.float_products):
        assert kernel.signatures
        assert all(signature[-1].value == registers.FINGERPRINT for signature in kernel.signatures)
    assert not kernels._multiply.stats.cache_path


@pytest.mark.parametrize("clients", [1, 4, 51, 120])
def test_more_rows_than_a_block_are_all_multiplied(clients):
    """Tiles and blocks that are not full, rows a power of two apart, and a last run that is no whole step."""
    generator = torch.Generator().manual_seed(9)
    for dim in (2048, 2049):
        matrix = torch.randint(-32768, 32768, (clients, dim), dtype=torch.int16, generator=generator)
        wide = matrix.to(torch.float64)
        wanted = (wide @ wide.T).to(torch.int64).tolist()
        assert gram.products(matrix).inner.tolist() == wanted
        torch.testing.assert_close(
            gram.products(matrix.to(torch.float32)).inner, (wide @ wide.T).numpy(), rtol=1e-5, atol=1e9
        )


def test_a_part_that_float32_cannot_hold_is_multiplied_in_float64():
    """Panel by panel, overflow, underflow, nothing but zeros: none of them spoils another."""
    matrix = torch.randn(3, 4 * kernels.PANEL, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    matrix[1, kernels.PANEL : 2 * kernels.PANEL] = 0
    matrix[0, :] *= 1e30
    matrix[2, 2 * kernels.PANEL :] *= 1e-30
    matrix[:, 3 * kernels.PANEL :] *= 1e-12
    wide = matrix.to(torch.float32).to(torch.float64)
    for part in (slice(0, 2), slice(2, 4)):
        chosen = slice(part.start * kernels.PANEL, part.stop * kernels.PANEL)
        wanted = (wide[:, chosen] @ wide[:, chosen].T).numpy()
        lengths = np.sqrt(np.diag(wanted))
        found = gram.products(wide[:, chosen].to(torch.float32)).inner
        assert np.all(np.abs(found - wanted) <= 1e-6 * lengths[:, None] * lengths[None, :])


def test_a_run_of_limbs_fits_its_lanes():
    """A lane adds RUN / 16 products of an int16 and a limb of up to 8 bits without a sign: below 2**31."""
    assert registers.RUN // 16 * 2**15 * 2**8 < 2**31
    assert registers.RUN % registers.STEP == 0
    assert spans.SPAN % kernels.PANEL == 0


@pytest.mark.parametrize("dim", [1, spans.SPAN, spans.SPAN + 1, 5 * spans.SPAN - 1])
@pytest.mark.parametrize("threads", [1, 3])
def test_spans_cover_all_columns_once_and_in_order(dim, threads):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        found = list(spans.each(dim, lambda first, last: (first, last)))
    finally:
        torch.set_num_threads(before)
    assert [column for first, last in found for column in (first, last)][:1] == [0]
    assert found[-1][1] == dim
    assert all(a[1] == b[0] for a, b in itertools.pairwise(found))


def test_rows_are_read_where_they_lie():
    """Only rows that are not contiguous are copied."""
    matrix = torch.arange(12, dtype=torch.int16).reshape(3, 4)
    numbers, stride = spans.flat(matrix[:, 1:3])
    assert (numbers.tolist(), stride) == (list(range(1, 11)), 4)
    matrix[0, 1] = 77
    assert numbers[0] == 77
    assert spans.flat(matrix[:, ::2])[0].tolist() == [0, 2, 4, 6, 8, 10]
