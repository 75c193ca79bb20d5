"""Bare pointers, and what loads scalars and tuples of vectors through them.

Memory is reached through pointers, not through array indexing: Numba's `a[i]` adds wraparound code to every access, and
passing an array costs seven words a call where a pointer costs one.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rnnbench.kernels.vector import I32, I64, Vector, load_vector, splat, store_vector, vector_type


@intrinsic
def pointer(typing, array):
    """Return a bare pointer to an array's first element."""

    def gen(context, builder, signature, args):
        return context.make_array(signature.args[0])(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), gen


@intrinsic
def offset(typing, base, count):
    """Return base + count elements."""

    def gen(context, builder, signature, args):
        return builder.gep(args[0], [args[1]])

    return base(base, types.int64), gen


@intrinsic
def load(typing, base, index):
    """Return the scalar at base[index]."""

    def gen(context, builder, signature, args):
        return builder.load(builder.gep(args[0], [args[1]]))

    return base.dtype(base, types.int64), gen


@intrinsic
def store(typing, base, index, value):
    """Set base[index] to a scalar of the pointer's own dtype."""

    def gen(context, builder, signature, args):
        builder.store(args[2], builder.gep(args[0], [args[1]]))
        return context.get_dummy_value()

    return types.void(base, types.int64, base.dtype), gen


def _nth(builder, base, stride, number):
    """Emit base + number * stride elements."""
    return builder.gep(base, [builder.mul(stride, ir.Constant(I64, number))])


def vectors(vector, count):
    """Return (load, store, add) for tuples of `count` vectors that lie `stride` elements apart.

    A scalar in a tuple to be stored or added stands for a vector of it: a cell may say `zero`.
    """
    several = types.UniTuple(vector, count)
    base_type = types.CPointer(vector.scalar)

    @intrinsic
    def load(typing, base, stride):
        def gen(context, builder, signature, args):
            values = [load_vector(builder, vector, _nth(builder, *args, n)) for n in range(count)]
            return context.make_tuple(builder, several, values)

        return several(base_type, types.int64), gen

    def writing(combined):
        @intrinsic
        def write(typing, base, stride, values):
            def gen(context, builder, signature, args):
                for n, kind in enumerate(signature.args[2]):
                    at, value = _nth(builder, *args[:2], n), builder.extract_value(args[2], n)
                    value = value if isinstance(kind, Vector) else splat(builder, vector, value)
                    store_vector(builder, vector, combined(builder, at, value), at)
                return context.get_dummy_value()

            return types.void(base_type, types.int64, values), gen

        return write

    store = writing(lambda builder, at, value: value)
    add = writing(lambda builder, at, value: builder.fadd(load_vector(builder, vector, at), value))
    return load, store, add


def pairs(vector, count):
    """Return (load, store) for tuples of `count` vectors of twice the lanes, the first half of each at `first` and the
    second at `second`, `stride` elements apart.

    Two independent halves keep the arithmetic units busy where one would wait for its own results.
    """
    double = vector_type(vector.dtype.name, 2 * vector.lanes)
    several = types.UniTuple(double, count)
    base_type = types.CPointer(vector.scalar)

    def lanes(first, number):
        return ir.Constant(ir.VectorType(I32, number), list(range(first, first + number)))

    @intrinsic
    def load(typing, first, second, stride):
        def gen(context, builder, signature, args):
            first, second, stride = args
            values = []
            for n in range(count):
                halves = [load_vector(builder, vector, _nth(builder, base, stride, n)) for base in (first, second)]
                values.append(builder.shuffle_vector(*halves, lanes(0, 2 * vector.lanes)))
            return context.make_tuple(builder, several, values)

        return several(base_type, base_type, types.int64), gen

    @intrinsic
    def store(typing, first, second, stride, values):
        def gen(context, builder, signature, args):
            first, second, stride, values = args
            for n, kind in enumerate(signature.args[3]):
                value = builder.extract_value(values, n)
                if not isinstance(kind, Vector):
                    value = splat(builder, double, value)
                blank = ir.Constant(double.llvm, ir.Undefined)
                for base, begin in ((first, 0), (second, vector.lanes)):
                    half = builder.shuffle_vector(value, blank, lanes(begin, vector.lanes))
                    store_vector(builder, vector, half, _nth(builder, base, stride, n))
            return context.get_dummy_value()

        return types.void(base_type, base_type, types.int64, values), gen

    return load, store


def transposition(vector):
    """Return transpose(source, source_stride, out, out_stride), which writes the columns of a square of `lanes` rows of
    `lanes` values as rows.

    Each round swaps the off-diagonal quarters of squares half as large (Eklundh 1972), by shuffles of pairs of rows.
    """
    lanes = vector.lanes

    def halves(half, second):
        """Return lanes of rows a (0..) and b (lanes..): of every block of 2 * half the first halves, or the second."""
        picks = []
        for begin in range(0, lanes, 2 * half):
            of_a = range(begin + half * second, begin + half * (1 + second))
            picks += [*of_a, *(lanes + lane for lane in of_a)]
        return ir.Constant(ir.VectorType(I32, lanes), picks)

    @intrinsic
    def transpose(typing, source, source_stride, out, out_stride):
        def gen(context, builder, signature, args):
            rows = [load_vector(builder, vector, _nth(builder, *args[:2], n)) for n in range(lanes)]
            half = lanes // 2
            while half:
                for n in range(lanes):
                    if not n & half:
                        a, b = rows[n], rows[n + half]
                        rows[n] = builder.shuffle_vector(a, b, halves(half, 0))
                        rows[n + half] = builder.shuffle_vector(a, b, halves(half, 1))
                half //= 2
            for n, row in enumerate(rows):
                store_vector(builder, vector, row, _nth(builder, *args[2:], n))
            return context.get_dummy_value()

        return types.void(source, types.int64, out, types.int64), gen

    return transpose


def from_address(result, through_slot=False):
    """Return a function that makes an address (int64), or the one that a slot (see records.py) holds, a `result`."""

    @intrinsic
    def at_address(typing, address):
        def gen(context, builder, signature, args):
            place = builder.load(builder.inttoptr(args[0], I64.as_pointer())) if through_slot else args[0]
            return builder.inttoptr(place, context.get_value_type(result))

        return result(types.int64), gen

    return at_address


def pointer_to(kind):
    """Return a function that makes an address (int64) a pointer to values of a Numba type."""
    return from_address(types.CPointer(kind))


def deref_as(kind):
    """Return deref(slot), which gives the array whose address a slot holds, as a pointer to values of a Numba type."""
    return from_address(types.CPointer(kind), through_slot=True)
