"""Training's products over all visits: dW, dR and db from the pre-activations' gradients on the tape.

    out[row, unit, i] = Σ over visits of tape[visit, slot, unit] · source[visit, i]

in the canonical layout of W and R, and db[unit], the sum over visits, as one column more: a source of ones.

BLAS takes the tape transposed and walks it in long strides. Here a chunk of visits is turned once, so that the tile of
`tile.py` reads it in order, a row for each unit, and serves every block of inputs.
"""

from numba import njit, types

from rnnbench.kernels.target import OPTIONS, target
from rnnbench.kernels.tile import make_panel
from rnnbench.kernels.vector import get, meet, pointer, pointer_to, put, shift, vector_type, vectors

CHUNK = 128  # visits whose part of a slot and of the source stay in L2
COLUMNS = 2
BLOCK = 16  # units turned at a time: one cache line is read, as many are written


def make_products(dtype):
    """products(source, tape, out, db, call), call: one record `call.PRODUCTS`.

    source: row v begins at v * source_stride, of which `inputs` values count; tape [T, B, slot, Hp]; out [rows, H, I]
    and db [G, H] are written whole where the record's slots say.
    """
    vector = vector_type(dtype.name, target().lanes(dtype))
    lanes, zero, one = vector.lanes, dtype.type(0), dtype.type(1)
    width = COLUMNS * vector.lanes
    load, store, _ = vectors(vector, COLUMNS)
    panel = make_panel(vector, (True,) * COLUMNS)
    reals, integers = pointer_to(vector.scalar), pointer_to(types.int64)

    @njit(**OPTIONS)
    def in_blocks(source, stride, inputs, count, blocks):
        """[block, visit, width]: full blocks of inputs, then one that ends in ones."""
        full = inputs // width
        for b in range(full):
            for v in range(count):
                store(shift(blocks, (b * CHUNK + v) * width), lanes, load(shift(source, v * stride + b * width), lanes))
        for v in range(count):
            last = shift(blocks, (full * CHUNK + v) * width)
            for j in range(inputs - full * width):
                put(last, j, get(source, v * stride + full * width + j))
            put(last, inputs - full * width, one)

    @njit(**OPTIONS)
    def turn(source, stride, units, count, turned):
        """turned [unit, CHUNK] from source [visit, unit]."""
        for u in range(0, units, BLOCK):
            for v in range(count):
                row = shift(source, v * stride)
                for j in range(u, min(u + BLOCK, units)):
                    put(turned, j * CHUNK + v, get(row, j))

    @njit(**OPTIONS)
    def products(source, tape, out, db, call):
        c = call[0]
        H, inputs, stride = c.H, c.inputs, c.tape_stride
        slots, rows, accumulators, index = (
            integers(c.slots), integers(c.rows), integers(c.accumulators), integers(c.index)
        )  # fmt: skip
        first_unit, last_unit = H * c.part // c.parts, H * (c.part + 1) // c.parts
        units, full = last_unit - first_unit, inputs // width
        nothing = reals(c.scratch)
        turned = shift(nothing, width)
        ends = shift(turned, H * CHUNK)
        blocks = shift(ends, c.count * H * width)
        for j in range(width):
            put(nothing, j, zero)
        for i in range(units):
            put(index, i, i)
        for first in range(0, c.visits, CHUNK):
            count = min(CHUNK, c.visits - first)
            in_blocks(shift(pointer(source), first * c.source_stride), c.source_stride, inputs, count, blocks)
            for s in range(c.count):
                turn(
                    shift(pointer(tape), first * stride + get(slots, s) * c.Hp + first_unit),
                    stride,
                    units,
                    count,
                    turned,
                )
                for b in range(full + 1):
                    if b < full:
                        goal, step = shift(pointer(out), (get(rows, s) * H + first_unit) * inputs + b * width), inputs
                    else:
                        goal, step = shift(ends, s * H * width), width
                    begin, begin_step = (goal, step) if first else (nothing, 0)
                    weights = shift(blocks, b * CHUNK * width)
                    panel(units, begin, begin_step, goal, step, ((turned, index, CHUNK, count, weights),))
        for s in range(c.count):
            for u in range(units):
                end, unit = shift(ends, (s * H + u) * width), first_unit + u
                for j in range(inputs - full * width):
                    put(pointer(out), (get(rows, s) * H + unit) * inputs + full * width + j, get(end, j))
                put(pointer(db), get(accumulators, s) * H + unit, get(end, inputs - full * width))
        if c.crew > 1:
            meet(integers(c.barrier), c.met + c.crew)

    return products


def products_workspace(inputs: int, H: int, count: int, lanes: int) -> tuple[int, int]:
    """Elements of `scratch` and of `index` for `count` slots."""
    width = COLUMNS * lanes
    return width * (1 + count * H + (inputs // width + 1) * CHUNK) + H * CHUNK, H
