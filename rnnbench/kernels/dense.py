"""A layer without time, on the same tile: out = begin + source · w, for all rows at once.

The head, the gradient that it hands back, and that of a lower layer's output, whose source is the tape: there one
output sums over several runs of a row, one for each accumulator. See `DenseArgs`.
"""

from numba import types

from rnnbench.kernels.args import DenseArgs
from rnnbench.kernels.pointers import deref_as, load, offset, pointer_to, store
from rnnbench.kernels.records import args_at
from rnnbench.kernels.target import DType, jit, target
from rnnbench.kernels.tile import make_panel
from rnnbench.kernels.vector import vector_type

COLUMNS = 2
ROWS = 64  # that pass by while a block's weights are near


def make_dense(dtype):
    """Return dense(address), of one record `DenseArgs`; parts share the rows."""
    vector = vector_type(dtype.name, target().lanes(dtype))
    width = block_width(dtype)
    panel = make_panel(vector, (True,) * COLUMNS)
    reals, integers = pointer_to(vector.scalar), pointer_to(types.int64)
    deref, args_of = deref_as(vector.scalar), args_at(DenseArgs)

    def copy(target, target_stride, source, source_stride, rows, count):
        for r in range(rows):
            for j in range(count):
                store(target, r * target_stride + j, load(source, r * source_stride + j))

    copy = jit(copy)

    def dense(address):
        args = args_of(address)
        source, out, buffer, index = deref(args.source), deref(args.out), reals(args.scratch), integers(args.index)
        run_at, begin, weights = integers(args.run_at), reals(args.begin), reals(args.w)
        first, last = args.count * args.part // args.parts, args.count * (args.part + 1) // args.parts
        for i in range(ROWS):
            store(index, i, i)
        for row in range(first, last, ROWS):
            rows = min(ROWS, last - row)
            for block in range(-(-args.outputs // width)):
                at = row * args.outputs + block * width
                left = args.outputs - block * width
                dest, stride = offset(out, at), args.outputs
                if left < width:  # the last block is filled beside its place, and what is wanted of it is copied
                    dest, stride = buffer, width
                    if args.adds:
                        copy(buffer, width, offset(out, at), args.outputs, rows, left)
                start, start_stride = (dest, stride) if args.adds else (offset(begin, block * width), 0)
                for run in range(args.runs):
                    x = offset(source, row * args.source_stride + load(run_at, run))
                    w = offset(weights, (block * args.runs + run) * args.K * width)
                    panel(rows, start, start_stride, dest, stride, ((x, index, args.source_stride, args.K, w),))
                    start, start_stride = dest, stride
                if left < width:
                    copy(offset(out, at), args.outputs, buffer, width, rows, left)

    return jit(dense)


def block_width(dtype: DType) -> int:
    """Return the outputs of a block: weights are packed by it, and begin is padded to it."""
    return COLUMNS * target().lanes(dtype)


def dense_workspace(dtype: DType) -> tuple[int, int]:
    """Return the elements of `scratch` and of `index`."""
    return ROWS * block_width(dtype), ROWS
