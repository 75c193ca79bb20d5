"""The register tile, the only matrix product of the time loop, and the panel that it fills.

    out[row, column] = start[row, column] + Σ over k of x[row, k] · w[k, column]

A column is a vector: of one accumulator's units in the forward pass, of neighbouring units in the backward pass. A tile
keeps some rows times some columns of sums in registers through one loop over k. Weights lie packed as `[k, column,
lane]`, in the order in which the loop reads them. A mask says which columns an operand feeds, so one tile serves every
accumulator of every cell: operands that feed the same columns are summed one after the other in the same registers, and
others have a pass of their own, whose registers hold nothing but what it feeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from rnnbench.kernels.target import target
from rnnbench.kernels.vector import I32, I64, Vector, declare, load_vector, splat, store_vector

# Weights of a piece, where rows are many: 12 KiB of AVX2's vectors (16 and 24 were slower with 32 KiB of L1), 24 KiB of
# AVX-512's; and fewer where the next piece's are asked for meanwhile and take as much of L1 again.
NEAR_VECTORS, FAR_BYTES = 384, 12 * 1024
LINE = 64  # bytes of a cache line
FAR = 320 * 1024  # bytes of a panel's weights, above which all panels' are far away and that is worth hiding ...
TILES_TO_FETCH = 4  # ... by this many tiles: with fewer, what a tile asks for is more than it can hide
UNROLL = 2  # of the loop over k: of 23 instructions for 12 multiply-adds, two are left out
CHAINS = 8  # independent multiply-adds that keep two units of latency four busy
MOST_ROWS = 8  # each takes a pointer, and x86 has no more than 16 for them, the weights, k and its end


Mask = tuple[bool, ...]


@dataclass(frozen=True)
class TilePass:
    """columns: whose sums the registers carry; operands: those that feed them, by number; fresh: the columns that no
    earlier pass has begun."""

    columns: tuple[int, ...]
    operands: tuple[int, ...]
    fresh: frozenset[int]


def one_pass(masks: Sequence[Mask]) -> TilePass:
    """Return the pass of all columns and operands side by side."""
    columns = tuple(range(len(masks[0])))
    return TilePass(columns, tuple(range(len(masks))), frozenset(columns))


def passes(masks: Sequence[Mask]) -> tuple[TilePass, ...]:
    """Return the passes that make the columns' sums: one for neighbouring operands that feed the same columns, and one
    without operands for the columns that nothing feeds."""
    groups: list[tuple[tuple[int, ...], list[int]]] = []
    for number, mask in enumerate(masks):
        columns = _columns(mask)
        if groups and groups[-1][0] == columns:
            groups[-1][1].append(number)
        elif columns:
            groups.append((columns, [number]))
    if bare := tuple(column for column, wanted in enumerate(zip(*masks, strict=True)) if not any(wanted)):
        groups.append((bare, []))
    begun: set[int] = set()
    found = []
    for columns, operands in groups:
        found.append(TilePass(columns, tuple(operands), frozenset(columns) - begun))
        begun |= set(columns)
    return tuple(found)


def _columns(mask: Mask) -> tuple[int, ...]:
    return tuple(column for column, wanted in enumerate(mask) if wanted)


def tile_rows(vector: Vector, columns: int) -> tuple[int, ...]:
    """Return the row counts of the tiles, largest first: as many as registers hold, then, for what is left over, half
    of it, and from four on each."""
    registers = columns * vector.lanes // target().lanes(vector.dtype)
    sizes = [min(MOST_ROWS, max(1, target().accumulators // registers))]
    while sizes[-1] > 1:
        sizes.append(-(-sizes[-1] // 2) if sizes[-1] > 4 else sizes[-1] - 1)
    return tuple(sizes)


def full_rows(vector: Vector, *masks: Mask) -> int:
    """Return the rows that fill the registers in each pass of a panel."""
    return max(tile_rows(vector, len(one.columns))[0] for one in passes(masks))


def make_panel(vector, *masks, x_step=1):
    """Return an intrinsic panel(n, start, start_stride, out, out_stride, operands), for n rows of all columns.

    Row r of start and of out begins r strides behind its pointer; start's stride may be 0: one bias for all rows; start
    may be out itself. operands: for each mask a tuple (x, at, x_stride, K, w): row r of x begins at
    x + at[r] * x_stride (at: int64 pointer), `x_step` lies between its values, and w holds the packed weights of the
    columns in the mask. Many rows share the weights, so each pass's sum is cut into pieces whose weights stay in L1
    from row to row; few rows (one tile) stream them once whatever the cut.
    """
    zero, line = ir.Constant(I64, 0), LINE * 8 // vector.scalar.bitwidth
    widths = [ir.Constant(I64, sum(mask) * vector.lanes) for mask in masks]

    def fill(builder, one, sizes, row, fetching, n, sources, out, out_stride, operands):
        """Emit all n rows, tile by tile, for one piece of a pass's sum. row: where their count is kept; fetching: see
        `far`; sources: where each column's sums are begun, and their stride."""
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
            begins = [(builder.gep(base, [builder.mul(first, stride)]), stride) for base, stride in sources]
            end = builder.gep(out, [builder.mul(first, out_stride)])
            sums = _load(builder, vector, begins, rows, one.columns)
            fetch_ahead(builder, one, fetching, n, first, rows, operands)
            for number, (x, at, x_stride, K, w) in zip(one.operands, operands, strict=True):
                rows_of_x = _row_pointers(builder, x, builder.gep(at, [first]), x_stride, rows)
                used = [one.columns.index(column) for column in _columns(masks[number])]
                sums = _accumulate(builder, vector, len(one.columns), used, sums, rows_of_x, x_step, K, w)
            _store(builder, vector, end, out_stride, rows, one.columns, sums)
            builder.store(builder.add(first, ir.Constant(I64, rows)), row)
            builder.branch(enough)
            builder.position_at_end(after)

    def far(builder, n, rows, operands):
        """Emit whether the weights behind a piece's are to be prefetched while its tiles are filled."""
        size = zero
        for operand, width in zip(operands, widths, strict=True):
            size = builder.add(size, builder.mul(operand[3], width))
        large = builder.icmp_signed(">", size, ir.Constant(I64, FAR * 8 // vector.scalar.bitwidth))
        return builder.and_(large, builder.icmp_signed(">=", n, ir.Constant(I64, TILES_TO_FETCH * rows)))

    def fetch_ahead(builder, one, fetching, n, first, rows, operands):
        """Prefetch a tile's share of the weights that follow this piece's, so that the next one's first tile does not
        wait for them."""
        after = builder.add(first, ir.Constant(I64, rows))
        for number, (_, _, _, K, w) in zip(one.operands, operands, strict=True):
            size = builder.mul(builder.select(fetching, K, zero), widths[number])
            begin, end = (builder.add(size, builder.sdiv(builder.mul(size, row), n)) for row in (first, after))
            _loop(builder, vector, begin, end, line, [], _fetching(builder, w))

    def part(builder, one, operands, first, last):
        """Return what of a pass's operands lies in [first, last) of their sums over k, one after the other."""
        begin, parts = zero, []
        for number, (x, at, x_stride, K, w) in zip(one.operands, operands, strict=True):
            low, high = (_clamped(builder, builder.sub(end, begin), K) for end in (first, last))
            weights = builder.gep(w, [builder.mul(low, widths[number])])
            parts.append((_value_at(builder, x, low, x_step), at, x_stride, builder.sub(high, low), weights))
            begin = builder.add(begin, K)
        return parts

    def sum_up(builder, one, sizes, row, start, start_stride, out, out_stride, n, operands):
        """Emit one pass, piece by piece."""
        fetching = far(builder, n, sizes[0], operands)
        operands = [operands[number] for number in one.operands]
        total = zero
        for operand in operands:
            total = builder.add(total, operand[3])
        few = builder.icmp_signed("<=", n, ir.Constant(I64, sizes[0]))
        registers = len(one.columns) * vector.lanes // target().lanes(vector.dtype)
        near = ir.Constant(I64, NEAR_VECTORS // registers)
        most = builder.select(fetching, ir.Constant(I64, FAR_BYTES // (registers * target().vector_bytes)), near)
        piece = builder.select(builder.or_(few, builder.icmp_signed("<=", total, most)), total, most)
        entry, body = builder.block, builder.append_basic_block("piece")
        done = builder.append_basic_block("piece.end")
        builder.branch(body)  # once for a sum of nothing too: out = start
        builder.position_at_end(body)
        k = builder.phi(I64)
        k.add_incoming(zero, entry)
        begins = builder.icmp_signed("==", k, zero)
        fresh = builder.select(begins, start, out), builder.select(begins, start_stride, out_stride)
        sources = [fresh if column in one.fresh else (out, out_stride) for column in one.columns]
        following = builder.add(k, piece)
        pieces = part(builder, one, operands, k, following)
        fill(builder, one, sizes, row, fetching, n, sources, out, out_stride, pieces)
        k.add_incoming(following, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, total), body, done)
        builder.position_at_end(done)

    @intrinsic
    def panel(typing, n, start, start_stride, out, out_stride, operands):
        def gen(context, builder, signature, args):
            n, start, start_stride, out, out_stride, packed = args
            operands = [[builder.extract_value(packed, (o, j)) for j in range(5)] for o in range(len(masks))]
            row = cgutils.alloca_once(builder, I64)
            plan, where = passes(masks), (row, start, start_stride, out, out_stride, n, operands)
            if len(plan) == 1:
                sum_up(builder, plan[0], tile_rows(vector, len(plan[0].columns)), *where)
                return context.get_dummy_value()
            with builder.if_else(builder.icmp_signed("==", n, ir.Constant(I64, 1))) as (single, several):
                with single:  # leaves registers free in any case, so it spares the sums the way through memory
                    sum_up(builder, one_pass(masks), (1,), *where)
                with several:
                    for one in plan:
                        sum_up(builder, one, tile_rows(vector, len(one.columns)), *where)
            return context.get_dummy_value()

        scalar, i64 = types.CPointer(vector.scalar), types.int64
        operand = types.Tuple((scalar, types.CPointer(i64), i64, i64, scalar))
        return types.void(i64, scalar, i64, scalar, i64, types.UniTuple(operand, len(masks))), gen

    return panel


def _clamped(builder, value, most):
    """Emit value, but at least 0 and at most `most`."""
    zero = ir.Constant(I64, 0)
    value = builder.select(builder.icmp_signed("<", value, zero), zero, value)
    return builder.select(builder.icmp_signed("<", value, most), value, most)


def _place(builder, vector, base, stride, row, column):
    start = builder.gep(base, [builder.mul(stride, ir.Constant(I64, row))])
    return builder.gep(start, [ir.Constant(I64, column * vector.lanes)])


def _load(builder, vector, begins, rows, columns):
    """Load the sums' start, row by row; begins: of each column its first row, and the rows' stride."""
    places = [
        _place(builder, vector, base, stride, row, column)
        for row in range(rows)
        for column, (base, stride) in zip(columns, begins, strict=True)
    ]
    return [load_vector(builder, vector, place) for place in places]


def _store(builder, vector, base, stride, rows, columns, sums):
    cells = [(row, column) for row in range(rows) for column in columns]
    for cell, value in zip(cells, sums, strict=True):
        store_vector(builder, vector, value, _place(builder, vector, base, stride, *cell))


def _row_pointers(builder, x, at, stride, rows):
    offsets = [builder.load(builder.gep(at, [ir.Constant(I64, row)])) for row in range(rows)]
    return [builder.gep(x, [builder.mul(offset, stride)]) for offset in offsets]


def _value_at(builder, row, k, step):
    return builder.gep(row, [builder.mul(k, ir.Constant(I64, step)) if step > 1 else k])


def _accumulate(builder, vector, columns, used, sums, rows, step, K, w):
    """Return `sums` with one operand's products added, to the columns at `used`. With few rows the sum over k is split
    into several chains, because one chain would wait for its own multiply-adds."""
    numbers = [row * columns + position for row in range(len(rows)) for position in used]
    active = [sums[number] for number in numbers]
    if not active:
        return sums
    in_flight = max(1, len(active) * vector.lanes // target().lanes(vector.dtype))
    chains = -(-CHAINS // in_flight)
    many = len(rows) > len(used) > 2  # weights that all rows keep: LLVM would load the next k's early, and spill
    at_once = chains if chains > 1 else 1 if many else UNROLL

    def multiply(k, carried):
        return _multiply(builder, vector, rows, step, len(used), w, k, carried)

    def unrolled(k, carried):
        for ahead in range(at_once):
            carried = multiply(builder.add(k, ir.Constant(I64, ahead)), carried)
        return carried

    done = zero = ir.Constant(I64, 0)
    if at_once > 1:
        count = ir.Constant(I64, at_once)
        done = builder.mul(builder.sdiv(K, count), count)
    if chains > 1:
        active = _in_chains(builder, vector, chains, active, multiply, done)
    elif at_once > 1:
        active = _loop(builder, vector, zero, done, at_once, active, unrolled)
    active = _loop(builder, vector, done, K, 1, active, multiply)
    result = list(sums)
    for number, value in zip(numbers, active, strict=True):
        result[number] = value
    return result


def _in_chains(builder, vector, chains, sums, multiply, whole):
    """Return `sums` with all of k below `whole`, a multiple of the chains, added."""
    size = len(sums)
    start = sums + [vector.constant(0)] * (size * (chains - 1))

    def body(k, carried):
        out = []
        for chain in range(chains):
            part = carried[chain * size : (chain + 1) * size]
            out += multiply(builder.add(k, ir.Constant(I64, chain)), part)
        return out

    ends = _loop(builder, vector, ir.Constant(I64, 0), whole, chains, start, body)
    total = ends[:size]
    for chain in range(1, chains):
        part = ends[chain * size : (chain + 1) * size]
        total = [builder.fadd(a, b) for a, b in zip(total, part, strict=True)]
    return total


def _multiply(builder, vector, rows, step, columns, w, k, sums):
    """Emit one k: each weight vector and each row's value is loaded once, and every sum takes one multiply-add."""
    base = builder.gep(w, [builder.mul(k, ir.Constant(I64, columns * vector.lanes))])
    fma = declare(builder, f"llvm.fmuladd.{vector.suffix}", vector.llvm, [vector.llvm] * 3)
    weights = [
        load_vector(builder, vector, builder.gep(base, [ir.Constant(I64, j * vector.lanes)])) for j in range(columns)
    ]
    spread = [splat(builder, vector, builder.load(_value_at(builder, row, k, step))) for row in rows]
    pairs = [(row, j) for row in range(len(rows)) for j in range(columns)]
    if len(rows) <= columns:  # what is fewer stays in registers, what is more is loaded when its turn comes
        pairs.sort(key=lambda pair: pair[1])
    out = list(sums)
    for row, j in pairs:
        out[row * columns + j] = builder.call(fma, [spread[row], weights[j], sums[row * columns + j]])
    return out


def _loop(builder, vector, first, last, step, values, body):
    """Emit `for k in range(first, last, step): values = body(k, values)`, in phi nodes; return the values after it."""
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
    """Return a loop's body that prefetches the cache line at w + k into L1; nothing happens where no memory is."""
    bytes_at = ir.IntType(8).as_pointer()
    ask = declare(builder, "llvm.prefetch.p0", ir.VoidType(), [bytes_at, I32, I32, I32])
    reading, nearest, data = (ir.Constant(I32, value) for value in (0, 3, 1))

    def body(k, carried):
        builder.call(ask, [builder.bitcast(builder.gep(w, [k]), bytes_at), reading, nearest, data])
        return carried

    return body


def _not_unrolled(module):
    """Return loop metadata: unrolled by LLVM, the k-loop would hold the operands of two iterations at once and spill
    its sums."""
    disable = module.add_metadata(["llvm.loop.unroll.disable"])
    loop = module.add_metadata([disable, disable, ir.Constant(I64, len(module.metadata))])
    loop.operands = (loop, disable)  # a loop's metadata begins with itself; the number above kept it apart
    return loop
