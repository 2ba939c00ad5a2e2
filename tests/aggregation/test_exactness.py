"""The same updates give the same bytes: in any order, on any number of threads, any processor, whole or in parts."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from aggregation import recipe, rules, sharding

PRE_AGGREGATIONS = ["none", "nnm", "arc", "bucketing:2", "arc+nnm", "bucketing:2+clip:300000"]
METHODS = [
    recipe.Method(rule=rule, pre=pre, byzantine=0 if rule == "mean" else 1, draw=b"drawn")
    for rule in rules.RULES
    for pre in PRE_AGGREGATIONS
]


def updates(clients, dim, seed=3):
    """Half of the rows small, one at the bound, two equal: runs of both kinds of kernel, and ties."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randint(-900, 901, (clients, dim), dtype=torch.int16, generator=generator)
    matrix[1] = torch.randint(-32767, 32768, (dim,), dtype=torch.int16, generator=generator)
    matrix[2] = 32767
    matrix[4] = matrix[3]
    return matrix


def digest(values):
    return hashlib.sha256(values.numpy().tobytes()).hexdigest()


def label(method):
    return f"{method.pre}+{method.rule}"


@pytest.mark.parametrize("method", METHODS, ids=label)
def test_the_order_of_clients_does_not_show(method):
    """Whatever order the rows come in, as long as the order of the client ids is told: ties go to the lower id."""
    matrix = updates(14, 300)
    wanted = digest(recipe.aggregate(matrix, method))
    generator = torch.Generator().manual_seed(5)
    for _ in range(4):
        places = torch.randperm(14, generator=generator)
        assert digest(recipe.aggregate(matrix[places], method, order=torch.argsort(places).tolist())) == wanted


@pytest.mark.parametrize("method", METHODS, ids=label)
def test_shards_and_streams_do_not_show(method, tmp_path):
    """Cut into three parts of unequal size, and read from files through a window that divides nothing evenly."""
    matrix = updates(14, 20_011)
    wanted = digest(recipe.aggregate(matrix, method))
    bounds = [(0, 1), (1, 13_000), (13_000, 20_011)]
    measured = sharding.together(
        recipe.measure(matrix[:, first:last], method, first=first, dim=20_011) for first, last in bounds
    )
    decided = recipe.decide(measured, method)
    assert digest(torch.cat([decided.apply(matrix[:, first:last]) for first, last in bounds])) == wanted
    for number, row in enumerate(matrix):
        (tmp_path / f"{number:02}").write_bytes(b"head" + row.numpy().astype("<i2").tobytes())
    files = sharding.Files(paths=sorted(tmp_path.iterdir()), dim=20_011, offset=4)
    parts = []
    sharding.stream(files, method, lambda first, values: parts.append((first, values)), window=7_000)
    assert [first for first, _ in parts] == [0, 7_000, 14_000]
    assert digest(torch.cat([values for _, values in parts])) == wanted


SCRIPT = """
import hashlib, sys, torch
sys.path.insert(0, sys.argv[2])
import test_exactness
from aggregation import credit, lattice, outer, recipe
torch.set_num_threads(int(sys.argv[1]))
matrix = test_exactness.updates(14, 70_001)
digest = hashlib.sha256()
for method in test_exactness.METHODS:
    digest.update(recipe.aggregate(matrix, method).numpy().tobytes())
floats = matrix[0].to(torch.float32) / 7
grid = lattice.Lattice(sizes=(50_000, 20_001), exponents=(-3, -9))
encoded = lattice.encode(grid, floats)
refined = lattice.refine(recipe.aggregate(matrix, test_exactness.METHODS[0]))
step = lattice.decode_refined(grid, refined)
digest.update(encoded.integers.numpy().tobytes() + refined.numpy().tobytes())
digest.update(outer.sgd(floats, step, learning_rate=0.7).numpy().tobytes())
digest.update(repr((encoded.saturated, credit.gram_scores(matrix, refined))).encode())
print(digest.hexdigest())
"""
MACHINES = {
    "one thread": ("1", {}),
    "two threads, AVX2 in torch": ("2", {"ATEN_CPU_CAPABILITY": "avx2"}),
    "four threads, no vectors in torch": ("4", {"ATEN_CPU_CAPABILITY": "default"}),
    "OpenBLAS for Haswell": ("1", {"OPENBLAS_CORETYPE": "Haswell", "MKL_CBWR": "COMPATIBLE"}),
    "OpenBLAS for Nehalem, kernels without AVX": ("2", {"OPENBLAS_CORETYPE": "Nehalem", "NUMBA_CPU_NAME": "nehalem"}),
}


def test_threads_blas_and_processor_do_not_show(tmp_path):
    """One digest over everything this package computes, on five machines that this one can pretend to be."""
    root = Path(__file__).parents[2]
    digests = {}
    for name, (threads, pretended) in MACHINES.items():
        environment = os.environ | {
            "PYTHONPATH": str(root),
            "NUMBA_CACHE_DIR": str(tmp_path / pretended.get("NUMBA_CPU_NAME", "")),
        }
        command = [sys.executable, "-c", SCRIPT, threads, str(Path(__file__).parent)]
        done = subprocess.run(
            command, cwd=root, env=environment | pretended, capture_output=True, text=True, check=True
        )
        digests[name] = done.stdout
    assert len(set(digests.values())) == 1, digests
