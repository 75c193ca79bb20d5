"""The backward scan: from the outputs' gradient to that of every pre-activation, one layer and direction.

The forward scan in reverse, laid over the GPU in the same way. The owners of (unit, row) pairs carry the states'
gradients in registers. A step begins with what the step after it sends back through R; then each stage's backward, the
last first, leaves the gradients of its accumulators in `pre`, where the next product and other blocks find them. dW, dR
and db are large products over all visits, afterwards (`large.py`).
"""

from typing import Any

import numpy as np

from rnnbench.kernels.cuda.barrier import in_turn
from rnnbench.kernels.cuda.gates import device_maths, make_pull, make_push
from rnnbench.kernels.cuda.layout import Layout, digits
from rnnbench.kernels.cuda.plan import Plan
from rnnbench.kernels.cuda.product import NOTHING, digit, make_product, visited
from rnnbench.kernels.cuda.target import cuda, device_function


def make_locate_gradient(slots: tuple[int, ...], segment: int, G: int) -> Any:
    """The gradients in `pre` of one step's visits: k is unit k % segment of the accumulator k // segment."""
    code = digits(slots)

    @device_function
    def locate(n, k, place, lengths):
        row0, step, reverse, B, H = place
        row, unit = row0 + n, k % segment
        length = lengths[row if row < B else 0]
        visit = visited(step, length, reverse) * B + row
        return (visit * G + digit(code, k // segment)) * H + unit if row < B and unit < H else -1

    return locate


def make_locate_transposed(rows: tuple[int, ...], units: int, segment: int) -> Any:
    """R the other way round: column c is the unit of h or of a stage's result, k as in `make_locate_gradient`."""
    code = digits(rows)

    @device_function
    def locate(c, k, place, lengths):
        R_at, unit0, H = place
        unit, from_unit = unit0 + c, k % segment
        place_in_R = R_at + (digit(code, k // segment) * H + from_unit) * H + unit
        return place_in_R if c < units and unit < H and from_unit < H else -1

    return locate


def make_ends(states: int, is_last: bool) -> tuple[Any, Any]:
    """How a stage meets the states' gradients that a thread carries from step to step:

    take(state, at, sent, given): what the stage's backward starts from: for the last stage the states' gradients, with
    the output's added; for an earlier one what the next stage sent through its R.
    give(state, at, dprev): puts, or for an earlier stage adds, the part that reaches the states before.
    """
    pull, push = make_pull(states), make_push(states)

    @device_function
    def take_states(state, at, sent, given):
        state[at] += given
        return pull(state, at, 1)

    @device_function
    def put_states(state, at, dprev):
        push(state, at, 1, dprev)

    @device_function
    def take_sent(state, at, sent, given):
        return (sent,)

    @device_function
    def add_states(state, at, dprev):
        for s in range(states):
            state[at + s] += dprev[s]

    return (take_states, put_states) if is_last else (take_sent, add_states)


def make_stage(layout: Layout, dtype: np.dtype[Any], plan: Plan, phase: int, m: Any) -> tuple[Any, Any]:
    """(load, run) of a phase: the last stage's is 0. For the arguments see `make_backward`."""
    number = len(layout.stages) - 1 - phase
    stage, states, slots, G = layout.stages[number], layout.states, layout.saved, layout.accumulators
    is_last, saves = phase == 0, stage.saved
    backward = device_function(layout.cell.stages[number].pair(m)[1])
    pull_saved, pull_before, push_pre = make_pull(saves), make_pull(states), make_push(stage.accumulators)
    take, give = make_ends(states, is_last)
    units, rows, threads, pairs, segment = plan.units, plan.rows, plan.threads, plan.pairs, plan.segment
    first, slot, count, zero = stage.first, stage.slot, stage.accumulators, dtype.type(0)
    each = saves + states + 1  # held of each pair: saved values, states before, and the output's gradient
    held_size = pairs * each
    if is_last:
        fed, fed_rows = layout.h_slots, layout.h_rows
    else:
        following = layout.stages[number + 1]
        fed, fed_rows = tuple(following.first + n for n in following.u), following.u_rows
    product = NOTHING
    if fed:
        locate = make_locate_gradient(fed, segment, G)
        transposed = make_locate_transposed(fed_rows, units, segment)
        product = make_product(dtype, plan, phase, 0, locate, transposed, False)
    multiply, sums_at, stride, is_fed = product.run, product.sums_at, product.column_stride, bool(fed)
    ahead = 1 if is_last else 0  # h fed the step after; a stage's result fed the same step

    @device_function
    def run(shared, arrays, lengths, state, span, step, sizes, here, ask):
        pre, theta, saved, before, dy = arrays
        T, B, H = sizes
        row0, unit0, thread = here
        R_at, dy_stride, dy_at, every, reverse = ask
        held = cuda.local.array(held_size, dtype)
        for i in range(pairs):  # asked for now, needed after the product
            p = thread + i * threads
            row, unit = row0 + p // units, unit0 + p % units
            owned = p < units * rows and row < B and unit < H
            visit = visited(step, span[i], reverse) * B + row
            for v in range(saves):
                held[i * each + v] = saved[(visit * slots + slot + v) * H + unit if owned else 0]
            for s in range(states):
                held[i * each + saves + s] = before[(s * T * B + visit) * H + unit if owned else 0]
            given = dy[visit * dy_stride + dy_at + unit if owned and every else 0]
            held[i * each + saves + states] = given if every else zero
        feeding = is_fed and step + ahead < T
        if feeding:
            multiply(shared, pre, (row0, step + ahead, reverse, B, H), theta, (R_at, unit0, H), lengths, thread)
        for i in range(pairs):
            p = thread + i * threads
            n, c = p // units, p % units
            row, unit = row0 + n, unit0 + c
            if p < units * rows and row < B and unit < H:
                at = ((visited(step, span[i], reverse) * B + row) * G + first) * H + unit
                sent = shared[sums_at + n * stride + c] if feeding else zero
                if ahead:
                    state[i * states] += sent
                if step < span[i]:
                    results = take(state, i * states, sent, held[i * each + saves + states])
                    old = pull_before(held, i * each + saves, 1)
                    dpre, dprev = backward(pull_saved(held, i * each, 1), old, results)
                    push_pre(pre, at, H, dpre)
                    give(state, i * states, dprev)
                else:
                    for g in range(count):
                        pre[at + g * H] = zero

    return product.load, run


def make_backward(layout: Layout, dtype: np.dtype[Any], plan: Plan, only: int | None = None) -> Any:
    """The kernel, not yet compiled:

    scan(pre, theta, saved, before, dy, carry, lengths, counters,
         R_at, goal, first, last, T, B, H, dy_stride, dy_at, every, reverse)

    Arrays as in `make_forward`. Steps first > step >= last are computed, from T - 1 down. dy: with `every`, the
    gradient of step t of row b's output at (t * B + b) * dy_stride + dy_at; without, that of its final h at
    b * dy_stride + dy_at. carry [states, B, H]: the states' gradients from one launch of a stepped scan to the next.
    only: the phase that such a launch computes.
    """
    m, states = device_maths(dtype), layout.states
    units, rows, threads, pairs = plan.units, plan.rows, plan.threads, plan.pairs
    phases = range(len(layout.stages)) if only is None else (only,)
    load, run = in_turn([make_stage(layout, dtype, plan, n, m) for n in phases], plan.meeting_blocks)
    resident, meets, raised = plan.resident, plan.meeting_blocks > 1, plan.meeting_blocks * len(phases)
    stepped, starts, state_size, zero = only is not None, phases[0] == 0, pairs * states, dtype.type(0)

    def scan(
        pre, theta, saved, before, dy, carry, lengths, counters,
        R_at, goal, first, last, T, B, H, dy_stride, dy_at, every, reverse
    ):  # fmt: skip
        if meets:
            cuda.cg.this_grid()  # asks for a cooperative launch: all blocks alive, or an error
        shared = cuda.shared.array(0, dtype)
        state, span = cuda.local.array(state_size, dtype), cuda.local.array(pairs, np.int64)
        thread, which = cuda.threadIdx.x, cuda.blockIdx.y
        unit0, row0, size = cuda.blockIdx.x * units, cuda.blockIdx.y * rows, B * H
        if resident:
            load(shared, theta, (R_at, unit0, H), lengths, thread)
        begins = starts and first == T
        for i in range(pairs):
            p = thread + i * threads
            row, unit = row0 + p // units, unit0 + p % units
            owned = p < units * rows and row < B and unit < H
            span[i] = lengths[row if owned else 0]
            for s in range(states):
                value = zero if begins else carry[s * size + row * H + unit if owned else 0]
                state[i * states + s] = value
            if begins and not every:
                state[i * states] = dy[row * dy_stride + dy_at + unit if owned else 0]
        arrays, ask = (pre, theta, saved, before, dy), (R_at, dy_stride, dy_at, every, reverse)
        for back in range(first - last):
            run(
                shared, arrays, lengths, state, span, first - 1 - back, (T, B, H), (row0, unit0, thread), ask,
                counters, which, goal,
            )  # fmt: skip
            goal += raised
        if stepped:
            for i in range(pairs):
                p = thread + i * threads
                row, unit = row0 + p // units, unit0 + p % units
                if p < units * rows and row < B and unit < H:
                    for s in range(states):
                        carry[s * size + row * H + unit] = state[i * states + s]

    return scan
