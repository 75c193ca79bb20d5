"""A layer without time, on the same tile: out = begin + source · w, for all rows at once.

The head, the gradient that it hands back, and that of a lower layer's output, whose source is the tape: there one
output sums over several runs of a row, one for each accumulator. See `call.DENSE`.
"""

from typing import Any

from numba import types

from rnnbench.kernels.call import DENSE
from rnnbench.kernels.target import jit, target
from rnnbench.kernels.tile import make_panel
from rnnbench.kernels.vector import get, held, pointer_to, put, record_at, shift, vector_type

COLUMNS = 2
ROWS = 64  # that pass by while a block's weights are near


def make_dense(dtype):
    """dense(address), of one record `call.DENSE`; parts share the rows."""
    vector = vector_type(dtype.name, target().lanes(dtype))
    width, tag = block_width(dtype), dtype.name
    panel = make_panel(vector, (True,) * COLUMNS)
    reals, integers = pointer_to(vector.scalar), pointer_to(types.int64)
    behind, told = held(vector.scalar), record_at(DENSE)

    def copy(target, target_stride, source, source_stride, rows, count):
        for r in range(rows):
            for j in range(count):
                put(target, r * target_stride + j, get(source, r * source_stride + j))

    copy = jit(copy, tag)

    def dense(address):
        c = told(address)
        source, out, room, index = behind(c.source), behind(c.out), reals(c.scratch), integers(c.index)
        run_at, begin, weights = integers(c.run_at), reals(c.begin), reals(c.w)
        first, last = c.count * c.part // c.parts, c.count * (c.part + 1) // c.parts
        for i in range(ROWS):
            put(index, i, i)
        for row in range(first, last, ROWS):
            rows = min(ROWS, last - row)
            for block in range(-(-c.outputs // width)):
                at = row * c.outputs + block * width
                left = c.outputs - block * width
                goal, stride = shift(out, at), c.outputs
                if left < width:  # the last block is filled beside its place, and what is wanted of it is copied
                    goal, stride = room, width
                    if c.adds:
                        copy(room, width, shift(out, at), c.outputs, rows, left)
                start, start_stride = (goal, stride) if c.adds else (shift(begin, block * width), 0)
                for run in range(c.runs):
                    x = shift(source, row * c.source_stride + get(run_at, run))
                    w = shift(weights, (block * c.runs + run) * c.K * width)
                    panel(rows, start, start_stride, goal, stride, ((x, index, c.source_stride, c.K, w),))
                    start, start_stride = goal, stride
                if left < width:
                    copy(shift(out, at), c.outputs, room, width, rows, left)

    return jit(dense, tag)


def block_width(dtype: Any) -> int:
    """Outputs of a block: what weights are packed by, and begin is padded to."""
    return COLUMNS * target().lanes(dtype)


def dense_workspace(dtype: Any) -> tuple[int, int]:
    """Elements of `scratch` and of `index`."""
    return ROWS * block_width(dtype), ROWS
