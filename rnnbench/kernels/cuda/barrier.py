"""The barrier at which the blocks of the same rows meet.

A counter that only grows: each block adds one and waits until all have. The fences make what a block wrote before
visible to the others after (and drop what they had cached of it), as the grid barrier of cooperative groups does; that
one would hold up the blocks of other rows too. The launch must be cooperative, so that all blocks are alive.
"""

from typing import Any

from rnnbench.kernels.cuda.target import cuda, device_function, fence


def make_barrier(blocks: int) -> Any:
    """meet(counters, which, goal, thread): returns when counters[which] has reached `goal` (for one block, when all its
    threads are there)."""
    if blocks == 1:

        @device_function
        def meet_alone(counters, which, goal, thread):
            cuda.syncthreads()

        return meet_alone

    @device_function
    def meet(counters, which, goal, thread):
        cuda.syncthreads()
        if thread == 0:
            fence()
            cuda.atomic.add(counters, which, 1)
            while cuda.atomic.add(counters, which, 0) < goal:
                pass
            fence()
        cuda.syncthreads()

    return meet


def in_turn(phases: list[tuple[Any, Any]], blocks: int) -> tuple[Any, Any]:
    """(load, run) of phases one after the other, with a meeting of `blocks` blocks after each: the first at goal +
    blocks, the next at that many more."""
    meet = make_barrier(blocks)
    (load, run), rest = phases[0], phases[1:]

    @device_function
    def run_and_meet(shared, arrays, lengths, state, span, step, sizes, here, ask, counters, which, goal):
        run(shared, arrays, lengths, state, span, step, sizes, here, ask)
        meet(counters, which, goal + blocks, here[2])

    if not rest:
        return load, run_and_meet
    load_rest, run_rest = in_turn(rest, blocks)

    @device_function
    def load_all(shared, theta, weights, lengths, thread):
        load(shared, theta, weights, lengths, thread)
        load_rest(shared, theta, weights, lengths, thread)

    @device_function
    def run_all(shared, arrays, lengths, state, span, step, sizes, here, ask, counters, which, goal):
        run_and_meet(shared, arrays, lengths, state, span, step, sizes, here, ask, counters, which, goal)
        run_rest(shared, arrays, lengths, state, span, step, sizes, here, ask, counters, which, goal + blocks)

    return load_all, run_all
