"""Training's products over all visits: dW, dR and db from the pre-activations' gradients on the tape.

    out[slot, i, unit] = Σ over visits of source[visit, i] · tape[visit, slot, unit]

and one row more, i = inputs, with 1 for the source: the sum over visits, db.

BLAS takes the tape transposed and walks it in long strides. Here a chunk of visits is turned once, so that the tile of
`tile.py` reads it in order, and serves every slot.
"""

from numba import njit

from rnnbench.kernels.target import OPTIONS, target
from rnnbench.kernels.tile import make_panel
from rnnbench.kernels.vector import get, pointer, put, shift, vector_type, vectors

CHUNK = 128  # visits whose part of a slot and of the source stay in L2
COLUMNS = 2
BLOCK = 16  # inputs turned at a time: one cache line is read, as many are written


def make_products(dtype):
    """products(source, source_stride, inputs, tape, tape_stride, slots, Hp, visits, out, scratch, index):

    source: row v begins at v * source_stride; tape: slot s of visit v at v * tape_stride + s * Hp; slots int64 [S].
    out [S, inputs + 1, Hp], written whole: its last row is the sum of the tape alone. scratch: as `scratch_size` says;
    index int64 [inputs + 1].
    """
    vector = vector_type(dtype.name, target().lanes(dtype))
    lanes, zero, one = vector.lanes, dtype.type(0), dtype.type(1)
    load, store, _ = vectors(vector, COLUMNS)
    load_one, store_one, _ = vectors(vector, 1)
    panel, narrow_panel = (make_panel(vector, (True,) * columns) for columns in (COLUMNS, 1))

    @njit(**OPTIONS)
    def products(source, source_stride, inputs, tape, tape_stride, slots, Hp, visits, out, scratch, index):
        source_, tape_, out_, index_ = pointer(source), pointer(tape), pointer(out), pointer(index)
        turned = pointer(scratch)
        block = shift(turned, (inputs + 1) * CHUNK)
        for i in range(inputs + 1):
            put(index_, i, i)
        for i in range(slots.size * (inputs + 1) * Hp):
            put(out_, i, zero)
        for v in range(CHUNK):
            put(turned, inputs * CHUNK + v, one)
        for first in range(0, visits, CHUNK):
            count = min(CHUNK, visits - first)
            for i in range(0, inputs, BLOCK):
                for v in range(count):
                    row = shift(source_, (first + v) * source_stride)
                    for j in range(i, min(i + BLOCK, inputs)):
                        put(turned, j * CHUNK + v, get(row, j))
            for s in range(slots.size):
                base = shift(tape_, first * tape_stride + slots[s] * Hp)
                for at in range(0, Hp, COLUMNS * lanes):
                    sums = shift(out_, s * (inputs + 1) * Hp + at)
                    if Hp - at >= COLUMNS * lanes:
                        for v in range(count):
                            store(
                                shift(block, v * COLUMNS * lanes), lanes, load(shift(base, v * tape_stride + at), lanes)
                            )
                        panel(inputs + 1, sums, Hp, sums, Hp, ((turned, index_, CHUNK, count, block),))
                    else:
                        for v in range(count):
                            store_one(
                                shift(block, v * lanes), lanes, load_one(shift(base, v * tape_stride + at), lanes)
                            )
                        narrow_panel(inputs + 1, sums, Hp, sums, Hp, ((turned, index_, CHUNK, count, block),))

    return products


def scratch_size(inputs: int, lanes: int) -> int:
    """Elements of `scratch`."""
    return (inputs + 1 + COLUMNS * lanes) * CHUNK
