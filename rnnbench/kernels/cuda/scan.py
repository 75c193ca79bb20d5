"""The forward scan of one layer and direction, for every cell: see `plan.py` for how it is laid over the GPU.

A thread owns a few (unit, row) pairs for the whole sequence and keeps their states in registers. At each step and stage
the block multiplies what all units' blocks left in `workspace` by its part of R, the owners apply the cell's forward,
and what the next product needs goes back to `workspace`. A row that has ended keeps its state.
"""

from typing import NamedTuple

import numpy as np

from rnnbench.cells.maths import Maths
from rnnbench.kernels.cuda.barrier import PhaseFunctions, in_sequence
from rnnbench.kernels.cuda.gates import device_maths, make_load, make_store
from rnnbench.kernels.cuda.layout import CudaLayout, digits
from rnnbench.kernels.cuda.plan import ScanPlan
from rnnbench.kernels.cuda.product import NOTHING, Product, digit, make_pair, make_product, visited
from rnnbench.kernels.cuda.target import cuda, device_function
from rnnbench.kernels.cuda.types import DeviceArray, DeviceFunction, DType, IntegerArray, KernelFunction


class CudaScanArgs(NamedTuple):
    """The arguments of a scan in either direction, the same for all its launches. Flat arrays as `layout.py` has them.

    A launch's own come before: goal, what the barrier's counters have reached (`barrier.py`), and the steps to compute,
    forwards first <= step < last, backwards first > step >= last. theta holds R [Gr, H, H] at R_at. lengths int64 [B].
    counters int64 [row_blocks]. column: the direction's first in y and dy.
    """

    counters: IntegerArray
    pre: DeviceArray
    theta: DeviceArray
    saved: DeviceArray
    before: DeviceArray
    lengths: IntegerArray
    R_at: int
    T: int
    B: int
    H: int
    column: int
    reverse: int


class CudaForwardArgs(NamedTuple):
    """What a forward scan takes besides. b_at: where theta holds b [G, H].

    y: step t of row b goes to (t * B + b) * y_stride + column; y_stride 0 for none. keep: whether backward will follow.
    """

    workspace: DeviceArray
    y: DeviceArray
    b_at: int
    y_stride: int
    keep: int


@device_function
def locate_row(n, k, place, lengths):
    """Return where element k of row n of an array [B, H] lies."""
    base, row0, B, H = place
    row = row0 + n
    return base + row * H + k if row < B and k < H else -1


def make_locate_weight(rows: tuple[int, ...], units: int) -> DeviceFunction:
    """Make locate for R by unit and accumulator: column c is unit c % units of the accumulator c // units, in R's
    `rows`."""
    code, count = digits(rows), len(rows)

    @device_function
    def locate(c, k, place, lengths):
        R_at, unit0, H = place
        unit = unit0 + c % units
        return R_at + (digit(code, c // units) * H + unit) * H + k if c < count * units and unit < H and k < H else -1

    return locate


def make_add(product: Product, accumulators: tuple[int, ...], units: int) -> DeviceFunction:
    """Make add(totals, at, shared, n, c): the sums of row n and unit c, to the accumulators they belong to."""
    code, count, sums_at, stride = digits(accumulators), len(accumulators), product.sums_at, product.column_stride

    @device_function
    def add(totals, at, shared, n, c):
        for a in range(count):
            totals[at + digit(code, a)] += shared[sums_at + n * stride + a * units + c]

    return add


def make_stage(layout: CudaLayout, dtype: DType, plan: ScanPlan, number: int, m: Maths) -> PhaseFunctions:
    """Make a stage's functions: one loads its weights, the other computes one step of it."""
    stage, states, slots, G = layout.stages[number], layout.states, layout.saved, layout.accumulators
    is_first, is_last = number == 0, number == len(layout.stages) - 1
    result_array, previous_array = states + 2 + number, states + 1 + number
    forward = device_function(layout.cell.stages[number].pair(m)[0])
    load_pre, load_state = make_load(stage.accumulators), make_load(states)
    store_state, store_saved = make_store(states), make_store(stage.saved)
    units, pairs, count, pair = plan.units, plan.pairs, stage.accumulators, make_pair(plan)
    sees_x, first, slot = sum(1 << n for n, sees in enumerate(stage.sees_x) if sees), stage.first, stage.slot
    totals_size, zero = pairs * count, dtype.type(0)
    h = u = NOTHING
    if stage.h:
        h = make_product(dtype, plan, number, 0, locate_row, make_locate_weight(stage.h_rows, units), True)
    if stage.u:
        index = 1 if stage.h else 0
        u = make_product(dtype, plan, number, index, locate_row, make_locate_weight(stage.u_rows, units), True)
    load_h, run_h, add_h = h.load, h.run, make_add(h, stage.h, units)
    load_u, run_u, add_u = u.load, u.run, make_add(u, stage.u, units)

    @device_function
    def load(shared, theta, weights, lengths, thread):
        load_h(shared, theta, weights, lengths, thread)
        load_u(shared, theta, weights, lengths, thread)

    @device_function
    def run(shared, args, block, state, span, step):
        (
            _, pre, theta, saved, before, lengths, R_at, T, B, H, column, reverse,
            workspace, y, b_at, y_stride, keep,
        ) = args  # fmt: skip
        (row0, unit0, thread), size = block, B * H
        totals = cuda.local.array(totals_size, dtype)
        for i in range(pairs):  # asked for now, needed after the product
            row, unit, inside = pair(i, block)
            owned = inside and row < B and unit < H
            visit = visited(step, span[i], reverse) * B + row
            for g in range(count):
                value = theta[b_at + (first + g) * H + unit if owned else 0]
                if (sees_x >> g) & 1:
                    value += pre[(visit * G + first + g) * H + unit if owned else 0]
                totals[i * count + g] = value
        h_array = 0 if step == 0 else states + (step & 1)
        weights = (R_at, unit0, H)
        h_place, u_place = (h_array * size, row0, B, H), (previous_array * size, row0, B, H)
        run_h(shared, workspace, h_place, theta, weights, lengths, thread)
        run_u(shared, workspace, u_place, theta, weights, lengths, thread)
        for i in range(pairs):
            row, unit, inside = pair(i, block)
            if inside and row < B and unit < H:
                active = step < span[i]
                visit = visited(step, span[i], reverse) * B + row
                add_h(totals, i * count, shared, row - row0, unit - unit0)
                add_u(totals, i * count, shared, row - row0, unit - unit0)
                result, kept = forward(load_pre(totals, i * count, 1), load_state(state, i * states, 1))
                if keep:
                    store_saved(saved, (visit * slots + slot) * H + unit, H, kept)
                    at = visit * H + unit
                    if is_first:
                        for s in range(states):  # past a row's end zeros, for the large products
                            before[s * T * size + at] = state[i * states + s] if active else zero
                    if not is_last:
                        before[(states + number) * T * size + at] = result[0] if active else zero
                if is_last:
                    if active:
                        store_state(state, i * states, 1, result)
                    workspace[(states + ((step + 1) & 1)) * size + row * H + unit] = state[i * states]
                    if y_stride:
                        y[visit * y_stride + column + unit] = state[i * states] if active else zero
                else:
                    workspace[result_array * size + row * H + unit] = result[0]

    return PhaseFunctions(load, run)


def make_forward(layout: CudaLayout, dtype: DType, plan: ScanPlan, only: int | None = None) -> KernelFunction:
    """Make the kernel, not yet compiled; its arguments are those of `CudaScanArgs` and `CudaForwardArgs`.

    only: the stage that a launch of a stepped scan computes.
    """
    m, states, final = device_maths(dtype), layout.states, layout.final_array
    units, rows, pairs, pair = plan.units, plan.rows, plan.pairs, make_pair(plan)
    numbers = range(len(layout.stages)) if only is None else (only,)
    load, run = in_sequence([make_stage(layout, dtype, plan, n, m) for n in numbers], plan.barrier_blocks)
    resident, waits, raised = plan.resident, plan.barrier_blocks > 1, plan.barrier_blocks * len(numbers)
    finishes, state_size = numbers[-1] == len(layout.stages) - 1, pairs * states

    def scan(
        goal, first, last, counters, pre, theta, saved, before, lengths, R_at, T, B, H, column, reverse,
        workspace, y, b_at, y_stride, keep
    ):  # fmt: skip
        if waits:
            cuda.cg.this_grid()  # asks for a cooperative launch: all blocks alive, or an error
        args = (
            counters, pre, theta, saved, before, lengths, R_at, T, B, H, column, reverse,
            workspace, y, b_at, y_stride, keep,
        )  # fmt: skip
        row0, unit0, thread, size = cuda.blockIdx.y * rows, cuda.blockIdx.x * units, cuda.threadIdx.x, B * H
        block = (row0, unit0, thread)
        shared = cuda.shared.array(0, dtype)
        state, span = cuda.local.array(state_size, dtype), cuda.local.array(pairs, np.int64)
        if resident:
            load(shared, theta, (R_at, unit0, H), lengths, thread)
        source = 0 if first == 0 else final
        for i in range(pairs):
            row, unit, inside = pair(i, block)
            owned = inside and row < B and unit < H
            span[i] = lengths[row if owned else 0]
            for s in range(states):
                state[i * states + s] = workspace[(source + s) * size + row * H + unit if owned else 0]
        for step in range(first, last):
            run(shared, args, block, state, span, step, goal)
            goal += raised
        if finishes:
            for i in range(pairs):
                row, unit, inside = pair(i, block)
                if inside and row < B and unit < H:
                    for s in range(states):
                        workspace[(final + s) * size + row * H + unit] = state[i * states + s]

    return scan
