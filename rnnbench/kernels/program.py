"""Programs: kernels one after the other in a single call, on one thread or on several that meet after each.

A training step is one program: no Python runs between its forward scan and Adam. Kernels are called by address, so a
program of any model is data, and nothing is compiled anew for it.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rnnbench.kernels.call import RUN
from rnnbench.kernels.target import jit
from rnnbench.kernels.vector import I64, get, meet, pointer_to, record_at


@intrinsic
def call_at(typing, kernel, record):
    """Calls the C function void(int64) at an address."""

    def gen(context, builder, signature, args):
        function = ir.FunctionType(ir.VoidType(), [I64]).as_pointer()
        builder.call(builder.inttoptr(args[0], function), [args[1]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), gen


def make_run():
    """run(address): a thread's share of a program, `call.RUN`."""
    integers, told = pointer_to(types.int64), record_at(RUN)

    def run(address):
        c = told(address)
        entries, stop = integers(c.entries), integers(c.stop)
        number = get(stop, 1)
        for i in range(c.count):
            kernel = get(entries, 2 * i)
            if kernel:
                call_at(kernel, get(entries, 2 * i + 1))
            if c.parts > 1:
                meet(integers(c.barrier), integers(c.mine), c.parts)
            if i == c.last and get(stop, 0) >= number:
                break

    return jit(run, "program")


def entry(kernel: Any) -> int:
    """The address by which a program calls a compiled kernel; the kernel must live as long as the program."""
    (compiled,) = kernel.overloads.values()
    address: int = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cfunc_wrapper_name)
    return address
