"""Training's products over all visits: dW, dR and db from the pre-activations' gradients on the tape.

    out[row, unit, i] = Σ over visits of tape[visit, slot, unit] · source[visit, i]

in the canonical layout of W and R, and db[unit], the sum over visits.

BLAS takes the tape transposed and walks it in long strides. Here the units of a chunk of visits are copied once, in
groups of as many as the tile has rows, so that the tile of `tile.py` reads them in order, one value for each of its
rows at every visit, and the copy serves every block of inputs of every operand: x, h and an earlier stage's result.
"""

from collections.abc import Callable

from numba import types

from rnnbench.kernels.args import OperandArgs, ProductsArgs
from rnnbench.kernels.pointers import deref_as, load, offset, pointer_to, store, vectors
from rnnbench.kernels.records import args_at, record_dtype
from rnnbench.kernels.target import DType, jit, target
from rnnbench.kernels.tile import make_panel, tile_rows
from rnnbench.kernels.vector import Vector, constant, vector_type

CHUNK = 192  # visits at a time: with two columns of AVX2's vectors, a block of inputs that stays in L1
COLUMNS = 2
UNITS = 96  # at a time, or the tile's next multiple: their copy stays in L2 while all blocks of inputs pass by


def make_products(dtype):
    """Return products(address), of one record `ProductsArgs`.

    tape [T, B, slot, Hp]; each operand's out [rows, H, inputs], and db [G, H], are written whole where the record says.
    """
    vector, group, whole, size, part = _grouping(dtype)
    lanes, zero = vector.lanes, dtype.type(0)
    width = COLUMNS * lanes
    load_vectors, store_vectors, _ = vectors(vector, COLUMNS)
    load_one, store_one, _ = vectors(vector, 1)
    zeros = constant(vector, 0)
    load_group, store_group, _ = vectors(vector, whole // lanes)
    panel, narrow_panel = (make_panel(vector, (True,) * columns, x_step=group) for columns in (COLUMNS, 1))
    reals, integers = pointer_to(vector.scalar), pointer_to(types.int64)
    deref, args_of, operand_at = deref_as(vector.scalar), args_at(ProductsArgs), args_at(OperandArgs)
    operand_size = record_dtype(OperandArgs).itemsize
    end_width = jit(make_end_width(lanes))

    def in_blocks(source, stride, inputs, count, blocks):
        """Copy inputs to [block, visit, width]: full blocks, then what is left, if possible one vector wide."""
        full = inputs // width
        for b in range(full):
            for v in range(count):
                at = offset(blocks, (b * CHUNK + v) * width)
                store_vectors(at, lanes, load_vectors(offset(source, v * stride + b * width), lanes))
        rest, narrow = inputs - full * width, end_width(inputs)
        for v in range(count if rest else 0):
            last = offset(blocks, full * CHUNK * width + v * narrow)
            for j in range(rest):
                store(last, j, load(source, v * stride + full * width + j))

    def in_groups(source, stride, units, count, groups):
        """Copy source [visit, unit] to [group, visit, unit]. Whole vectors are copied: what one writes too much, the
        next visit's overwrites, and behind the last there is memory for it."""
        full = (units - whole) // group + 1 if units >= whole else 0
        for v in range(count):
            row, at = offset(source, v * stride), offset(groups, v * group)
            for g in range(full):
                store_group(offset(at, g * size), lanes, load_group(offset(row, g * group), lanes))
            for u in range(full * group, units):
                store(at, u // group * size + u % group, load(row, u))

    def add_sums(groups, units, count, keep, buffer, sums):
        """Add the sum of each unit's values in `groups` to sums [unit], begun anew unless `keep`."""
        for u in range(0, units, group):
            for p in range(0, group, lanes):
                at = offset(groups, u // group * size + p)
                even, odd = zeros(), zeros()
                for v in range(0, count - 1, 2):
                    even = even + load_one(offset(at, v * group), 0)[0]
                    odd = odd + load_one(offset(at, (v + 1) * group), 0)[0]
                if count % 2:
                    even = even + load_one(offset(at, (count - 1) * group), 0)[0]
                store_one(buffer, 0, (even + odd,))
                for j in range(u + p, min(u + min(p + lanes, group), units)):
                    store(sums, j, load(buffer, j - u - p) + (load(sums, j) if keep else zero))

    def multiply(units, count, keep, nothing, groups, index, blocks, inputs, out, ends):
        """Add the products of the groups' units and an operand's blocks to out [unit, inputs], begun anew unless
        `keep`. The last block's, if it is not full, go to `ends` [unit, end_width], so that no row runs into the
        next."""
        full, narrow = inputs // width, end_width(inputs)
        for b in range(-(-inputs // width)):
            dest, step = (offset(out, b * width), inputs) if b < full else (ends, narrow)
            begin, begin_step = (dest, step) if keep else (nothing, 0)
            by_weights = ((groups, index, 1, count, offset(blocks, b * CHUNK * width)),)
            if b < full or narrow > lanes:
                panel(units, begin, begin_step, dest, step, by_weights)
            else:
                narrow_panel(units, begin, begin_step, dest, step, by_weights)

    def blocks_size(inputs):
        """Return the elements that an operand's blocks take."""
        return -(-inputs // width) * CHUNK * width

    helpers = (in_blocks, in_groups, add_sums, multiply, blocks_size)
    in_blocks, in_groups, add_sums, multiply, blocks_size = (jit(helper) for helper in helpers)

    def products(address):
        args = args_of(address)
        tape, gradient, db = deref(args.tape), deref(args.gradient), offset(deref(args.gradient), args.db_at)
        slots, accumulators, index = integers(args.slots), integers(args.accumulators), integers(args.index)
        H, stride = args.H, args.tape_stride
        first_unit, last_unit = H * args.part // args.parts, H * (args.part + 1) // args.parts
        nothing = reals(args.scratch)
        buffer = offset(nothing, width)
        groups = offset(buffer, width)
        blocks = offset(groups, part // group * size)
        for j in range(width):
            store(nothing, j, zero)
        for i in range(part):
            store(index, i, i // group * size + i % group)
        ends = blocks
        for n in range(args.operand_count):
            ends = offset(ends, blocks_size(operand_at(args.operands + n * operand_size).inputs))
        for first in range(0, args.visits, CHUNK):
            count = min(CHUNK, args.visits - first)
            own = blocks
            for n in range(args.operand_count):
                o = operand_at(args.operands + n * operand_size)
                in_blocks(offset(deref(o.source), o.at + first * o.stride), o.stride, o.inputs, count, own)
                own = offset(own, blocks_size(o.inputs))
            for s in range(args.count):
                for at in range(first_unit, last_unit, part):
                    units = min(part, last_unit - at)
                    source = offset(tape, first * stride + load(slots, s) * args.Hp + at)
                    in_groups(source, stride, units, count, groups)
                    add_sums(groups, units, count, first > 0, buffer, offset(db, load(accumulators, s) * H + at))
                    own, own_ends = blocks, ends
                    for n in range(args.operand_count):
                        o = operand_at(args.operands + n * operand_size)
                        row = load(integers(o.rows), s)
                        if row >= 0:
                            out = offset(gradient, o.out_at + (row * H + at) * o.inputs)
                            end = offset(own_ends, (s * H + at) * end_width(o.inputs))
                            multiply(units, count, first > 0, nothing, groups, index, own, o.inputs, out, end)
                        own = offset(own, blocks_size(o.inputs))
                        own_ends = offset(own_ends, args.count * H * end_width(o.inputs))
        for n in range(args.operand_count):
            o = operand_at(args.operands + n * operand_size)
            rest, narrow = o.inputs % width, end_width(o.inputs)
            for s in range(args.count if rest else 0):
                row = load(integers(o.rows), s)
                for unit in range(first_unit, last_unit if row >= 0 else first_unit):
                    end = offset(ends, (s * H + unit) * narrow)
                    out = offset(gradient, o.out_at + (row * H + unit + 1) * o.inputs - rest)
                    for j in range(rest):
                        store(out, j, load(end, j))
            ends = offset(ends, args.count * H * narrow)

    return jit(products)


def make_end_width(lanes: int) -> Callable[[int], int]:
    """Return end_width(inputs): how wide an operand's last block is where it is not full, one vector if that is
    enough."""

    def end_width(inputs):
        rest = inputs % (COLUMNS * lanes)
        return 0 if rest == 0 else lanes if rest <= lanes else COLUMNS * lanes

    return end_width


def products_workspace(inputs: list[int], H: int, count: int, dtype: DType) -> tuple[int, int]:
    """Return the elements of `scratch` and of `index` for operands of so many inputs and `count` slots."""
    vector, group, _, size, part = _grouping(dtype)
    width, end_width = COLUMNS * vector.lanes, make_end_width(vector.lanes)
    of_operands = sum(-(-one // width) * CHUNK * width + count * H * end_width(one) for one in inputs)
    return 2 * width + part // group * size + of_operands, part


def _grouping(dtype: DType) -> tuple[Vector, int, int, int, int]:
    """Return the vector, the units of a group, the elements of the vectors that hold one, those of a group's copy (all
    visits of a chunk, and what the last one's vectors write too much), and the units at a time."""
    vector = vector_type(dtype.name, target().lanes(dtype))
    group = tile_rows(vector, COLUMNS)[0]
    whole = -(-group // vector.lanes) * vector.lanes
    return vector, group, whole, CHUNK * group + whole - group, -(-UNITS // group) * group
