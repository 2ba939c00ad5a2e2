"""The rules of docs/protocol.md P12 in plain Python, written from that document alone: nothing of folkmoot is imported."""

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

from tests.stranger_reals import add, caf, centered_clipping, dnc_kept, geometric_median, largest, uniform

Vector = list[float]
Matrix = list[Any]
ORDERED = ("median", "trimmed_mean", "meamed", "bulyan")


def aggregate(x: Matrix, rule: str, pre: str, f: int, draw: bytes = b"", start: list[int] | None = None) -> list[int]:
    """The refined aggregate of enough rows."""
    n = len(x)
    a, k = mixture(x, pre, f, draw)
    if start is not None:
        x, a = [*x, start], [*([*row, 0] for row in a), [0] * n + [k]]
    y = mixed(a, x)
    m, squared = len(y) - (start is not None), distances(y)
    if rule in ORDERED:
        chosen = bulyan(squared, f) if rule == "bulyan" else range(m)
        columns = (
            [[float(each) * xj for each, xj in zip(a[i], column, strict=True)] for i in chosen]
            for column in zip(*x, strict=True)
        )
        return [refine(ordered([add(terms) for terms in column], rule, f, k)) for column in columns]
    weights = dnc(y, f, draw) if rule == "dnc" else RULES[rule](squared, f)
    g, divisor = integers(weights, a, k)
    return [refine(sum(map(int.__mul__, g, column)) / float(divisor)) for column in zip(*x, strict=True)]


def refine(a: float) -> int:
    """P9."""
    return round(a * 256)


def carried(before: int, refined: list[int], now: int) -> list[int]:
    """The start row, for one tensor."""
    return [min(max(round(Fraction(r) * Fraction(2) ** (before - 8 - now)), -32767), 32767) for r in refined]


def judge(x: Matrix, z: list[int], old: Matrix, f: int) -> tuple[Matrix, list[int]]:
    """The standings after a round, and the rows set aside."""
    inner = mixed([*x, z], [list(column) for column in zip(*x, z, strict=True)])
    n, reach = len(x), float(inner[-1][-1])
    if reach == 0:
        return old, []
    d = [math.sqrt(float(inner[i][i])) for i in range(n)]
    after = []
    for i, (gain, length, so_far, rounds) in enumerate(old):
        s = min(d[i], sorted(d)[(n - 1) // 2])
        g = float(inner[i][-1]) * (s / d[i]) if d[i] else 0.0
        new = (0.98 * gain + 0.02 * g, 0.98 * length + 0.02 * (s * s), 0.98 * so_far + 0.02 * reach)
        after.append([*new, rounds + 1])
    gains = [row[0] for row in after]
    q = [math.sqrt(row[1]) * math.sqrt(row[2]) for row in after]
    c = [gain / each if each else 0.0 for gain, each in zip(gains, q, strict=True)]
    middle = sorted(gains)[(n - 1) // 2]
    if middle > 0:
        aside = sorted((i for i in range(n) if c[i] < -0.2), key=lambda i: c[i])
        aside += sorted((i for i in range(n) if gains[i] > 2.5 * middle), key=lambda i: -gains[i])
    else:
        aside = sorted((i for i in range(n) if c[i] > 0.2), key=lambda i: -c[i])
    return after, sorted(aside[:f])


def drawn(draw: bytes, number: int, dim: int) -> list[int]:
    """The coordinates of a drawing."""
    if dim <= 10_000:
        return list(range(dim))
    found: set[int] = set()
    for counter in itertools.count():
        block = hashlib.sha256(draw + b"\n%d\n%d" % (number, counter)).digest()
        for at in range(0, 32, 8):
            found.add(int.from_bytes(block[at : at + 8], "big") % dim)
            if len(found) == 10_000:
                return sorted(found)
    raise AssertionError


def mixture(x: Matrix, pre: str, f: int, draw: bytes) -> tuple[Matrix, int]:
    """A and k of all steps."""
    a, k = [[int(i == j) for j in range(len(x))] for i in range(len(x))], 1
    for part in pre.split("+") if pre != "none" else ():
        name, _, value = part.partition(":")
        b, divisor = step(name, int(value or 2), mixed(a, x), k, f, draw)
        assert largest_of(b) * largest_of(a) * len(a) < 2**63
        a, k = mixed(b, a), k * divisor
    return a, k


def step(name: str, v: int, y: Matrix, k: int, f: int, draw: bytes) -> tuple[Matrix, int]:
    """B and b."""
    m = len(y)
    if name == "nnm":
        squared = distances(y)
        near = [sorted(range(m), key=squared[i].__getitem__)[: m - f] for i in range(m)]
        return [[int(j in row) for j in range(m)] for row in near], m - f
    if name == "bucketing":
        order = sorted(range(m), key=lambda i: hashlib.sha256(draw + b"\n%d" % i).digest())
        buckets = [order[at : at + v] for at in range(0, m, v)]
        b = math.lcm(len(buckets[0]), len(buckets[-1]))
        return [[b // len(bucket) * (j in bucket) for j in range(m)] for bucket in buckets], b
    norms = [sum(each * each for each in row) for row in y]
    s = Fraction(v * k * 1.0) ** 2 if name == "clip" else sorted(norms)[m - 1 - 2 * f * (m - f) // m]
    factors = [65536 if norm <= s else math.isqrt(math.floor(Fraction(2**32 * s) / norm)) for norm in norms]
    return [[factors[i] * (i == j) for j in range(m)] for i in range(m)], 65536


def mixed(a: Matrix, x: Matrix) -> Matrix:
    """The product of two matrices of integers."""
    return [[sum(map(int.__mul__, row, column)) for column in zip(*x, strict=True)] for row in a]


def distances(y: Matrix) -> Matrix:
    """All D."""
    return [[sum((p - q) ** 2 for p, q in zip(r, s, strict=True)) for s in y] for r in y]


def largest_of(matrix: Matrix) -> int:
    """The greatest magnitude."""
    return max(abs(each) for row in matrix for each in row)


def integers(weights: Vector, a: Matrix, k: int) -> tuple[list[int], int]:
    """Weights on the updates, g, and what divides their sum, N."""
    if isinstance(weights[0], float):
        total = add(weights)
        weights = [round(w / total * 2.0**32) for w in weights]
    first = mixed([weights], a)[0]
    g = first
    whole = divisor = sum(weights) * k
    for c in range(32, 0, -1):
        if sum(map(abs, g)) <= 2**37 and int(float(divisor)) == divisor:
            break
        g = [round(Fraction(each * 2**c, whole)) for each in first]
        divisor = sum(g) if sum(first) == whole else 2**c
    return g, divisor


def ordered(column: Vector, rule: str, f: int, k: int) -> float:
    """Order statistics."""
    s, m = sorted(column), len(column)
    low, high = (m - 1) // 2, m // 2
    if rule == "median":
        taken = s[low : high + 1]
    elif rule == "trimmed_mean":
        taken = s[f : m - f]
    else:
        f = 2 * f if rule == "bulyan" else f
        a = sum(s[i] + s[i + m - f] < s[low] + s[high] for i in range(f))
        taken = s[a : a + m - f]
    return add(taken) / float(len(taken) * k)


def even(m: int, chosen: Sequence[int]) -> list[int]:
    """Weight 1 for some."""
    return [int(i in chosen) for i in range(m)]


def ranking(squared: Matrix, left: Sequence[int], count: int) -> list[int]:
    """Rows by Krum's scores."""
    return sorted(left, key=lambda i: sum(sorted(squared[i][j] for j in left if j != i)[:count]))


def bulyan(squared: Matrix, f: int) -> list[int]:
    """The rows that Krum chooses."""
    left, chosen = list(range(len(squared))), []
    while f and len(chosen) < len(squared) - 2 * f:
        chosen.append(ranking(squared, left, max(len(left) - f - 2, 1))[0])
        left.remove(chosen[-1])
    return chosen or left


def subsets(m: int, f: int) -> Iterator[tuple[int, ...]]:
    """Sets of m - f rows, in order."""
    return itertools.combinations(range(m), m - f)


def mda(squared: Matrix, f: int) -> list[int]:
    """Least diameter."""
    m = len(squared)
    return even(m, min(subsets(m, f), key=lambda rows: max(squared[i][j] for i in rows for j in rows)))


def smea(squared: Matrix, f: int) -> list[int]:
    """Least stretch."""
    m, least, best = len(squared), math.inf, tuple(range(len(squared) - f))
    sets = subsets(m, f)
    while block := list(itertools.islice(sets, max(65536 // (m - f) ** 2, 1))):
        bar = least * (1 - 2.0**-40)
        for rows in block:
            value = largest(uniform([[float(squared[i][j]) for j in rows] for i in rows]), bar)
            if value < least * (1 - 2.0**-40):
                least, best = value, rows
    return even(m, best)


def dnc(y: Matrix, f: int, draw: bytes) -> list[int]:
    """Divide and conquer."""
    m, kept = len(y), []
    for number in range(5):
        there = drawn(draw, number, len(y[0]))
        kept += dnc_kept(distances([[row[at] for at in there] for row in y]), f)
    most = max(map(kept.count, range(m)))
    return [int(kept.count(i) == most) for i in range(m)]


RULES: dict[str, Callable[[Matrix, int], list[Any]]] = {
    "mean": lambda squared, _: even(len(squared), range(len(squared))),
    "krum": lambda squared, f: even(len(squared), ranking(squared, range(len(squared)), len(squared) - f - 2)[:1]),
    "multi_krum": lambda squared, f: even(
        len(squared), ranking(squared, range(len(squared)), len(squared) - f - 2)[: len(squared) - f]
    ),
    "geometric_median": lambda squared, _: geometric_median(squared),
    "centered_clipping": lambda squared, _: centered_clipping(squared),
    "mda": mda,
    "smea": smea,
    "caf": caf,
}
