"""The barrier at which threads that share a call wait for each other, inside the kernels."""

import platform
import sys

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rnnbench.kernels.vector import I32, I64, declare

# What tells the CPU that a thread spins, as LLVM's intrinsic and its arguments: the core's other thread gets on.
PAUSE = {
    "x86_64": ("llvm.x86.sse2.pause", ()),
    "AMD64": ("llvm.x86.sse2.pause", ()),
    "aarch64": ("llvm.aarch64.hint", (1,)),
    "arm64": ("llvm.aarch64.hint", (1,)),
}.get(platform.machine())
SPINS_BEFORE_YIELDING = 1 << 14  # about a tenth of a millisecond: by then the other thread has lost its core


@intrinsic
def barrier(typing, arrivals, expected, parts):
    """Wait until `parts` threads are here: far below a microsecond for threads on cores of their own. The int64 at
    `arrivals` counts all threads' arrivals so far; the int64 at `expected`, this thread's own, is what it was when the
    last barrier opened. A thread that waits long lets others run."""

    def gen(context, builder, signature, args):
        arrivals, expected, parts = args
        wanted = builder.add(builder.load(expected), parts)
        builder.store(wanted, expected)
        builder.atomic_rmw("add", arrivals, ir.Constant(I64, 1), "seq_cst")
        entry, look = builder.block, builder.append_basic_block("look")
        wait, give, done = (builder.append_basic_block(name) for name in ("wait", "yield", "open"))
        builder.branch(look)
        builder.position_at_end(look)
        spins = builder.phi(I64)
        spins.add_incoming(ir.Constant(I64, 0), entry)
        arrived = builder.load_atomic(arrivals, "acquire", 8)
        builder.cbranch(builder.icmp_signed(">=", arrived, wanted), done, wait)
        builder.position_at_end(wait)
        if PAUSE:
            name, numbers = PAUSE
            builder.call(
                declare(builder, name, ir.VoidType(), [I32] * len(numbers)), [ir.Constant(I32, n) for n in numbers]
            )
        more = builder.add(spins, ir.Constant(I64, 1))
        spins.add_incoming(more, wait)
        patient = builder.icmp_signed("<", more, ir.Constant(I64, SPINS_BEFORE_YIELDING))
        builder.cbranch(patient, look, give)
        builder.position_at_end(give)
        if sys.platform != "win32":
            builder.call(declare(builder, "sched_yield", I32, []), [])
        spins.add_incoming(more, give)
        builder.branch(look)
        builder.position_at_end(done)
        return context.get_dummy_value()

    place = types.CPointer(types.int64)
    return types.void(place, place, types.int64), gen
