"""The register tile, the only matrix product of the time loop, and the panel that it fills.

    out[row, column] = start[row, column] + Σ over k of x[row, k] · w[k, column]

A column is a vector: of one accumulator's units in the forward pass, of neighbouring units in the backward pass. A tile
keeps some rows times all columns of sums in registers through one loop over k. Weights lie packed as `[k, column,
lane]`, in the order in which the loop reads them. A mask says which columns this x feeds, so one tile serves every
accumulator of every cell: those without R are not met in the pass over h.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from rnnbench.kernels.target import target
from rnnbench.kernels.vector import I64, declare, load_vector, splat, store_vector

L1_FOR_WEIGHTS = 12 * 1024  # bytes; of 12, 16 and 24 KiB the fastest at B = 17 to 48 with 32 KiB of L1
LINE = 64  # bytes of a cache line
FAR = 128 * 1024  # bytes of a panel's weights, above which all panels' lie in L3 and its latency is worth hiding ...
TILES_TO_FETCH = 8  # ... by this many tiles: with fewer, what a tile asks for is more than it can hide
CHAINS = 8  # independent multiply-adds that keep two units of latency four busy


def tile_rows(vector: Any, columns: int) -> tuple[int, ...]:
    """Row counts of the tiles, largest first: as many as registers hold, then what is left over."""
    registers = columns * vector.lanes // target().lanes(vector.dtype)
    sizes = [max(1, target().accumulators // registers)]
    while sizes[-1] > 1:
        sizes.append(-(-sizes[-1] // 2))
    return tuple(sizes)


def make_panel(vector, *masks, x_step=1):
    """An intrinsic panel(n, start, start_stride, out, out_stride, operands), for n rows of all columns.

    Row r of start and of out begins r strides behind its pointer; start's stride may be 0: one bias for all rows; start
    may be out itself. operands: for each mask a tuple (x, at, x_stride, K, w): row r of x begins at
    x + at[r] * x_stride (at: int64 pointer), `x_step` lies between its values, and w holds the packed weights of the
    columns in the mask. Many rows share the weights, so the sum over all operands is cut into pieces whose weights stay
    in L1 from row to row; few rows (one tile) stream them once whatever the cut.
    """
    columns = len(masks[0])
    widths = [sum(mask) * vector.lanes for mask in masks]
    sizes = tile_rows(vector, columns)
    most = ir.Constant(I64, L1_FOR_WEIGHTS * 8 // (max(*widths, 1) * vector.scalar.bitwidth))
    zero, line = ir.Constant(I64, 0), LINE * 8 // vector.scalar.bitwidth

    def fill(builder, row, fetching, n, source, source_stride, out, out_stride, operands):
        """All n rows, tile by tile, for one piece of the sum; row: where their count is kept; fetching: see `far`."""
        builder.store(zero, row)
        for rows in sizes:
            enough = builder.append_basic_block("rows.enough")
            body, after = builder.append_basic_block("rows"), builder.append_basic_block("rows.end")
            builder.branch(enough)
            builder.position_at_end(enough)
            first = builder.load(row)
            left = builder.sub(n, first)
            builder.cbranch(builder.icmp_signed(">=", left, ir.Constant(I64, rows)), body, after)
            builder.position_at_end(body)
            begin = builder.gep(source, [builder.mul(first, source_stride)])
            end = builder.gep(out, [builder.mul(first, out_stride)])
            sums = _load(builder, vector, begin, source_stride, rows, columns)
            fetch_ahead(builder, fetching, n, first, rows, operands)
            for mask, (x, at, x_stride, K, w) in zip(masks, operands, strict=True):
                rows_of_x = _row_pointers(builder, x, builder.gep(at, [first]), x_stride, rows)
                sums = _accumulate(builder, vector, mask, sums, rows_of_x, x_step, K, w)
            _store(builder, vector, end, out_stride, rows, columns, sums)
            builder.store(builder.add(first, ir.Constant(I64, rows)), row)
            builder.branch(enough)
            builder.position_at_end(after)

    def far(builder, n, operands):
        """Whether the weights behind a piece's are to be asked for while its tiles are filled."""
        size = zero
        for operand, width in zip(operands, widths, strict=True):
            size = builder.add(size, builder.mul(operand[3], ir.Constant(I64, width)))
        large = builder.icmp_signed(">", size, ir.Constant(I64, FAR * 8 // vector.scalar.bitwidth))
        return builder.and_(large, builder.icmp_signed(">=", n, ir.Constant(I64, TILES_TO_FETCH * sizes[0])))

    def fetch_ahead(builder, fetching, n, first, rows, operands):
        """Asks for a tile's share of the weights that follow this piece's, so that the next one's first tile does not
        wait for them."""
        after = builder.add(first, ir.Constant(I64, rows))
        for (_, _, _, K, w), width in zip(operands, widths, strict=True):
            size = builder.mul(builder.select(fetching, K, zero), ir.Constant(I64, width))
            begin, end = (builder.add(size, builder.sdiv(builder.mul(size, row), n)) for row in (first, after))
            _loop(builder, vector, begin, end, line, [], _fetching(builder, w))

    def part(builder, operands, first, last):
        """What of the operands lies in [first, last) of their sums over k, one after the other."""
        begin, parts = zero, []
        for (x, at, x_stride, K, w), width in zip(operands, widths, strict=True):
            low, high = (_clamped(builder, builder.sub(end, begin), K) for end in (first, last))
            weights = builder.gep(w, [builder.mul(low, ir.Constant(I64, width))])
            parts.append((_value_at(builder, x, low, x_step), at, x_stride, builder.sub(high, low), weights))
            begin = builder.add(begin, K)
        return parts

    @intrinsic
    def panel(typing, n, start, start_stride, out, out_stride, operands):
        def gen(context, builder, signature, args):
            n, start, start_stride, out, out_stride, packed = args
            operands = [[builder.extract_value(packed, (o, j)) for j in range(5)] for o in range(len(masks))]
            total = operands[0][3]
            for operand in operands[1:]:
                total = builder.add(total, operand[3])
            row = cgutils.alloca_once(builder, I64)
            fetching = far(builder, n, operands)
            few = builder.icmp_signed("<=", n, ir.Constant(I64, sizes[0]))
            piece = builder.select(builder.or_(few, builder.icmp_signed("<=", total, most)), total, most)
            entry, body = builder.block, builder.append_basic_block("piece")
            done = builder.append_basic_block("piece.end")
            builder.branch(body)  # once for a sum of nothing too: out = start
            builder.position_at_end(body)
            k = builder.phi(I64)
            k.add_incoming(zero, entry)
            begins = builder.icmp_signed("==", k, zero)
            source = builder.select(begins, start, out)
            stride = builder.select(begins, start_stride, out_stride)
            following = builder.add(k, piece)
            pieces = part(builder, operands, k, following)
            fill(builder, row, fetching, n, source, stride, out, out_stride, pieces)
            k.add_incoming(following, builder.block)
            builder.cbranch(builder.icmp_signed("<", following, total), body, done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        scalar, i64 = types.CPointer(vector.scalar), types.int64
        operand = types.Tuple((scalar, types.CPointer(i64), i64, i64, scalar))
        return types.void(i64, scalar, i64, scalar, i64, types.UniTuple(operand, len(masks))), gen

    return panel


def _clamped(builder, value, most):
    """value, but at least 0 and at most `most`."""
    zero = ir.Constant(I64, 0)
    value = builder.select(builder.icmp_signed("<", value, zero), zero, value)
    return builder.select(builder.icmp_signed("<", value, most), value, most)


def _place(builder, vector, base, stride, row, column):
    start = builder.gep(base, [builder.mul(stride, ir.Constant(I64, row))])
    return builder.gep(start, [ir.Constant(I64, column * vector.lanes)])


def _load(builder, vector, base, stride, rows, columns):
    """The sums' start, row by row."""
    cells = [(row, column) for row in range(rows) for column in range(columns)]
    return [load_vector(builder, vector, _place(builder, vector, base, stride, *cell)) for cell in cells]


def _store(builder, vector, base, stride, rows, columns, sums):
    for number, value in enumerate(sums):
        store_vector(builder, vector, value, _place(builder, vector, base, stride, *divmod(number, columns)))


def _row_pointers(builder, x, at, stride, rows):
    offsets = [builder.load(builder.gep(at, [ir.Constant(I64, row)])) for row in range(rows)]
    return [builder.gep(x, [builder.mul(offset, stride)]) for offset in offsets]


def _value_at(builder, row, k, step):
    return builder.gep(row, [builder.mul(k, ir.Constant(I64, step)) if step > 1 else k])


def _accumulate(builder, vector, mask, sums, rows, step, K, w):
    """`sums` with one operand's products added. With few rows the sum over k is split into several chains, because one
    chain would wait for its own multiply-adds."""
    used = [column for column, fed in enumerate(mask) if fed]
    if not used:
        return sums
    numbers = [row * len(mask) + column for row in range(len(rows)) for column in used]
    active = [sums[number] for number in numbers]
    in_flight = max(1, len(active) * vector.lanes // target().lanes(vector.dtype))
    chains = -(-CHAINS // in_flight)
    first = ir.Constant(I64, 0)
    if chains > 1:
        count = ir.Constant(I64, chains)
        whole = builder.mul(builder.sdiv(K, count), count)
        active = _in_chains(builder, vector, chains, active, rows, step, len(used), w, whole)
        first = whole
    active = _loop(
        builder, vector, first, K, 1, active, lambda k, a: _multiply(builder, vector, rows, step, len(used), w, k, a)
    )
    result = list(sums)
    for number, value in zip(numbers, active, strict=True):
        result[number] = value
    return result


def _in_chains(builder, vector, chains, active, rows, step, used, w, whole):
    """All of k below `whole`, a multiple of the chains, added to `active`."""
    size = len(active)
    start = active + [vector.constant(0)] * (size * (chains - 1))

    def body(k, carried):
        out = []
        for chain in range(chains):
            part = carried[chain * size : (chain + 1) * size]
            out += _multiply(builder, vector, rows, step, used, w, builder.add(k, ir.Constant(I64, chain)), part)
        return out

    ends = _loop(builder, vector, ir.Constant(I64, 0), whole, chains, start, body)
    total = ends[:size]
    for chain in range(1, chains):
        part = ends[chain * size : (chain + 1) * size]
        total = [builder.fadd(a, b) for a, b in zip(total, part, strict=True)]
    return total


def _multiply(builder, vector, rows, step, used, w, k, sums):
    """One k: each weight vector and each row's value is loaded once, and every sum takes one multiply-add."""
    base = builder.gep(w, [builder.mul(k, ir.Constant(I64, used * vector.lanes))])
    fma = declare(builder, f"llvm.fmuladd.{vector.suffix}", vector.llvm, [vector.llvm] * 3)
    weights = [
        load_vector(builder, vector, builder.gep(base, [ir.Constant(I64, j * vector.lanes)])) for j in range(used)
    ]
    spread = [splat(builder, vector, builder.load(_value_at(builder, row, k, step))) for row in rows]
    pairs = [(row, j) for row in range(len(rows)) for j in range(used)]
    if len(rows) <= used:  # what is fewer stays in registers, what is more is loaded when its turn comes
        pairs.sort(key=lambda pair: pair[1])
    out = list(sums)
    for row, j in pairs:
        out[row * used + j] = builder.call(fma, [spread[row], weights[j], sums[row * used + j]])
    return out


def _loop(builder, vector, first, last, step, values, body):
    """for k in range(first, last, step): values = body(k, values), in phi nodes; the values after it."""
    entry = builder.block
    block, done = builder.append_basic_block("k"), builder.append_basic_block("k.end")
    builder.cbranch(builder.icmp_signed("<", first, last), block, done)
    builder.position_at_end(block)
    k = builder.phi(I64)
    k.add_incoming(first, entry)
    carried = [builder.phi(vector.llvm) for _ in values]
    after = body(k, carried)
    following = builder.add(k, ir.Constant(I64, step))
    k.add_incoming(following, block)
    again = builder.cbranch(builder.icmp_signed("<", following, last), block, done)
    again.set_metadata("llvm.loop", _not_unrolled(builder.module))
    builder.position_at_end(done)
    result = []
    for phi, before, value in zip(carried, values, after, strict=True):
        phi.add_incoming(before, entry)
        phi.add_incoming(value, block)
        result.append(builder.phi(vector.llvm))
        result[-1].add_incoming(before, entry)
        result[-1].add_incoming(value, block)
    return result


def _fetching(builder, w):
    """A loop's body that asks for the cache line at w + k, into L1; nothing happens where no memory is."""
    i8, i32 = ir.IntType(8), ir.IntType(32)
    prefetch = declare(builder, "llvm.prefetch.p0", ir.VoidType(), [i8.as_pointer(), i32, i32, i32])
    reading, nearest, data = (ir.Constant(i32, value) for value in (0, 3, 1))

    def body(k, carried):
        place = builder.bitcast(builder.gep(w, [k]), i8.as_pointer())
        builder.call(prefetch, [place, reading, nearest, data])
        return carried

    return body


def _not_unrolled(module):
    """Loop metadata: unrolled by LLVM, the k-loop would hold the operands of two turns at once and spill its sums."""
    disable = module.add_metadata(["llvm.loop.unroll.disable"])
    loop = module.add_metadata([disable, disable, ir.Constant(I64, len(module.metadata))])
    loop.operands = (loop, disable)  # a loop's metadata begins with itself; the number above kept it apart
    return loop
