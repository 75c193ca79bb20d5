"""The backward scan: from the outputs' gradient to that of every pre-activation, one layer and direction.

The forward scan in reverse, laid over the GPU in the same way. The owners of (unit, row) pairs carry the states'
gradients in registers. A step begins with what the step after it sends back through R; then each stage's backward, the
last first, leaves the gradients of its accumulators in `pre`, where the next product and other blocks find them. dW, dR
and db are large products over all visits, afterwards (`large.py`).
"""

from typing import NamedTuple

import numpy as np

from rnnbench.cells.maths import Maths
from rnnbench.kernels.cuda.barrier import PhaseFunctions, in_sequence
from rnnbench.kernels.cuda.gates import device_maths, make_load, make_store
from rnnbench.kernels.cuda.layout import CudaLayout, digits
from rnnbench.kernels.cuda.plan import ScanPlan
from rnnbench.kernels.cuda.product import NOTHING, digit, make_pair, make_product, visited
from rnnbench.kernels.cuda.target import cuda, device_function
from rnnbench.kernels.cuda.types import DeviceArray, DeviceFunction, DType, KernelFunction


class CudaBackwardArgs(NamedTuple):
    """What a backward scan takes besides `CudaScanArgs`.

    dy: with `every`, the gradient of step t of row b's output at (t * B + b) * dy_stride + column; without, that of its
    final h at b * dy_stride + column. carry [states, B, H]: the states' gradients from one launch of a stepped scan to
    the next.
    """

    dy: DeviceArray
    carry: DeviceArray
    dy_stride: int
    every: int


def make_locate_gradient(slots: tuple[int, ...], segment: int, G: int) -> DeviceFunction:
    """Make locate for the gradients in `pre` of one step's visits: k is unit k % segment of the accumulator
    k // segment."""
    code = digits(slots)

    @device_function
    def locate(n, k, place, lengths):
        row0, step, reverse, B, H = place
        row, unit = row0 + n, k % segment
        length = lengths[row if row < B else 0]
        visit = visited(step, length, reverse) * B + row
        return (visit * G + digit(code, k // segment)) * H + unit if row < B and unit < H else -1

    return locate


def make_locate_transposed(rows: tuple[int, ...], units: int, segment: int) -> DeviceFunction:
    """Make locate for R the other way round: column c is the unit of h or of a stage's result, k as in
    `make_locate_gradient`."""
    code = digits(rows)

    @device_function
    def locate(c, k, place, lengths):
        R_at, unit0, H = place
        unit, from_unit = unit0 + c, k % segment
        place_in_R = R_at + (digit(code, k // segment) * H + from_unit) * H + unit
        return place_in_R if c < units and unit < H and from_unit < H else -1

    return locate


def make_state_gradients(states: int, is_last: bool) -> tuple[DeviceFunction, DeviceFunction]:
    """Make the functions by which a stage uses the states' gradients that a thread carries from step to step.

    take(state, at, through_R, output): what the stage's backward starts from: for the last stage the states' gradients,
    with the output's added; for an earlier one what came through the next stage's R.
    give(state, at, dprev): stores, or for an earlier stage adds, the part that reaches the states before.
    """
    load, store = make_load(states), make_store(states)

    @device_function
    def take_states(state, at, through_R, output):
        state[at] += output
        return load(state, at, 1)

    @device_function
    def store_states(state, at, dprev):
        store(state, at, 1, dprev)

    @device_function
    def take_result(state, at, through_R, output):
        return (through_R,)

    @device_function
    def add_states(state, at, dprev):
        for s in range(states):
            state[at + s] += dprev[s]

    return (take_states, store_states) if is_last else (take_result, add_states)


def make_stage(layout: CudaLayout, dtype: DType, plan: ScanPlan, phase: int, m: Maths) -> PhaseFunctions:
    """Make the functions of a phase; the last stage's is phase 0."""
    number = len(layout.stages) - 1 - phase
    stage, states, slots, G = layout.stages[number], layout.states, layout.saved, layout.accumulators
    is_last, saves = phase == 0, stage.saved
    backward = device_function(layout.cell.stages[number].pair(m)[1])
    load_saved, load_before, store_pre = make_load(saves), make_load(states), make_store(stage.accumulators)
    take, give = make_state_gradients(states, is_last)
    pairs, segment, pair = plan.pairs, plan.segment, make_pair(plan)
    first, slot, count, zero = stage.first, stage.slot, stage.accumulators, dtype.type(0)
    each = saves + states + 1  # loaded of each pair: saved values, states before, and the output's gradient
    loaded_size = pairs * each
    users, rows = layout.users(number)
    product = NOTHING
    if users:  # the accumulators that h, or the stage's result, is an operand of
        locate, transposed = make_locate_gradient(users, segment, G), make_locate_transposed(rows, plan.units, segment)
        product = make_product(dtype, plan, phase, 0, locate, transposed, False)
    multiply, sums_at, stride, is_operand = product.run, product.sums_at, product.column_stride, bool(users)
    ahead = 1 if is_last else 0  # h is an operand in the step after, a stage's result in the same step

    @device_function
    def run(shared, args, block, state, span, step):
        _, pre, theta, saved, before, lengths, R_at, T, B, H, column, reverse, dy, _carry, dy_stride, every = args
        row0, unit0, thread = block
        loaded = cuda.local.array(loaded_size, dtype)
        for i in range(pairs):  # asked for now, needed after the product
            row, unit, inside = pair(i, block)
            owned = inside and row < B and unit < H
            visit = visited(step, span[i], reverse) * B + row
            for v in range(saves):
                loaded[i * each + v] = saved[(visit * slots + slot + v) * H + unit if owned else 0]
            for s in range(states):
                loaded[i * each + saves + s] = before[(s * T * B + visit) * H + unit if owned else 0]
            output = dy[visit * dy_stride + column + unit if owned and every else 0]
            loaded[i * each + saves + states] = output if every else zero
        multiplies = is_operand and step + ahead < T
        if multiplies:
            place, weights = (row0, step + ahead, reverse, B, H), (R_at, unit0, H)
            multiply(shared, pre, place, theta, weights, lengths, thread)
        for i in range(pairs):
            row, unit, inside = pair(i, block)
            if inside and row < B and unit < H:
                at = ((visited(step, span[i], reverse) * B + row) * G + first) * H + unit
                through_R = shared[sums_at + (row - row0) * stride + unit - unit0] if multiplies else zero
                if ahead:
                    state[i * states] += through_R
                if step < span[i]:
                    results = take(state, i * states, through_R, loaded[i * each + saves + states])
                    old = load_before(loaded, i * each + saves, 1)
                    dpre, dprev = backward(load_saved(loaded, i * each, 1), old, results)
                    store_pre(pre, at, H, dpre)
                    give(state, i * states, dprev)
                else:
                    for g in range(count):
                        pre[at + g * H] = zero

    return PhaseFunctions(product.load, run)


def make_backward(layout: CudaLayout, dtype: DType, plan: ScanPlan, only: int | None = None) -> KernelFunction:
    """Make the kernel, not yet compiled; its arguments are those of `CudaScanArgs` and `CudaBackwardArgs`.

    Steps are computed from T - 1 down. only: the phase that a launch of a stepped scan computes.
    """
    m, states = device_maths(dtype), layout.states
    units, rows, pairs, pair = plan.units, plan.rows, plan.pairs, make_pair(plan)
    phases = range(len(layout.stages)) if only is None else (only,)
    load, run = in_sequence([make_stage(layout, dtype, plan, n, m) for n in phases], plan.barrier_blocks)
    resident, waits, raised = plan.resident, plan.barrier_blocks > 1, plan.barrier_blocks * len(phases)
    stepped, starts, state_size, zero = only is not None, phases[0] == 0, pairs * states, dtype.type(0)

    def scan(
        goal, first, last, counters, pre, theta, saved, before, lengths, R_at, T, B, H, column, reverse,
        dy, carry, dy_stride, every
    ):  # fmt: skip
        if waits:
            cuda.cg.this_grid()  # asks for a cooperative launch: all blocks alive, or an error
        args = (
            counters, pre, theta, saved, before, lengths, R_at, T, B, H, column, reverse, dy, carry, dy_stride, every
        )  # fmt: skip
        row0, unit0, thread, size = cuda.blockIdx.y * rows, cuda.blockIdx.x * units, cuda.threadIdx.x, B * H
        block = (row0, unit0, thread)
        shared = cuda.shared.array(0, dtype)
        state, span = cuda.local.array(state_size, dtype), cuda.local.array(pairs, np.int64)
        if resident:
            load(shared, theta, (R_at, unit0, H), lengths, thread)
        begins = starts and first == T
        for i in range(pairs):
            row, unit, inside = pair(i, block)
            owned = inside and row < B and unit < H
            span[i] = lengths[row if owned else 0]
            for s in range(states):
                value = zero if begins else carry[s * size + row * H + unit if owned else 0]
                state[i * states + s] = value
            if begins and not every:
                state[i * states] = dy[row * dy_stride + column + unit if owned else 0]
        for back in range(first - last):
            run(shared, args, block, state, span, first - 1 - back, goal)
            goal += raised
        if stepped:
            for i in range(pairs):
                row, unit, inside = pair(i, block)
                if inside and row < B and unit < H:
                    for s in range(states):
                        carry[s * size + row * H + unit] = state[i * states + s]

    return scan
