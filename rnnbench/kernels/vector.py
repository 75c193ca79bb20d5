"""A SIMD vector as a Numba type with ordinary operators.

A cell's plain Python pair compiles to vector code because `+ - * /` between vectors, or a vector and a scalar, are
defined here.
"""

import operator
from functools import cache

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

I32, I64 = ir.IntType(32), ir.IntType(64)
FLAGS = ("contract",)


class Vector(types.Type):
    """`lanes` values of a float dtype in SIMD registers; LLVM splits what the CPU cannot hold in one."""

    def __init__(self, scalar, lanes):
        self.scalar, self.lanes = scalar, lanes
        super().__init__(name=f"vector({scalar} x {lanes})")

    @property
    def dtype(self):
        """Return the lanes' NumPy dtype."""
        return np.dtype(self.scalar.name)

    @property
    def llvm(self):
        """Return the LLVM vector type."""
        return ir.VectorType(self.element, self.lanes)

    @property
    def element(self):
        """Return the LLVM type of a lane."""
        return ir.FloatType() if self.scalar == types.float32 else ir.DoubleType()

    @property
    def integer(self):
        """Return the LLVM vector of integers as wide as the lanes."""
        return ir.VectorType(ir.IntType(self.scalar.bitwidth), self.lanes)

    @property
    def suffix(self):
        """Return the overload suffix of LLVM's intrinsics on this type."""
        return f"v{self.lanes}f{self.scalar.bitwidth}"

    def constant(self, value):
        """Return an LLVM constant with `value` in every lane."""
        return ir.Constant(self.llvm, [ir.Constant(self.element, float(value))] * self.lanes)


@register_model(Vector)
class VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, vector.llvm)


@cache
def vector_type(dtype: str, lanes: int) -> Vector:
    """Return the vector of `lanes` values of a NumPy dtype."""
    return Vector({"float32": types.float32, "float64": types.float64}[dtype], lanes)


def splat(builder, vector, scalar):
    """Emit a vector whose lanes all equal an LLVM scalar."""
    blank = ir.Constant(vector.llvm, ir.Undefined)
    first = builder.insert_element(blank, scalar, ir.Constant(I32, 0))
    lanes = ir.Constant(ir.VectorType(I32, vector.lanes), [0] * vector.lanes)
    return builder.shuffle_vector(first, blank, lanes)


def declare(builder, name, result, arguments):
    """Return an LLVM intrinsic, declared once in the module."""
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


def load_vector(builder, vector, pointer):
    """Emit an unaligned load; `pointer` points at a scalar."""
    return builder.load(builder.bitcast(pointer, vector.llvm.as_pointer()), align=vector.scalar.bitwidth // 8)


def store_vector(builder, vector, value, pointer):
    """Emit an unaligned store; `pointer` points at a scalar."""
    builder.store(value, builder.bitcast(pointer, vector.llvm.as_pointer()), align=vector.scalar.bitwidth // 8)


def _splat_scalars(builder, vector, kinds, values):
    return [v if isinstance(kind, Vector) else splat(builder, vector, v) for kind, v in zip(kinds, values, strict=True)]


def _arithmetic(op, instruction):
    """Define `op` between vectors, or a vector and a scalar of its dtype. By Numba's typing and lowering tables, not by
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


def _operator(instruction, swapped=False):
    """Return a binary operator of `Lanes`."""

    def apply(self, other):
        x, y = (other, self) if swapped else (self, other)
        emit = getattr(self._builder, instruction)
        return self._new(emit(self.of(x).value, self.of(y).value, flags=FLAGS))

    return apply


class Lanes:
    """A vector's value while code is generated: arithmetic between values, or with numbers, emits instructions."""

    def __init__(self, builder, vector, value):
        self._builder, self._vector, self.value = builder, vector, value

    def _new(self, value):
        return Lanes(self._builder, self._vector, value)

    def of(self, number):
        """Return a number in every lane."""
        return number if isinstance(number, Lanes) else self._new(self._vector.constant(number))

    __add__, __sub__, __mul__, __truediv__ = map(_operator, ("fadd", "fsub", "fmul", "fdiv"))
    __rsub__, __rtruediv__ = _operator("fsub", swapped=True), _operator("fdiv", swapped=True)

    def __neg__(self):
        return self._new(self._builder.fneg(self.value))

    def _call(self, name, *others):
        kind = self._vector.llvm
        function = declare(self._builder, f"llvm.{name}.{self._vector.suffix}", kind, [kind] * (1 + len(others)))
        return self._new(self._builder.call(function, [self.value, *(self.of(other).value for other in others)]))

    def times_plus(self, factor, addend):
        """Emit self * factor + addend, fused where the CPU can."""
        return self._call("fmuladd", factor, addend)

    def absolute(self):
        return self._call("fabs")

    def with_sign_of(self, other):
        return self._call("copysign", other)

    def where_less(self, bound, chosen, otherwise):
        """Emit, per lane, `chosen` where self < bound, else `otherwise`; a NaN is not less."""
        less = self._builder.fcmp_ordered("<", self.value, self.of(bound).value)
        return self._new(self._builder.select(less, self.of(chosen).value, self.of(otherwise).value))

    def at_least(self, bound):
        """Emit the larger of the two; NaN stays NaN."""
        return self.where_less(bound, bound, self)

    def at_most(self, bound):
        """Emit the smaller of the two; NaN stays NaN."""
        return self.of(bound).where_less(self, bound, self)

    def bits_as_exponent(self):
        """Emit the lowest bits, moved up to where the exponent stands: how 2^n is made from n + a magic number."""
        vector, builder = self._vector, self._builder
        places = ir.Constant(vector.integer, [23 if vector.scalar == types.float32 else 52] * vector.lanes)
        bits = builder.shl(builder.bitcast(self.value, vector.integer), places)
        return self._new(builder.bitcast(bits, vector.llvm))

    def polynomial(self, coefficients):
        """Emit a polynomial by Horner's scheme, the lowest power's coefficient first."""
        value = self.of(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            value = value.times_plus(self, coefficient)
        return value


def elementwise(function):
    """Return an intrinsic of one vector from a function of `Lanes`."""

    @intrinsic
    def emitted(typing, x):
        def gen(context, builder, signature, args):
            return function(Lanes(builder, signature.return_type, args[0])).value

        return x(x) if isinstance(x, Vector) else None, gen

    return emitted


@intrinsic
def multiply_add(typing, x, y, z):
    """Return x * y + z, fused where the CPU can."""

    def gen(context, builder, signature, args):
        x, y, z = (Lanes(builder, signature.return_type, value) for value in args)
        return x.times_plus(y, z).value

    return x(x, x, x), gen


@intrinsic
def lane_sum(typing, x):
    """Return the sum of a vector's lanes, one after the other."""

    def gen(context, builder, signature, args):
        (kind,) = signature.args
        result, name = kind.element, f"llvm.vector.reduce.fadd.{kind.suffix}"
        return builder.call(declare(builder, name, result, [result, kind.llvm]), [ir.Constant(result, 0.0), args[0]])

    return x.scalar(x) if isinstance(x, Vector) else None, gen


def constant(vector, value):
    """Return a function of no arguments that gives `value` in every lane."""

    @intrinsic
    def filled(typing):
        def gen(context, builder, signature, args):
            return vector.constant(value)

        return vector(), gen

    return filled
