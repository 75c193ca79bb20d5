"""Programs: kernels one after the other in a single call, on one thread or on several that meet after each.

A training step is one program: no Python runs between its forward scan and Adam. Kernels are called by address, so a
program of any model is data, and nothing is compiled anew for it.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rnnbench.kernels.args import RunArgs
from rnnbench.kernels.barrier import barrier
from rnnbench.kernels.pointers import load, pointer_to
from rnnbench.kernels.records import args_at
from rnnbench.kernels.subnormals import flush_subnormals, restore_mode
from rnnbench.kernels.target import Jitted, jit
from rnnbench.kernels.vector import I64


@intrinsic
def call_at(typing, kernel, record):
    """Call the C function void(int64) at an address."""

    def gen(context, builder, signature, args):
        function = ir.FunctionType(ir.VoidType(), [I64]).as_pointer()
        builder.call(builder.inttoptr(args[0], function), [args[1]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), gen


def make_run():
    """Return run(address), which carries out a thread's share of a program, `RunArgs`."""
    integers, args_of = pointer_to(types.int64), args_at(RunArgs)

    def run(address):
        args = args_of(address)
        entries, stop = integers(args.entries), integers(args.stop)
        number, mode = load(stop, 1), flush_subnormals()  # kernels raise nothing: the end below is the only one
        for i in range(args.count):
            kernel = load(entries, 2 * i)
            if kernel:
                call_at(kernel, load(entries, 2 * i + 1))
            if args.parts > 1:
                barrier(integers(args.arrivals), integers(args.expected), args.parts)
            if i == args.last and load(stop, 0) >= number:
                break
        restore_mode(mode)

    return jit(run)


def entry_point(kernel: Jitted) -> int:
    """Return the address by which a program calls a compiled kernel; the kernel must live as long as the program."""
    (compiled,) = kernel.overloads.values()
    address: int = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cfunc_wrapper_name)
    return address
