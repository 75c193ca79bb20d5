"""Training's products over all visits: dW, dR and db from the pre-activations' gradients on the tape.

    out[row, unit, i] = Σ over visits of tape[visit, slot, unit] · source[visit, i]

in the canonical layout of W and R, and db[unit], the sum over visits.

BLAS takes the tape transposed and walks it in long strides. Here the units of a chunk of visits are copied once, in
groups of as many as the tile has rows, so that the tile of `tile.py` reads them in order, one value for each of its
rows at every visit, and the copy serves every block of inputs.
"""

from typing import Any

from numba import types

from rnnbench.kernels.call import PRODUCTS
from rnnbench.kernels.target import jit, target
from rnnbench.kernels.tile import make_panel, tile_rows
from rnnbench.kernels.vector import constant, get, held, pointer_to, put, record_at, shift, vector_type, vectors

CHUNK = 192  # visits at a time: with two columns of AVX2's vectors, a block of inputs that stays in L1
COLUMNS = 2
UNITS = 96  # at a time, or the tile's next multiple: their copy stays in L2 while all blocks of inputs pass by


def make_products(dtype):
    """products(address), of one record `call.PRODUCTS`.

    tape [T, B, slot, Hp]; out [rows, H, inputs] and db [G, H] are written whole where the record's slots say.
    """
    vector = _vector(dtype)
    lanes, zero, tag = vector.lanes, dtype.type(0), dtype.name
    width = COLUMNS * lanes
    load, store, _ = vectors(vector, COLUMNS)
    load_one, store_one, _ = vectors(vector, 1)
    none = constant(vector, 0)
    group = tile_rows(vector, COLUMNS)[0]
    whole = _whole_vectors(group, lanes)
    load_group, store_group, _ = vectors(vector, whole // lanes)
    size = _group_size(group, lanes)
    part = _units_at_a_time(group)
    panel = make_panel(vector, (True,) * COLUMNS, x_step=group)
    reals, integers = pointer_to(vector.scalar), pointer_to(types.int64)
    behind, told = held(vector.scalar), record_at(PRODUCTS)

    def in_blocks(source, stride, inputs, count, blocks):
        """[block, visit, width]: full blocks of inputs, then what is left."""
        full = inputs // width
        for b in range(full):
            for v in range(count):
                store(shift(blocks, (b * CHUNK + v) * width), lanes, load(shift(source, v * stride + b * width), lanes))
        if full * width < inputs:
            for v in range(count):
                last = shift(blocks, (full * CHUNK + v) * width)
                for j in range(inputs - full * width):
                    put(last, j, get(source, v * stride + full * width + j))

    def in_groups(source, stride, units, count, groups):
        """[group, visit, unit] from source [visit, unit]. Whole vectors are copied: what one writes too much, the next
        visit's overwrites, and behind the last there is room."""
        full = (units - whole) // group + 1 if units >= whole else 0
        for v in range(count):
            row, at = shift(source, v * stride), shift(groups, v * group)
            for g in range(full):
                store_group(shift(at, g * size), lanes, load_group(shift(row, g * group), lanes))
            for u in range(full * group, units):
                put(at, u // group * size + u % group, get(row, u))

    def add_sums(groups, units, count, keep, room, sums):
        """sums [unit], begun anew unless `keep`: plus the sum of each unit's values in `groups`."""
        for u in range(0, units, group):
            for p in range(0, group, lanes):
                at = shift(groups, u // group * size + p)
                even, odd = none(), none()
                for v in range(0, count - 1, 2):
                    even = even + load_one(shift(at, v * group), 0)[0]
                    odd = odd + load_one(shift(at, (v + 1) * group), 0)[0]
                if count % 2:
                    even = even + load_one(shift(at, (count - 1) * group), 0)[0]
                store_one(room, 0, (even + odd,))
                for j in range(u + p, min(u + min(p + lanes, group), units)):
                    put(sums, j, get(room, j - u - p) + (get(sums, j) if keep else zero))

    in_blocks, in_groups, add_sums = (jit(helper, tag) for helper in (in_blocks, in_groups, add_sums))

    def products(address):
        c = told(address)
        source, tape, gradient = shift(behind(c.source), c.source_at), behind(c.tape), behind(c.gradient)
        out, db = shift(gradient, c.out_at), shift(gradient, c.db_at)
        H, inputs, stride = c.H, c.inputs, c.tape_stride
        slots, rows, accumulators, index = (
            integers(c.slots), integers(c.rows), integers(c.accumulators), integers(c.index)
        )  # fmt: skip
        first_unit, last_unit = H * c.part // c.parts, H * (c.part + 1) // c.parts
        full = inputs // width
        rest = inputs - full * width
        nothing = reals(c.scratch)
        room = shift(nothing, width)
        groups = shift(room, width)
        ends = shift(groups, part // group * size)
        blocks = shift(ends, c.count * H * width)
        for j in range(width):
            put(nothing, j, zero)
        for i in range(part):
            put(index, i, i // group * size + i % group)
        for first in range(0, c.visits, CHUNK):
            count = min(CHUNK, c.visits - first)
            in_blocks(shift(source, first * c.source_stride), c.source_stride, inputs, count, blocks)
            for s in range(c.count):
                for at in range(first_unit, last_unit, part):
                    units = min(part, last_unit - at)
                    gradients = shift(tape, first * stride + get(slots, s) * c.Hp + at)
                    in_groups(gradients, stride, units, count, groups)
                    sums = shift(db, get(accumulators, s) * H + at)
                    add_sums(groups, units, count, first > 0, room, sums)
                    for b in range(full + (rest > 0)):
                        if b < full:
                            goal, step = shift(out, (get(rows, s) * H + at) * inputs + b * width), inputs
                        else:
                            goal, step = shift(ends, (s * H + at) * width), width
                        begin, begin_step = (goal, step) if first else (nothing, 0)
                        weights = shift(blocks, b * CHUNK * width)
                        panel(units, begin, begin_step, goal, step, ((groups, index, 1, count, weights),))
        for s in range(c.count):
            for unit in range(first_unit, last_unit):
                end = shift(ends, (s * H + unit) * width)
                for j in range(rest):
                    put(out, (get(rows, s) * H + unit) * inputs + full * width + j, get(end, j))

    return jit(products, tag)


def products_workspace(inputs: int, H: int, count: int, dtype: Any) -> tuple[int, int]:
    """Elements of `scratch` and of `index` for `count` slots."""
    vector = _vector(dtype)
    width, group = COLUMNS * vector.lanes, tile_rows(vector, COLUMNS)[0]
    part = _units_at_a_time(group)
    groups, blocks = part // group * _group_size(group, vector.lanes), -(-inputs // width) * CHUNK * width
    return width * (2 + count * H) + groups + blocks, part


def _vector(dtype: Any) -> Any:
    return vector_type(dtype.name, target().lanes(dtype))


def _whole_vectors(group: int, lanes: int) -> int:
    """Elements of the vectors that hold a group."""
    return -(-group // lanes) * lanes


def _units_at_a_time(group: int) -> int:
    return -(-UNITS // group) * group


def _group_size(group: int, lanes: int) -> int:
    """Elements of a group's copy: all visits of a chunk, and what the last one's vectors write too much."""
    return CHUNK * group + _whole_vectors(group, lanes) - group
