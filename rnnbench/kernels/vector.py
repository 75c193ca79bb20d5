"""A SIMD vector as a Numba type with ordinary operators, and bare pointers to load it from.

A cell's plain Python pair compiles to vector code because `+ - * /` between vectors, or a vector and a scalar, are
overloaded here. Memory is reached through pointers, not through array indexing: Numba's `a[i]` adds wraparound code to
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
from numba.extending import intrinsic, models, overload, register_model

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


def _overload_arithmetic(op, instruction):
    @intrinsic
    def emit(typing, x, y):
        vector = x if isinstance(x, Vector) else y

        def gen(context, builder, signature, args):
            wide = [
                value if isinstance(kind, Vector) else splat(builder, vector, value)
                for value, kind in zip(args, signature.args, strict=True)
            ]
            return getattr(builder, instruction)(*wide, flags=FLAGS)

        return vector(x, y), gen

    @overload(op)
    def overloaded(x, y):
        kinds = {type(x), type(y)}
        if Vector in kinds and (x == y or getattr(x, "scalar", x) == getattr(y, "scalar", y)):
            return lambda x, y: emit(x, y)
        return None


for _op, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _overload_arithmetic(_op, _instruction)


@overload(operator.neg)
def _negative(x):
    if isinstance(x, Vector):
        return lambda x: negative(x)
    return None


@intrinsic
def negative(typing, x):
    def gen(context, builder, signature, args):
        return builder.fneg(args[0])

    return x(x), gen


@intrinsic
def multiply_add(typing, x, y, z):
    """x * y + z, fused where the CPU can."""

    def gen(context, builder, signature, args):
        kind = signature.return_type
        function = declare(builder, f"llvm.fmuladd.{kind.suffix}", kind.llvm, [kind.llvm] * 3)
        return builder.call(function, args)

    return x(x, x, x), gen


@intrinsic
def absolute(typing, x):
    def gen(context, builder, signature, args):
        kind = signature.return_type
        return builder.call(declare(builder, f"llvm.fabs.{kind.suffix}", kind.llvm, [kind.llvm]), args)

    return x(x), gen


@intrinsic
def copy_sign(typing, magnitude, sign):
    def gen(context, builder, signature, args):
        kind = signature.return_type
        function = declare(builder, f"llvm.copysign.{kind.suffix}", kind.llvm, [kind.llvm] * 2)
        return builder.call(function, args)

    return magnitude(magnitude, sign), gen


@intrinsic
def where_less(typing, x, y, chosen, otherwise):
    """Per lane: `chosen` where x < y, else `otherwise`; a NaN in x or y is not less."""

    def gen(context, builder, signature, args):
        x, y, chosen, otherwise = args
        return builder.select(builder.fcmp_ordered("<", x, y), chosen, otherwise)

    return x(x, x, x, x), gen


@intrinsic
def bits_as_exponent(typing, x):
    """Each lane's lowest bits moved up to where its exponent stands: how 2**n is made from n + a magic number."""

    def gen(context, builder, signature, args):
        kind = signature.return_type
        mantissa = 23 if kind.scalar == types.float32 else 52
        bits = builder.bitcast(args[0], kind.integer)
        places = ir.Constant(kind.integer, [mantissa] * kind.lanes)
        return builder.bitcast(builder.shl(bits, places), kind.llvm)

    return x(x), gen


def constant(vector, value):
    """A function of no arguments that gives `value` in every lane."""

    @intrinsic
    def filled(typing):
        def gen(context, builder, signature, args):
            return vector.constant(value)

        return vector(), gen

    return filled


def polynomial(vector, coefficients):
    """A function of one vector: Horner's scheme, the lowest power's coefficient first."""

    @intrinsic
    def evaluate(typing, x):
        def gen(context, builder, signature, args):
            function = declare(builder, f"llvm.fmuladd.{vector.suffix}", vector.llvm, [vector.llvm] * 3)
            value = vector.constant(coefficients[-1])
            for coefficient in reversed(coefficients[:-1]):
                value = builder.call(function, [value, args[0], vector.constant(coefficient)])
            return value

        return vector(vector), gen

    return evaluate


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


def pointer_to(kind):
    """A function that makes an address (int64) a pointer to values of a Numba type."""

    @intrinsic
    def at_address(typing, address):
        def gen(context, builder, signature, args):
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), gen

    return at_address


# --- threads ----------------------------------------------------------------------------------------------------------

TURNS_BEFORE_YIELDING = 1 << 14  # about a tenth of a millisecond: by then the other thread has lost its core


@intrinsic
def meet(typing, counter, wanted):
    """Adds one to the int64 behind `counter` and waits until it is `wanted`: a barrier for threads on cores of their
    own, far below a microsecond. Who waits long lets other threads run."""

    def gen(context, builder, signature, args):
        counter, wanted = args
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

    return types.void(types.CPointer(types.int64), types.int64), gen
