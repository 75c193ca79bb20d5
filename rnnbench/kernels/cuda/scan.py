"""The forward scan of one layer and direction, for every cell: see `plan.py` for how it is laid over the GPU.

A thread owns a few (unit, row) pairs for the whole sequence and keeps their states in registers. At each step and stage
the block multiplies what all units' blocks left in `work` by its part of R, the owners apply the cell's forward, and
what the next product needs goes back to `work`. A row that has ended keeps its state.
"""

from typing import Any

import numpy as np

from rnnbench.kernels.cuda.barrier import in_turn
from rnnbench.kernels.cuda.gates import device_maths, make_pull, make_push
from rnnbench.kernels.cuda.layout import Layout, digits
from rnnbench.kernels.cuda.plan import Plan
from rnnbench.kernels.cuda.product import NOTHING, Product, digit, make_product, visited
from rnnbench.kernels.cuda.target import cuda, device_function


def work_blocks(layout: Layout) -> int:
    """Arrays [B, H] of `work`: the initial states, h twice by turns, earlier stages' results, and the final states."""
    return final_block(layout) + layout.states


def final_block(layout: Layout) -> int:
    """Where in `work` the final states begin, in arrays."""
    return layout.states + 2 + len(layout.stages) - 1


@device_function
def locate_row(n, k, place, lengths):
    """Element k of row n of an array [B, H]."""
    base, row0, B, H = place
    row = row0 + n
    return base + row * H + k if row < B and k < H else -1


def make_locate_weight(rows: tuple[int, ...], units: int) -> Any:
    """R by unit and accumulator: column c is unit c % units of the accumulator c // units, `rows` theirs in R."""
    code, count = digits(rows), len(rows)

    @device_function
    def locate(c, k, place, lengths):
        R_at, unit0, H = place
        unit = unit0 + c % units
        return R_at + (digit(code, c // units) * H + unit) * H + k if c < count * units and unit < H and k < H else -1

    return locate


def make_add(product: Product, accumulators: tuple[int, ...], units: int) -> Any:
    """add(held, at, shared, n, c): the sums of row n and unit c, to the accumulators they belong to."""
    code, count, sums_at, stride = digits(accumulators), len(accumulators), product.sums_at, product.column_stride

    @device_function
    def add(held, at, shared, n, c):
        for a in range(count):
            held[at + digit(code, a)] += shared[sums_at + n * stride + a * units + c]

    return add


def make_stage(layout: Layout, dtype: np.dtype[Any], plan: Plan, number: int, m: Any) -> tuple[Any, Any]:
    """(load, run): brings the stage's weights in; computes one step of it. For the arguments see `make_forward`."""
    stage, states, slots, G = layout.stages[number], layout.states, layout.saved, layout.accumulators
    is_first, is_last = number == 0, number == len(layout.stages) - 1
    result_block, previous_block = states + 2 + number, states + 1 + number
    forward = device_function(layout.cell.stages[number].pair(m)[0])
    pull_pre, pull_state = make_pull(stage.accumulators), make_pull(states)
    push_state, push_saved = make_push(states), make_push(stage.saved)
    units, rows, threads, pairs, count = plan.units, plan.rows, plan.threads, plan.pairs, stage.accumulators
    sees_x, first, slot = sum(1 << n for n, sees in enumerate(stage.sees_x) if sees), stage.first, stage.slot
    held_size, zero = pairs * count, dtype.type(0)
    h = u = NOTHING
    if stage.h:
        h = make_product(dtype, plan, number, 0, locate_row, make_locate_weight(stage.h_rows, units), True)
    if stage.u:
        work = 1 if stage.h else 0
        u = make_product(dtype, plan, number, work, locate_row, make_locate_weight(stage.u_rows, units), True)
    load_h, run_h, add_h = h.load, h.run, make_add(h, stage.h, units)
    load_u, run_u, add_u = u.load, u.run, make_add(u, stage.u, units)

    @device_function
    def load(shared, theta, weights, lengths, thread):
        load_h(shared, theta, weights, lengths, thread)
        load_u(shared, theta, weights, lengths, thread)

    @device_function
    def run(shared, arrays, lengths, state, span, step, sizes, here, ask):
        pre, theta, work, y, saved, before = arrays
        T, B, H = sizes
        row0, unit0, thread = here
        R_at, b_at, y_stride, y_at, reverse, keep = ask
        size = B * H
        held = cuda.local.array(held_size, dtype)
        for i in range(pairs):  # asked for now, needed after the product
            p = thread + i * threads
            row, unit = row0 + p // units, unit0 + p % units
            owned = p < units * rows and row < B and unit < H
            visit = visited(step, span[i], reverse) * B + row
            for g in range(count):
                value = theta[b_at + (first + g) * H + unit if owned else 0]
                if (sees_x >> g) & 1:
                    value += pre[(visit * G + first + g) * H + unit if owned else 0]
                held[i * count + g] = value
        h_block = 0 if step == 0 else states + (step & 1)
        weights = (R_at, unit0, H)
        run_h(shared, work, (h_block * size, row0, B, H), theta, weights, lengths, thread)
        run_u(shared, work, (previous_block * size, row0, B, H), theta, weights, lengths, thread)
        for i in range(pairs):
            p = thread + i * threads
            n, c = p // units, p % units
            row, unit = row0 + n, unit0 + c
            if p < units * rows and row < B and unit < H:
                active = step < span[i]
                visit = visited(step, span[i], reverse) * B + row
                add_h(held, i * count, shared, n, c)
                add_u(held, i * count, shared, n, c)
                result, kept = forward(pull_pre(held, i * count, 1), pull_state(state, i * states, 1))
                if keep:
                    push_saved(saved, (visit * slots + slot) * H + unit, H, kept)
                    at = visit * H + unit
                    if is_first:
                        for s in range(states):  # past a row's end zeros, for the large products
                            before[s * T * size + at] = state[i * states + s] if active else zero
                    if not is_last:
                        before[(states + number) * T * size + at] = result[0] if active else zero
                if is_last:
                    if active:
                        push_state(state, i * states, 1, result)
                    work[(states + ((step + 1) & 1)) * size + row * H + unit] = state[i * states]
                    if y_stride:
                        y[visit * y_stride + y_at + unit] = state[i * states] if active else zero
                else:
                    work[result_block * size + row * H + unit] = result[0]

    return load, run


def make_forward(layout: Layout, dtype: np.dtype[Any], plan: Plan, only: int | None = None) -> Any:
    """The kernel, not yet compiled:

    scan(pre, theta, work, y, saved, before, lengths, counters,
         R_at, b_at, goal, first, last, T, B, H, y_stride, y_at, reverse, keep)

    Flat arrays as `layout.py` has them; theta holds R [Gr, H, H] and b [G, H] at R_at and b_at. work: `work_blocks`.
    lengths int64 [B]. Steps first <= step < last are computed. y: step t of row b goes to
    (t * B + b) * y_stride + y_at; y_stride 0 for none. counters int64 [row_blocks], goal: see `barrier.py`. keep:
    whether backward will follow. only: the stage that a launch of a stepped scan computes.
    """
    m, states, final = device_maths(dtype), layout.states, final_block(layout)
    units, rows, threads, pairs = plan.units, plan.rows, plan.threads, plan.pairs
    numbers = range(len(layout.stages)) if only is None else (only,)
    load, run = in_turn([make_stage(layout, dtype, plan, n, m) for n in numbers], plan.meeting_blocks)
    resident, meets, raised = plan.resident, plan.meeting_blocks > 1, plan.meeting_blocks * len(numbers)
    finishes, state_size = numbers[-1] == len(layout.stages) - 1, pairs * states

    def scan(
        pre, theta, work, y, saved, before, lengths, counters,
        R_at, b_at, goal, first, last, T, B, H, y_stride, y_at, reverse, keep
    ):  # fmt: skip
        if meets:
            cuda.cg.this_grid()  # asks for a cooperative launch: all blocks alive, or an error
        shared = cuda.shared.array(0, dtype)
        state, span = cuda.local.array(state_size, dtype), cuda.local.array(pairs, np.int64)
        thread, which = cuda.threadIdx.x, cuda.blockIdx.y
        unit0, row0, size = cuda.blockIdx.x * units, cuda.blockIdx.y * rows, B * H
        if resident:
            load(shared, theta, (R_at, unit0, H), lengths, thread)
        source = 0 if first == 0 else final
        for i in range(pairs):
            p = thread + i * threads
            row, unit = row0 + p // units, unit0 + p % units
            owned = p < units * rows and row < B and unit < H
            span[i] = lengths[row if owned else 0]
            for s in range(states):
                state[i * states + s] = work[(source + s) * size + row * H + unit if owned else 0]
        arrays, ask = (pre, theta, work, y, saved, before), (R_at, b_at, y_stride, y_at, reverse, keep)
        for step in range(first, last):
            run(
                shared, arrays, lengths, state, span, step, (T, B, H), (row0, unit0, thread), ask, counters, which, goal
            )
            goal += raised
        if finishes:
            for i in range(pairs):
                p = thread + i * threads
                row, unit = row0 + p // units, unit0 + p % units
                if p < units * rows and row < B and unit < H:
                    for s in range(states):
                        work[(final + s) * size + row * H + unit] = state[i * states + s]

    return scan
