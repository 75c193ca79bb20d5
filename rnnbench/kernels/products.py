"""Training's products over all visits: dW, dR and db from the pre-activations' gradients on the tape.

    out[row, unit, i] = Σ over visits of tape[visit, slot, unit] · source[visit, i]

in the canonical layout of W and R, and db[unit], the sum over visits.

BLAS takes the tape transposed and walks it in long strides. Here the units of a chunk of visits are copied once, in
groups of as many as the tile has rows, so that the tile of `tile.py` reads them in order, one value for each of its
rows at every visit, and the copy serves every block of inputs of every source: x, h and an earlier stage's result.
"""

from typing import Any

from numba import types

from rnnbench.kernels.call import FED, PRODUCTS
from rnnbench.kernels.target import jit, target
from rnnbench.kernels.tile import make_panel, tile_rows
from rnnbench.kernels.vector import constant, get, held, pointer_to, put, record_at, shift, vector_type, vectors

CHUNK = 192  # visits at a time: with two columns of AVX2's vectors, a block of inputs that stays in L1
COLUMNS = 2
UNITS = 96  # at a time, or the tile's next multiple: their copy stays in L2 while all blocks of inputs pass by


def make_products(dtype):
    """products(address), of one record `call.PRODUCTS`.

    tape [T, B, slot, Hp]; each source's out [rows, H, inputs], and db [G, H], are written whole where the record says.
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
    panel, narrow_panel = (make_panel(vector, (True,) * columns, x_step=group) for columns in (COLUMNS, 1))
    reals, integers = pointer_to(vector.scalar), pointer_to(types.int64)
    behind, told, fed_at, fed_size = held(vector.scalar), record_at(PRODUCTS), record_at(FED), FED.itemsize

    end_width = jit(make_end_width(lanes), tag)

    def in_blocks(source, stride, inputs, count, blocks):
        """[block, visit, width]: full blocks of inputs, then what is left, one vector wide where that is enough."""
        full = inputs // width
        for b in range(full):
            for v in range(count):
                store(shift(blocks, (b * CHUNK + v) * width), lanes, load(shift(source, v * stride + b * width), lanes))
        rest, narrow = inputs - full * width, end_width(inputs)
        for v in range(count if rest else 0):
            last = shift(blocks, full * CHUNK * width + v * narrow)
            for j in range(rest):
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

    def multiply(units, count, keep, nothing, groups, index, blocks, inputs, out, ends):
        """out [unit, inputs], begun anew unless `keep`: plus the products of the groups' units and a source's blocks.
        The last block's, if it is not full, go to `ends` [unit, end_width], so that no row runs into the next."""
        full, narrow = inputs // width, end_width(inputs)
        for b in range(-(-inputs // width)):
            goal, step = (shift(out, b * width), inputs) if b < full else (ends, narrow)
            begin, begin_step = (goal, step) if keep else (nothing, 0)
            by_weights = ((groups, index, 1, count, shift(blocks, b * CHUNK * width)),)
            if b < full or narrow > lanes:
                panel(units, begin, begin_step, goal, step, by_weights)
            else:
                narrow_panel(units, begin, begin_step, goal, step, by_weights)

    def block_room(inputs):
        """Elements that a source's blocks take."""
        return -(-inputs // width) * CHUNK * width

    helpers = (in_blocks, in_groups, add_sums, multiply, block_room)
    in_blocks, in_groups, add_sums, multiply, block_room = (jit(helper, tag) for helper in helpers)

    def products(address):
        c = told(address)
        tape, gradient, db = behind(c.tape), behind(c.gradient), shift(behind(c.gradient), c.db_at)
        slots, accumulators, index = integers(c.slots), integers(c.accumulators), integers(c.index)
        H, stride = c.H, c.tape_stride
        first_unit, last_unit = H * c.part // c.parts, H * (c.part + 1) // c.parts
        nothing = reals(c.scratch)
        room = shift(nothing, width)
        groups = shift(room, width)
        blocks = shift(groups, part // group * size)
        for j in range(width):
            put(nothing, j, zero)
        for i in range(part):
            put(index, i, i // group * size + i % group)
        ends = blocks
        for n in range(c.fed):
            ends = shift(ends, block_room(fed_at(c.sources + n * fed_size).inputs))
        for first in range(0, c.visits, CHUNK):
            count = min(CHUNK, c.visits - first)
            own = blocks
            for n in range(c.fed):
                f = fed_at(c.sources + n * fed_size)
                in_blocks(shift(behind(f.source), f.at + first * f.stride), f.stride, f.inputs, count, own)
                own = shift(own, block_room(f.inputs))
            for s in range(c.count):
                for at in range(first_unit, last_unit, part):
                    units = min(part, last_unit - at)
                    in_groups(shift(tape, first * stride + get(slots, s) * c.Hp + at), stride, units, count, groups)
                    add_sums(groups, units, count, first > 0, room, shift(db, get(accumulators, s) * H + at))
                    own, own_ends = blocks, ends
                    for n in range(c.fed):
                        f = fed_at(c.sources + n * fed_size)
                        row = get(integers(f.rows), s)
                        if row >= 0:
                            out = shift(gradient, f.out_at + (row * H + at) * f.inputs)
                            end = shift(own_ends, (s * H + at) * end_width(f.inputs))
                            multiply(units, count, first > 0, nothing, groups, index, own, f.inputs, out, end)
                        own = shift(own, block_room(f.inputs))
                        own_ends = shift(own_ends, c.count * H * end_width(f.inputs))
        for n in range(c.fed):
            f = fed_at(c.sources + n * fed_size)
            rest, narrow = f.inputs % width, end_width(f.inputs)
            for s in range(c.count if rest else 0):
                row = get(integers(f.rows), s)
                for unit in range(first_unit, last_unit if row >= 0 else first_unit):
                    end = shift(ends, (s * H + unit) * narrow)
                    out = shift(gradient, f.out_at + (row * H + unit + 1) * f.inputs - rest)
                    for j in range(rest):
                        put(out, j, get(end, j))
            ends = shift(ends, c.count * H * narrow)

    return jit(products, tag)


def make_end_width(lanes: int) -> Any:
    """end_width(inputs): how wide a source's last block is where it is not full: one vector if that is enough."""

    def end_width(inputs):
        rest = inputs % (COLUMNS * lanes)
        return 0 if rest == 0 else lanes if rest <= lanes else COLUMNS * lanes

    return end_width


def products_workspace(inputs: list[int], H: int, count: int, dtype: Any) -> tuple[int, int]:
    """Elements of `scratch` and of `index` for sources of so many inputs and `count` slots."""
    vector = _vector(dtype)
    width, group = COLUMNS * vector.lanes, tile_rows(vector, COLUMNS)[0]
    part = _units_at_a_time(group)
    groups = part // group * _group_size(group, vector.lanes)
    end_width = make_end_width(vector.lanes)
    of_sources = sum(-(-one // width) * CHUNK * width + count * H * end_width(one) for one in inputs)
    return 2 * width + groups + of_sources, part


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
