"""The real numbers of docs/protocol.md P12 in plain Python, written from that document alone, as `tests.stranger_rules`."""

import math
from typing import Any

Vector = list[float]
Matrix = list[Any]


def add(v: Vector) -> float:
    """In order: Python's own sum of floats is compensated from 3.12 on."""
    total = v[0]
    for each in v[1:]:
        total += each
    return total


def dot(v: Vector, w: Vector) -> float:
    """Sum of the products."""
    return add([p * q for p, q in zip(v, w, strict=True)])


def plus(v: Vector, w: Vector, factor: float) -> Vector:
    """The sum of v and factor * w."""
    return [p + factor * q for p, q in zip(v, w, strict=True)]


def times(matrix: Matrix, v: Vector) -> Vector:
    """Rows of a matrix, weighted and added up."""
    return [dot(list(column), v) for column in zip(*matrix, strict=True)]


def seen(squared: Matrix, o: int) -> Matrix:
    """Inner products as seen from row o."""
    rows = range(len(squared))
    return [[float(squared[i][o] + squared[j][o] - squared[i][j]) / 2 for j in rows] for i in rows]


def trace(matrix: Matrix) -> float:
    """Sum of the diagonal."""
    return add([row[i] for i, row in enumerate(matrix)])


def unit(v: Vector) -> Vector:
    """A vector of length 1."""
    length = math.sqrt(dot(v, v))
    return [each / length for each in v]


def away(p: Matrix, w: Vector, z: Vector, more: float) -> Vector:
    """Distances from a point, smoothed by `more`."""
    q = dot(w, z)
    return [math.sqrt(max((p[i][i] - 2 * z[i]) + q, 0.0) + more) for i in range(len(z))]


def geometric_median(squared: Matrix) -> list[Any]:
    """Geometric median."""
    m = len(squared)
    d = [[math.sqrt(float(each)) for each in row] for row in squared]
    sums = [add(row) for row in d]
    o = sums.index(min(sums))
    p = seen(squared, o)
    v = [1 / each if each else 0.0 for each in d[o]]
    if dot(v, times(p, v)) < float(d[o].count(0) ** 2) * (1 - 2.0**-30):
        return [int(i == o) for i in range(m)]
    s = 2.0**-30 * sorted(d[o])[m // 2]
    return descent(p, s * s, m)


def descent(matrix: Matrix, s: float, m: int) -> Vector:
    """The loop of the geometric median."""
    w = [1 / m] * m
    v, z, least, g, kept = w, times(matrix, w), math.inf, 1.0, None
    for _ in range(300):
        d = away(matrix, w, z, s)
        if kept and add(d) > least * (1 + 2.0**-40):
            w, z, g, kept = kept[0], kept[1], 1.0, None
            continue
        least, v = add(d), [1 / each for each in d]
        a = [each / add(v) for each in v]
        b = times(matrix, a)
        p, r = plus(a, w, -1.0), plus(b, z, -1.0)
        if add(v) * math.sqrt(max(dot(p, r), 0.0)) <= 2.0**-33 * m:
            break
        x, w, z = w, a, b
        if kept:
            t = plus(r, kept[3], -1.0)
            if dot(plus(x, kept[4], -1.0), t) >= 0:
                g = h = 10 * g
            else:
                g, y = 1.0, dot(plus(p, kept[2], -1.0), t)
                h = -dot(p, t) / y if y > 0 else 0.0
            w, z = plus(a, plus(a, kept[0], -1.0), h), plus(b, plus(b, kept[1], -1.0), h)
        kept = (a, b, p, r, x)
    return v


def centered_clipping(squared: Matrix) -> Vector:
    """Centered clipping."""
    m = len(squared) - 1
    p, h = seen(squared, m), [0.0] * m + [1.0]
    for _ in range(5):
        d = away(p, h, times(p, h), 0.0)
        reach = sorted(d[:m])[(m - 1) // 2]
        c = [1.0 if each <= reach else reach / each for each in d[:m]] + [0.0]
        left = 1 - add(c) / m
        h = [held * left + each / m for held, each in zip(h, c, strict=True)]
    return h


def centred(e: Matrix, w: Vector) -> Matrix:
    """Inner products as seen from the weighted mean."""
    t = times(e, w)
    s, rows = dot(w, t), range(len(w))
    return [[(((t[i] + t[j]) - e[i][j]) - s) / 2 for j in rows] for i in rows]


def uniform(e: Matrix) -> Matrix:
    """The same, seen from the plain mean."""
    return centred(e, [1 / len(e)] * len(e))


def squared_of(matrix: Matrix) -> Matrix:
    """The square, its trace 1."""
    columns = list(zip(*matrix, strict=True))
    return scaled([[dot(p, q) for q in columns] for p in columns])


def scaled(matrix: Matrix) -> Matrix:
    """A matrix divided by its trace."""
    whole = trace(matrix)
    return [[each / whole for each in row] for row in matrix]


def largest(matrix: Matrix, bar: float) -> float:
    """Greatest eigenvalue, or infinity beyond the bar."""
    u = trace(matrix)
    if u > bar * len(matrix):
        return math.inf
    if u <= 0:
        return 0.0
    a = scaled(matrix)
    for e in range(52):
        r = add([dot(column, column) for column in zip(*a, strict=True)])
        for _ in range(e):
            r = math.sqrt(r)
        low, u = u * r, u * math.sqrt(r)
        if low > bar:
            return math.inf
        if r > 1 - 2.0**-46:
            return u
        a = squared_of(a)
    return u


def direction(matrix: Matrix) -> Vector:
    """Unit vector of the greatest eigenvalue."""
    if trace(matrix) <= 0:
        return unit([1.0] * len(matrix))
    a = scaled(matrix)
    for _ in range(52):
        b, a = a, squared_of(a)
        if max(abs(p - q) for r, s in zip(a, b, strict=True) for p, q in zip(r, s, strict=True)) < 2.0**-46:
            break
    diagonal = [a[i][i] for i in range(len(a))]
    j = diagonal.index(max(diagonal))
    return unit([row[j] for row in a])


def krylov(matrix: Matrix) -> Vector:
    """The vector of `top` for many rows."""
    v = unit([(i + 1) * 0.6180339887498949 % 1 - 0.5 for i in range(len(matrix))])
    basis: Matrix = []
    images: Matrix = []
    for _ in range(32):
        basis.append(v)
        images.append(times(matrix, v))
        y = images[-1]
        for known in basis + basis:
            y = plus(y, known, -dot(y, known))
        if dot(y, y) <= 2.0**-92 * dot(images[-1], images[-1]):
            break
        v = unit(y)
    n = [[dot(image, b) for b in basis] for image in images]
    rows = range(len(n))
    g = direction([[(n[a][b] + n[b][a]) / 2 for b in rows] for a in rows])
    return unit(times(basis, g))


def stretch(e: Matrix, w: Vector) -> tuple[float, Vector]:
    """Greatest eigenvalue of the covariance, and the deviations along it."""
    k, y, rows = centred(e, w), [math.sqrt(each) for each in w], range(len(w))
    matrix = [[(k[i][j] * y[j]) * y[i] for j in rows] for i in rows]
    u = direction(matrix) if len(w) <= 64 else krylov(matrix)
    a = [abs(each) for each in times(k, [p * q for p, q in zip(y, u, strict=True)])]
    p = max(a)
    return (dot(u, times(matrix, u)), [(each / p) * (each / p) for each in a]) if p > 0 else (0.0, a)


def caf(squared: Matrix, f: int) -> Vector:
    """Weights that fade."""
    m = len(squared)
    c = best = [1.0] * m
    least = math.inf
    while (whole := add(c)) > m - 2 * f:
        rows = [i for i in range(m) if c[i] > 0]
        level, t = stretch([[float(squared[i][j]) for j in rows] for i in rows], [c[i] / whole for i in rows])
        if level < least:
            least, best = level, c
        if level <= 0:
            break
        c = list(c)
        for i, each in zip(rows, t, strict=True):
            c[i] = c[i] * (1 - each)
    return best


def dnc_kept(squared: Matrix, f: int) -> list[int]:
    """The rows that one drawing keeps."""
    m = len(squared)
    _, t = stretch([[float(each) for each in row] for row in squared], [1 / m] * m)
    return sorted(range(m), key=t.__getitem__)[: m - f]
