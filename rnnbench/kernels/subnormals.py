"""Numbers next to zero, which take some processors a hundred times as long as others: kernels take them for 0.

Below 1.2e-38 (float32) or 2.2e-308 (float64) a number loses digits, and processors fall back to slow paths for it.
Whoever calls a program has its mode of arithmetic back when the program ends.
"""

import platform

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rnnbench.kernels.vector import I32, I64, declare

# The control register's bits: of x86's MXCSR "flush to zero" and "denormals are zero", of ARM's FPCR "flush to zero".
X86, ARM = platform.machine() in ("x86_64", "AMD64"), platform.machine() in ("aarch64", "arm64")
FLUSH = 1 << 15 | 1 << 6 if X86 else 1 << 24


def _read(builder):
    if X86:
        place = builder.alloca(I32)
        builder.call(declare(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), [BYTES]), [builder.bitcast(place, BYTES)])
        return builder.zext(builder.load(place), I64)
    return builder.call(declare(builder, "llvm.aarch64.get.fpcr", I64, []), []) if ARM else ir.Constant(I64, 0)


def _write(builder, mode):
    if X86:
        place = builder.alloca(I32)
        builder.store(builder.trunc(mode, I32), place)
        builder.call(declare(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), [BYTES]), [builder.bitcast(place, BYTES)])
    elif ARM:
        builder.call(declare(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), [I64]), [mode])


BYTES = ir.IntType(8).as_pointer()


@intrinsic
def flush_subnormals(typing):
    """Have this thread take subnormal numbers for 0, and return its mode of arithmetic before (int64)."""

    def gen(context, builder, signature, args):
        before = _read(builder)
        _write(builder, builder.or_(before, ir.Constant(I64, FLUSH)))
        return before

    return types.int64(), gen


@intrinsic
def restore_mode(typing, mode):
    """Set this thread's mode of arithmetic to what `flush_subnormals` returned."""

    def gen(context, builder, signature, args):
        _write(builder, args[0])
        return context.get_dummy_value()

    return types.void(types.int64), gen
