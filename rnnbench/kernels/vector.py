"""A SIMD vector as a Numba type with ordinary operators, and bare pointers to load it from.

A cell's plain Python pair compiles to vector code because `+ - * /` between vectors, or a vector and a scalar, are
defined here. Memory is reached through pointers, not through array indexing: Numba's `a[i]` adds wraparound code to
every access, and passing an array costs seven words a call where a pointer costs one.
"""

import operator
import platform
import sys
from functools import cache

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model
from numba.np.numpy_support import from_dtype

I32, I64 = ir.IntType(32), ir.IntType(64)
FLAGS = ("contract",)
# What tells the CPU that a thread spins, as LLVM's intrinsic and its arguments: the core's other thread gets on.
PAUSE = {
    "x86_64": ("llvm.x86.sse2.pause", ()),
    "AMD64": ("llvm.x86.sse2.pause", ()),
    "aarch64": ("llvm.aarch64.hint", (1,)),
    "arm64": ("llvm.aarch64.hint", (1,)),
}.get(platform.machine())


class Vector(types.Type):
    """`lanes` values of a float dtype in SIMD registers; LLVM splits what the CPU cannot hold in one."""

    def __init__(self, scalar, lanes):
        self.scalar, self.lanes = scalar, lanes
        super().__init__(name=f"vector({scalar} x {lanes})")

    @property
    def dtype(self):
        """The lanes' NumPy dtype."""
        return np.dtype(self.scalar.name)

    @property
    def llvm(self):
        return ir.VectorType(self.element, self.lanes)

    @property
    def element(self):
        return ir.FloatType() if self.scalar == types.float32 else ir.DoubleType()

    @property
    def integer(self):
        return ir.VectorType(ir.IntType(self.scalar.bitwidth), self.lanes)

    @property
    def suffix(self):
        """The overload suffix of LLVM's intrinsics on this type."""
        return f"v{self.lanes}f{self.scalar.bitwidth}"

    def constant(self, value):
        return ir.Constant(self.llvm, [ir.Constant(self.element, float(value))] * self.lanes)


@register_model(Vector)
class VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, vector.llvm)


@cache
def vector_type(dtype, lanes):
    """The vector of `lanes` values of a NumPy dtype."""
    return Vector({"float32": types.float32, "float64": types.float64}[np.dtype(dtype).name], lanes)


def splat(builder, vector, scalar):
    """All lanes equal to an LLVM scalar."""
    blank = ir.Constant(vector.llvm, ir.Undefined)
    first = builder.insert_element(blank, scalar, ir.Constant(I32, 0))
    lanes = ir.Constant(ir.VectorType(I32, vector.lanes), [0] * vector.lanes)
    return builder.shuffle_vector(first, blank, lanes)


def declare(builder, name, result, arguments):
    """An LLVM intrinsic, declared once in the module."""
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


def load_vector(builder, vector, pointer):
    """An unaligned load; `pointer` points at a scalar."""
    return builder.load(builder.bitcast(pointer, vector.llvm.as_pointer()), align=vector.scalar.bitwidth // 8)


def store_vector(builder, vector, value, pointer):
    builder.store(value, builder.bitcast(pointer, vector.llvm.as_pointer()), align=vector.scalar.bitwidth // 8)


def _splat_scalars(builder, vector, kinds, values):
    return [v if isinstance(kind, Vector) else splat(builder, vector, v) for kind, v in zip(kinds, values, strict=True)]


def _arithmetic(op, instruction):
    """`op` between vectors, or a vector and a scalar of its dtype. By Numba's typing and lowering tables, not by
    `overload`, whose every use is compiled as a function of its own: that doubled the time to compile a cell."""

    @infer_global(op)
    class Rule(AbstractTemplate):
        def generic(self, args, kws):
            vector = next((kind for kind in args if isinstance(kind, Vector)), None)
            if len(args) == 2 and vector and all(kind in (vector, vector.scalar) for kind in args):
                return signature(vector, *args)
            return None

    for kinds in ((Vector, Vector), (Vector, types.Float), (types.Float, Vector)):

        @lower_builtin(op, *kinds)
        def emit(context, builder, signature, args):
            wide = _splat_scalars(builder, signature.return_type, signature.args, args)
            return getattr(builder, instruction)(*wide, flags=FLAGS)


for _op, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _arithmetic(_op, _instruction)


@infer_global(operator.neg)
class _Negative(AbstractTemplate):
    def generic(self, args, kws):
        return signature(args[0], *args) if isinstance(args[0], Vector) else None


@lower_builtin(operator.neg, Vector)
def _negative(context, builder, signature, args):
    return builder.fneg(args[0])


class Lanes:
    """A vector's value while code is generated: arithmetic between values, or with numbers, emits instructions."""

    def __init__(self, builder, vector, value):
        self._builder, self._vector, self.value = builder, vector, value

    def _new(self, value):
        return Lanes(self._builder, self._vector, value)

    def of(self, number):
        """A number in every lane."""
        return number if isinstance(number, Lanes) else self._new(self._vector.constant(number))

    def _binary(self, instruction, x, y):
        emit = getattr(self._builder, instruction)
        return self._new(emit(self.of(x).value, self.of(y).value, flags=FLAGS))

    def __add__(self, other):
        return self._binary("fadd", self, other)

    def __sub__(self, other):
        return self._binary("fsub", self, other)

    def __rsub__(self, other):
        return self._binary("fsub", other, self)

    def __mul__(self, other):
        return self._binary("fmul", self, other)

    def __truediv__(self, other):
        return self._binary("fdiv", self, other)

    def __rtruediv__(self, other):
        return self._binary("fdiv", other, self)

    def __neg__(self):
        return self._new(self._builder.fneg(self.value))

    def _call(self, name, *others):
        kind = self._vector.llvm
        function = declare(self._builder, f"llvm.{name}.{self._vector.suffix}", kind, [kind] * (1 + len(others)))
        return self._new(self._builder.call(function, [self.value, *(self.of(other).value for other in others)]))

    def times_plus(self, factor, addend):
        """self * factor + addend, fused where the CPU can."""
        return self._call("fmuladd", factor, addend)

    def absolute(self):
        return self._call("fabs")

    def with_sign_of(self, other):
        return self._call("copysign", other)

    def where_less(self, bound, chosen, otherwise):
        """Per lane: `chosen` where self < bound, else `otherwise`; a NaN is not less."""
        less = self._builder.fcmp_ordered("<", self.value, self.of(bound).value)
        return self._new(self._builder.select(less, self.of(chosen).value, self.of(otherwise).value))

    def at_least(self, bound):
        """The larger of the two; NaN stays NaN."""
        return self.where_less(bound, bound, self)

    def at_most(self, bound):
        """The smaller of the two; NaN stays NaN."""
        return self.of(bound).where_less(self, bound, self)

    def bits_as_exponent(self):
        """The lowest bits moved up to where the exponent stands: how 2^n is made from n + a magic number."""
        vector, builder = self._vector, self._builder
        places = ir.Constant(vector.integer, [23 if vector.scalar == types.float32 else 52] * vector.lanes)
        bits = builder.shl(builder.bitcast(self.value, vector.integer), places)
        return self._new(builder.bitcast(bits, vector.llvm))

    def polynomial(self, coefficients):
        """Horner's scheme, the lowest power's coefficient first."""
        value = self.of(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            value = value.times_plus(self, coefficient)
        return value


def elementwise(function):
    """An intrinsic of one vector from a function of `Lanes`."""

    @intrinsic
    def emitted(typing, x):
        def gen(context, builder, signature, args):
            return function(Lanes(builder, signature.return_type, args[0])).value

        return x(x) if isinstance(x, Vector) else None, gen

    return emitted


@intrinsic
def multiply_add(typing, x, y, z):
    """x * y + z, fused where the CPU can."""

    def gen(context, builder, signature, args):
        x, y, z = (Lanes(builder, signature.return_type, value) for value in args)
        return x.times_plus(y, z).value

    return x(x, x, x), gen


@intrinsic
def lane_sum(typing, x):
    """The sum of a vector's lanes, one after the other."""

    def gen(context, builder, signature, args):
        (kind,) = signature.args
        result, name = kind.element, f"llvm.vector.reduce.fadd.{kind.suffix}"
        return builder.call(declare(builder, name, result, [result, kind.llvm]), [ir.Constant(result, 0.0), args[0]])

    return x.scalar(x) if isinstance(x, Vector) else None, gen


def constant(vector, value):
    """A function of no arguments that gives `value` in every lane."""

    @intrinsic
    def filled(typing):
        def gen(context, builder, signature, args):
            return vector.constant(value)

        return vector(), gen

    return filled


# --- pointers ---------------------------------------------------------------------------------------------------------


@intrinsic
def pointer(typing, array):
    """The address of an array's first element, as a bare pointer to its dtype."""

    def gen(context, builder, signature, args):
        return context.make_array(signature.args[0])(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), gen


@intrinsic
def shift(typing, base, count):
    """base + count elements."""

    def gen(context, builder, signature, args):
        return builder.gep(args[0], [args[1]])

    return base(base, types.int64), gen


@intrinsic
def get(typing, base, index):
    """The scalar at base[index]."""

    def gen(context, builder, signature, args):
        return builder.load(builder.gep(args[0], [args[1]]))

    return base.dtype(base, types.int64), gen


@intrinsic
def put(typing, base, index, value):
    """base[index] = value, a scalar of the pointer's own dtype."""

    def gen(context, builder, signature, args):
        builder.store(args[2], builder.gep(args[0], [args[1]]))
        return context.get_dummy_value()

    return types.void(base, types.int64, base.dtype), gen


def vectors(vector, count):
    """Functions on tuples of `count` vectors that lie `stride` elements apart: (load, store, add).

    A scalar in a tuple to be stored or added stands for a vector of it: a cell may say `zero`.
    """
    several = types.UniTuple(vector, count)
    base_type = types.CPointer(vector.scalar)

    def place(builder, base, stride, number):
        return builder.gep(base, [builder.mul(stride, ir.Constant(I64, number))])

    @intrinsic
    def load(typing, base, stride):
        def gen(context, builder, signature, args):
            values = [load_vector(builder, vector, place(builder, *args, n)) for n in range(count)]
            return context.make_tuple(builder, several, values)

        return several(base_type, types.int64), gen

    def wide(builder, kind, value):
        return value if isinstance(kind, Vector) else splat(builder, vector, value)

    @intrinsic
    def store(typing, base, stride, values):
        def gen(context, builder, signature, args):
            base, stride, values = args
            for n, kind in enumerate(signature.args[2]):
                value = wide(builder, kind, builder.extract_value(values, n))
                store_vector(builder, vector, value, place(builder, base, stride, n))
            return context.get_dummy_value()

        return types.void(base_type, types.int64, values), gen

    @intrinsic
    def add(typing, base, stride, values):
        def gen(context, builder, signature, args):
            base, stride, values = args
            for n, kind in enumerate(signature.args[2]):
                at = place(builder, base, stride, n)
                value = wide(builder, kind, builder.extract_value(values, n))
                store_vector(builder, vector, builder.fadd(load_vector(builder, vector, at), value), at)
            return context.get_dummy_value()

        return types.void(base_type, types.int64, values), gen

    return load, store, add


def pairs(vector, count):
    """Functions on tuples of `count` vectors of twice the lanes, the first half of each loaded from `first` and the
    second from `second`, `stride` elements apart: (load, store).

    Two independent halves keep the arithmetic units busy where one would wait for its own results.
    """
    double = vector_type(vector.dtype.name, 2 * vector.lanes)
    several = types.UniTuple(double, count)
    base_type = types.CPointer(vector.scalar)

    def lanes(first, number):
        return ir.Constant(ir.VectorType(I32, number), list(range(first, first + number)))

    def place(builder, base, stride, number):
        return builder.gep(base, [builder.mul(stride, ir.Constant(I64, number))])

    @intrinsic
    def load(typing, first, second, stride):
        def gen(context, builder, signature, args):
            first, second, stride = args
            values = []
            for n in range(count):
                halves = [load_vector(builder, vector, place(builder, base, stride, n)) for base in (first, second)]
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
                    store_vector(builder, vector, half, place(builder, base, stride, n))
            return context.get_dummy_value()

        return types.void(base_type, base_type, types.int64, values), gen

    return load, store


def transposition(vector):
    """A function that copies a square of `lanes` rows of `lanes` values and writes its columns as rows:
    transpose(source, source_stride, out, out_stride).

    Each round swaps the off-diagonal quarters of squares half as large (Eklundh 1972), by shuffles of pairs of rows.
    """
    lanes = vector.lanes

    def halves(half, second):
        """Lanes of rows a (0..) and b (lanes..): of every block of 2 * half the first halves, or the second."""
        picks = []
        for begin in range(0, lanes, 2 * half):
            of_a = range(begin + half * second, begin + half * (1 + second))
            picks += [*of_a, *(lanes + lane for lane in of_a)]
        return ir.Constant(ir.VectorType(I32, lanes), picks)

    @intrinsic
    def transpose(typing, source, source_stride, out, out_stride):
        def gen(context, builder, signature, args):
            source, source_stride, out, out_stride = args

            def row_of(base, stride, number):
                return builder.gep(base, [builder.mul(stride, ir.Constant(I64, number))])

            rows = [load_vector(builder, vector, row_of(source, source_stride, n)) for n in range(lanes)]
            half = lanes // 2
            while half:
                for n in range(lanes):
                    if not n & half:
                        a, b = rows[n], rows[n + half]
                        rows[n] = builder.shuffle_vector(a, b, halves(half, 0))
                        rows[n + half] = builder.shuffle_vector(a, b, halves(half, 1))
                half //= 2
            for n, row in enumerate(rows):
                store_vector(builder, vector, row, row_of(out, out_stride, n))
            return context.get_dummy_value()

        return types.void(source, types.int64, out, types.int64), gen

    return transpose


def pointer_to(kind):
    """A function that makes an address (int64) a pointer to values of a Numba type."""

    @intrinsic
    def at_address(typing, address):
        def gen(context, builder, signature, args):
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), gen

    return at_address


def held(kind):
    """A function that gives the array whose address a slot holds (see call.py), as a pointer to a Numba type."""

    @intrinsic
    def behind(typing, slot):
        def gen(context, builder, signature, args):
            address = builder.load(builder.inttoptr(args[0], I64.as_pointer()))
            return builder.inttoptr(address, context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), gen

    return behind


def record_at(dtype):
    """A function that makes an address (int64) a record of a structured NumPy dtype."""
    kind = from_dtype(dtype)

    @intrinsic
    def at_address(typing, address):
        def gen(context, builder, signature, args):
            return builder.inttoptr(args[0], context.get_value_type(kind))

        return kind(types.int64), gen

    return at_address


# --- threads ----------------------------------------------------------------------------------------------------------

TURNS_BEFORE_YIELDING = 1 << 14  # about a tenth of a millisecond: by then the other thread has lost its core


@intrinsic
def meet(typing, counter, mine, parts):
    """Waits until `parts` threads are here: a barrier for threads on cores of their own, far below a microsecond. The
    int64 behind `counter` is all arrivals so far, of which the int64 behind `mine`, this thread's own, counts those of
    the meetings before. Who waits long lets other threads run."""

    def gen(context, builder, signature, args):
        counter, mine, parts = args
        wanted = builder.add(builder.load(mine), parts)
        builder.store(wanted, mine)
        builder.atomic_rmw("add", counter, ir.Constant(I64, 1), "seq_cst")
        entry, look = builder.block, builder.append_basic_block("look")
        wait, give, done = (builder.append_basic_block(name) for name in ("wait", "yield", "met"))
        builder.branch(look)
        builder.position_at_end(look)
        turns = builder.phi(I64)
        turns.add_incoming(ir.Constant(I64, 0), entry)
        arrived = builder.load_atomic(counter, "acquire", 8)
        builder.cbranch(builder.icmp_signed(">=", arrived, wanted), done, wait)
        builder.position_at_end(wait)
        if PAUSE:
            name, numbers = PAUSE
            builder.call(
                declare(builder, name, ir.VoidType(), [I32] * len(numbers)), [ir.Constant(I32, n) for n in numbers]
            )
        more = builder.add(turns, ir.Constant(I64, 1))
        turns.add_incoming(more, wait)
        patient = builder.icmp_signed("<", more, ir.Constant(I64, TURNS_BEFORE_YIELDING))
        builder.cbranch(patient, look, give)
        builder.position_at_end(give)
        if sys.platform != "win32":
            builder.call(declare(builder, "sched_yield", I32, []), [])
        turns.add_incoming(more, give)
        builder.branch(look)
        builder.position_at_end(done)
        return context.get_dummy_value()

    place = types.CPointer(types.int64)
    return types.void(place, place, types.int64), gen
