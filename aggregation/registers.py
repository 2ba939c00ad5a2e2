"""Sums over columns in vector registers: the innermost loops of `kernels`, in LLVM's terms.

Integers are exact. A register's lane sums 32-bit products of int16, modulo 2**32. By Cauchy and Schwarz no lane's true
sum passes 2**31 where no row's own squares do, and wraps on the way are harmless.

numba's cache of `kernels` does not look at this file: it goes by `FINGERPRINT` instead.
"""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import no_type_check

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

FINGERPRINT = zlib.crc32(Path(__file__).read_bytes())
# Columns that are summed in registers.
RUN = 1024
# Rows on either side whose pairs are summed at once.
TILE = 5
# Columns that the longest step reads (int16); each of its 16 lanes takes two. A row is padded by zeros to whole steps.
STEP = 32
# What `largest_lane` counts in.
SQUARES_UNIT = 64

_INDEX = ir.IntType(64)
_SHORT, _INT, _LONG = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_SINGLE, _DOUBLE = ir.FloatType(), ir.DoubleType()
# Element -> columns of a step, lanes, type of a lane, type of the sum.
_VECTORS = {
    types.int16: (_SHORT, STEP, STEP // 2, _INT, _LONG),
    types.float32: (_SINGLE, 16, 16, _SINGLE, _DOUBLE),
    types.float64: (_DOUBLE, 8, 8, _DOUBLE, _DOUBLE),
}


def _picked(builder: ir.IRBuilder, vector: ir.Value, lanes: range) -> ir.Value:
    mask = ir.Constant(ir.VectorType(_INT, len(lanes)), list(lanes))
    return builder.shuffle_vector(vector, vector, mask)


def _multiplied(builder: ir.IRBuilder, total: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
    if x.type.element != _SHORT:
        fused = ("contract",)
        return builder.fadd(total, builder.fmul(x, y, flags=fused), flags=fused)
    # The form that LLVM knows as one instruction, multiply and add pairs: vpmaddwd or vpdpwssd.
    wide = ir.VectorType(_INT, STEP)
    pairs = builder.mul(builder.sext(x, wide), builder.sext(y, wide), flags=("nsw",))
    even, odd = (_picked(builder, pairs, range(first, STEP, 2)) for first in (0, 1))
    return builder.add(total, builder.add(even, odd))


def _read(builder: ir.IRBuilder, row: ir.Value, column: ir.Value, element: ir.Type, count: int) -> ir.Value:
    vector = builder.load(builder.bitcast(builder.gep(row, [column]), ir.VectorType(element, count).as_pointer()))
    vector.align = 2
    return vector


def _folded(builder: ir.IRBuilder, vector: ir.Value, fold: Callable[[ir.Value, ir.Value], ir.Value]) -> ir.Value:
    lanes = vector.type.count
    while lanes > 1:
        lanes //= 2
        vector = fold(_picked(builder, vector, range(lanes)), _picked(builder, vector, range(lanes, 2 * lanes)))
    return builder.extract_element(vector, _INT(0))


def _summed(builder: ir.IRBuilder, vector: ir.Value, element: ir.Type) -> ir.Value:
    if vector.type.element != element:
        extend = builder.sext if element == _LONG else builder.fpext
        vector = extend(vector, ir.VectorType(element, vector.type.count))
    return _folded(builder, vector, builder.add if element == _LONG else builder.fadd)


def _tile(
    builder: ir.IRBuilder, left: list[ir.Value], right: list[ir.Value], columns: ir.Value, kind: types.Type
) -> dict[tuple[int, int], ir.Value]:
    """Emits the loop over columns; returns the sum of every pair of rows in the tile."""
    element, step, lanes, lane, total = _VECTORS[kind]
    entry, loop, after = builder.block, builder.append_basic_block("columns"), builder.append_basic_block("sums")
    builder.branch(loop)
    builder.position_at_end(loop)
    column = builder.phi(_INDEX)
    column.add_incoming(_INDEX(0), entry)
    sums = {(r, c): builder.phi(ir.VectorType(lane, lanes)) for r in range(TILE) for c in range(TILE)}

    xs, ys = ([_read(builder, row, column, element, step) for row in rows] for rows in (left, right))
    added = {(r, c): _multiplied(builder, value, xs[r], ys[c]) for (r, c), value in sums.items()}
    following = builder.add(column, _INDEX(step))
    column.add_incoming(following, loop)
    for pair, value in sums.items():
        value.add_incoming(ir.Constant(value.type, [0] * lanes), entry)
        value.add_incoming(added[pair], loop)
    builder.cbranch(builder.icmp_signed("<", following, columns), loop, after)
    builder.position_at_end(after)
    return {pair: _summed(builder, value, total) for pair, value in added.items()}


@no_type_check
@intrinsic
def multiply_tile(  # noqa: ANN201, PLR0917
    typing_context,  # noqa: ANN001, ARG001
    left,  # noqa: ANN001
    left_rows,  # noqa: ANN001
    i,  # noqa: ANN001, ARG001
    right,  # noqa: ANN001
    right_rows,  # noqa: ANN001
    j,  # noqa: ANN001, ARG001
    columns,  # noqa: ANN001, ARG001
    scale,  # noqa: ANN001, ARG001
    total,  # noqa: ANN001
):
    """Adds `scale` times the inner products of rows i.. of `left` with rows j.. of `right` to `total[i.., j..]`.

    Row r of either begins at its number `rows[r]`; `columns` are whole steps.
    """

    def generate(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        arrays = [
            context.make_array(kind)(context, builder, argument) if isinstance(kind, types.Array) else None
            for kind, argument in zip(signature.args, arguments, strict=True)
        ]

        def rows(numbers, begins, first):  # noqa: ANN001, ANN202
            places = (builder.gep(begins.data, [builder.add(first, _INDEX(r))]) for r in range(TILE))
            return [builder.gep(numbers.data, [builder.load(place)]) for place in places]

        left_rows, right_rows = rows(*arrays[:2], arguments[2]), rows(*arrays[3:5], arguments[5])
        added = _tile(builder, left_rows, right_rows, arguments[6], signature.args[0].dtype)
        width = builder.extract_value(arrays[8].shape, 1)
        for (r, c), value in added.items():
            row, column = builder.add(arguments[2], _INDEX(r)), builder.add(arguments[5], _INDEX(c))
            place = builder.gep(arrays[8].data, [builder.add(builder.mul(row, width), column)])
            exact = value.type == _LONG
            add, multiply = (builder.add, builder.mul) if exact else (builder.fadd, builder.fmul)
            builder.store(add(builder.load(place), multiply(value, arguments[7])), place)
        return context.get_dummy_value()

    index = types.int64
    return types.void(left, left_rows, index, right, right_rows, index, index, total.dtype, total), generate


@no_type_check
@intrinsic
def largest_lane(typing_context, row, columns):  # noqa: ANN001, ANN201, ARG001
    """Returns the largest sum of squares of a lane of an int16 row, in units of 64 and not rounded down."""

    def generate(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        pointer = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        entry, loop, after = builder.block, builder.append_basic_block("squares"), builder.append_basic_block("largest")
        builder.branch(loop)
        builder.position_at_end(loop)
        lanes = ir.VectorType(_INT, STEP // 2)
        column, total = builder.phi(_INDEX), builder.phi(lanes)
        vector = _read(builder, pointer, column, _SHORT, STEP)
        square = _multiplied(builder, ir.Constant(lanes, [0] * lanes.count), vector, vector)
        shifted = builder.lshr(square, ir.Constant(lanes, [SQUARES_UNIT.bit_length() - 1] * lanes.count))
        added = builder.add(total, builder.add(shifted, ir.Constant(lanes, [1] * lanes.count)))
        following = builder.add(column, _INDEX(STEP))
        for phi, first, value in (
            (column, _INDEX(0), following),
            (total, ir.Constant(lanes, [0] * lanes.count), added),
        ):
            phi.add_incoming(first, entry)
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, arguments[1]), loop, after)
        builder.position_at_end(after)
        return _folded(builder, added, lambda x, y: builder.select(builder.icmp_signed(">", x, y), x, y))

    return types.int32(row, types.int64), generate
