"""The register tile: acc[row, column] += x[row, k] · w[k, column], the only matrix product of the time loop.

`rows` batch rows times `columns` vectors of sums stay in registers through one loop over k. Weights lie packed as
`[k, column, lane]`, in the order in which the loop reads them. A mask says which columns this operand feeds, so one
tile serves every accumulator of every cell (those without R are skipped in the pass over h) and the backward pass,
where the columns are neighbouring units.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rnnbench.kernels.target import target
from rnnbench.kernels.vector import I64, declare, load_vector, splat, store_vector

CHAINS = 8  # independent multiply-adds that keep two units of latency four busy


def _not_unrolled(module):
    """Loop metadata: unrolled by LLVM, the k-loop would hold twice its sums' operands and spill."""
    disable = module.add_metadata(["llvm.loop.unroll.disable"])
    loop = module.add_metadata([disable, disable, ir.Constant(I64, len(module.metadata))])
    loop.operands = (loop, disable)  # a loop's metadata begins with itself; the number above kept it apart
    return loop


def make_tile(vector, rows, mask):
    """An intrinsic (acc, x, at, stride, K, w) -> acc, with acc a tuple of rows * columns vectors, row by row.

    x: pointer; row r begins at x + at[r] * stride (at: int64 pointer). w: pointer to the packed weights. With few rows
    the sum over k is split into several chains, because one chain would wait for its own multiply-adds.
    """
    columns, used = len(mask), [c for c, seen in enumerate(mask) if seen]
    in_flight = max(1, rows * len(used) * vector.lanes // target().lanes(vector.dtype))
    chains = -(-CHAINS // in_flight)
    several = types.UniTuple(vector, rows * columns)
    scalar = types.CPointer(vector.scalar)
    sums = [row * columns + column for row in range(rows) for column in used]

    def multiply(builder, row_pointers, w, k, acc):
        """One k: loads the used columns' weights once and feeds every row."""
        base = builder.gep(w, [builder.mul(k, ir.Constant(I64, len(used) * vector.lanes))])
        fma = declare(builder, f"llvm.fmuladd.{vector.suffix}", vector.llvm, [vector.llvm] * 3)
        weights = [
            load_vector(builder, vector, builder.gep(base, [ir.Constant(I64, j * vector.lanes)]))
            for j in range(len(used))
        ]
        spread = [splat(builder, vector, builder.load(builder.gep(pointer, [k]))) for pointer in row_pointers]
        pairs = [(row, j) for row in range(rows) for j in range(len(used))]
        if rows <= len(used):  # what is fewer stays in registers, what is more is loaded when its turn comes
            pairs.sort(key=lambda pair: pair[1])
        out = list(acc)
        for row, j in pairs:
            out[row * len(used) + j] = builder.call(fma, [spread[row], weights[j], acc[row * len(used) + j]])
        return out

    def loop(builder, first, last, step, values, body):
        """for k in range(first, last, step): values = body(k, values); the values after it, in phi nodes."""
        entry = builder.block
        block, done = builder.append_basic_block("k"), builder.append_basic_block("k.end")
        builder.cbranch(builder.icmp_signed("<", first, last), block, done)
        builder.position_at_end(block)
        k = builder.phi(I64)
        k.add_incoming(first, entry)
        carried = [builder.phi(vector.llvm) for _ in values]
        for phi, value in zip(carried, values, strict=True):
            phi.add_incoming(value, entry)
        after = body(k, carried)
        following = builder.add(k, ir.Constant(I64, step))
        k.add_incoming(following, builder.block)
        for phi, value in zip(carried, after, strict=True):
            phi.add_incoming(value, builder.block)
        leaving = builder.block
        again = builder.cbranch(builder.icmp_signed("<", following, last), block, done)
        again.set_metadata("llvm.loop", _not_unrolled(builder.module))
        builder.position_at_end(done)
        result = []
        for before, value in zip(values, after, strict=True):
            phi = builder.phi(vector.llvm)
            phi.add_incoming(before, entry)
            phi.add_incoming(value, leaving)
            result.append(phi)
        return result

    @intrinsic
    def tile(typing, acc, x, at, stride, K, w):
        def gen(context, builder, signature, args):
            acc, x, at, stride, K, w = args
            values = [builder.extract_value(acc, n) for n in range(rows * columns)]
            if used:
                row_pointers = []
                for row in range(rows):
                    index = builder.load(builder.gep(at, [ir.Constant(I64, row)]))
                    row_pointers.append(builder.gep(x, [builder.mul(index, stride)]))
                active = [values[n] for n in sums]
                whole = K
                if chains > 1:
                    active, whole = chained(builder, row_pointers, w, K, active)
                active = loop(
                    builder, whole if chains > 1 else ir.Constant(I64, 0), K, 1, active,
                    lambda k, a: multiply(builder, row_pointers, w, k, a),
                )  # fmt: skip
                for n, value in zip(sums, active, strict=True):
                    values[n] = value
            return context.make_tuple(builder, several, values)

        def chained(builder, row_pointers, w, K, active):
            """All of K that divides by the chains; the sums of the chains, and where the rest begins."""
            count = ir.Constant(I64, chains)
            whole = builder.mul(builder.sdiv(K, count), count)
            zero = vector.constant(0)
            start = active + [zero] * (len(active) * (chains - 1))

            def body(k, carried):
                out = []
                for chain in range(chains):
                    part = carried[chain * len(active) : (chain + 1) * len(active)]
                    out += multiply(builder, row_pointers, w, builder.add(k, ir.Constant(I64, chain)), part)
                return out

            ends = loop(builder, ir.Constant(I64, 0), whole, chains, start, body)
            while len(ends) > len(active):  # the last chain into the first, until one is left
                tail = ends[-len(active) :]
                head = ends[: len(active)]
                ends = [builder.fadd(a, b) for a, b in zip(head, tail, strict=True)] + ends[len(active) : -len(active)]
            return ends, whole

        return several(several, scalar, types.CPointer(types.int64), types.int64, types.int64, scalar), gen

    return tile


def tile_memory(vector, rows, columns):
    """Intrinsics (base, stride) -> acc and (base, stride, acc): row r's `columns` vectors lie side by side at
    base + r * stride elements. Loading with stride 0 gives every row the same: how a bias enters.
    """
    several = types.UniTuple(vector, rows * columns)

    def place(builder, base, stride, row, column):
        start = builder.gep(base, [builder.mul(stride, ir.Constant(I64, row))])
        return builder.gep(start, [ir.Constant(I64, column * vector.lanes)])

    cells = [(row, column) for row in range(rows) for column in range(columns)]

    @intrinsic
    def load(typing, base, stride):
        def gen(context, builder, signature, args):
            values = [load_vector(builder, vector, place(builder, *args, *cell)) for cell in cells]
            return context.make_tuple(builder, several, values)

        return several(types.CPointer(vector.scalar), types.int64), gen

    @intrinsic
    def store(typing, base, stride, acc):
        def gen(context, builder, signature, args):
            base, stride, acc = args
            for number, cell in enumerate(cells):
                value = builder.extract_value(acc, number)
                store_vector(builder, vector, value, place(builder, base, stride, *cell))
            return context.get_dummy_value()

        return types.void(types.CPointer(vector.scalar), types.int64, several), gen

    return load, store
