"""The barrier at which the blocks of the same rows wait for each other.

A counter that only grows: each block adds one and waits until all have. The fences make what a block wrote before
visible to the others after (and drop what they had cached of it), as the grid barrier of cooperative groups does; that
one would hold up the blocks of other rows too. The launch must be cooperative, so that all blocks are alive.
"""

from typing import NamedTuple

from rnnbench.kernels.cuda.target import cuda, device_function, fence
from rnnbench.kernels.cuda.types import DeviceFunction


class PhaseFunctions(NamedTuple):
    """Device functions of one phase of a step, or of several.

    load(shared, theta, weights, lengths, thread): brings resident weights in, once.
    run(shared, args, block, state, span, step): computes the phase. args: the fields of the kernel's argument record,
    the counters first (in a plain tuple: numba-cuda-mlir makes no named one). block: as in `product.make_pair`.
    """

    load: DeviceFunction
    run: DeviceFunction


def make_barrier(blocks: int) -> DeviceFunction:
    """Make wait(counters, goal, thread): it returns when the counter of the block's rows has reached `goal` (for one
    block, when all its threads are there)."""
    if blocks == 1:

        @device_function
        def wait_for_threads(counters, goal, thread):
            cuda.syncthreads()

        return wait_for_threads

    @device_function
    def wait(counters, goal, thread):
        cuda.syncthreads()
        if thread == 0:
            rows = cuda.blockIdx.y
            fence()
            cuda.atomic.add(counters, rows, 1)
            while cuda.atomic.add(counters, rows, 0) < goal:
                pass
            fence()
        cuda.syncthreads()

    return wait


def in_sequence(phases: list[PhaseFunctions], blocks: int) -> PhaseFunctions:
    """Join phases, with a barrier of `blocks` blocks after each: the first at goal + blocks, the next at that many
    more. The joined run takes `goal` as its last argument."""
    wait = make_barrier(blocks)
    (load, run), rest = phases[0], phases[1:]

    @device_function
    def run_and_wait(shared, args, block, state, span, step, goal):
        run(shared, args, block, state, span, step)
        wait(args[0], goal + blocks, block[2])

    if not rest:
        return PhaseFunctions(load, run_and_wait)
    load_rest, run_rest = in_sequence(rest, blocks)

    @device_function
    def load_all(shared, theta, weights, lengths, thread):
        load(shared, theta, weights, lengths, thread)
        load_rest(shared, theta, weights, lengths, thread)

    @device_function
    def run_all(shared, args, block, state, span, step, goal):
        run_and_wait(shared, args, block, state, span, step, goal)
        run_rest(shared, args, block, state, span, step, goal + blocks)

    return PhaseFunctions(load_all, run_all)
