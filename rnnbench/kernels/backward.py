"""The backward scan: from the outputs' gradient to that of every pre-activation, one layer and direction.

The steps of the forward scan in reverse. The cell's backward turns a step's state gradient and saved values into the
gradients of its pre-activations, which take the saved values' place on the tape; the same tile as forward then
multiplies them by the transposed R. What remains, dW, dR, db and dx, are large products over all T * B visits (see
products.py).
"""

from collections import namedtuple

from numba import types

from rnnbench.kernels.call import BACKWARD
from rnnbench.kernels.gates import vector_maths
from rnnbench.kernels.tile import make_panel
from rnnbench.kernels.vector import get, held, meet, pointer_to, put, record_at, shift, vectors

# One step as a stage sees it; as in the forward scan, and: carry [state, N, Hq], the states' gradients; middles
# [N, Hq] per earlier stage, its result's gradient. first to last are blocks of `columns` vectors, not panels.
Step = namedtuple("Step", "step n N visits H Hp Hq first last at tape before carry middles parts barrier mine")


def make_products(layout, slots):
    """products(s, R, out): out [n, units of this call] += Σ over `slots` of tape · R.

    slots: where on the tape the gradients lie that this operand's accumulators left. Neighbours are one sum: padding
    between them meets weights of zero.
    """
    add = make_panel(layout.vector, (True,) * layout.columns)
    width, count, all_slots = layout.columns * layout.lanes, len(slots), layout.slots
    begins = tuple(n for n in range(count) if n == 0 or slots[n] != slots[n - 1] + 1)
    lengths = tuple(end - begin for begin, end in zip(begins, (*begins[1:], count), strict=True))
    firsts, runs = tuple(slots[n] for n in begins), len(begins)

    @layout.paste
    def products(s, R, out):
        for block in range(s.first, s.last):
            target = shift(out, block * width)
            for j in range(runs):
                source, weights = shift(s.tape, firsts[j] * s.Hp), shift(R, (block * count + begins[j]) * s.Hp * width)
                add(s.n, target, s.Hq, target, s.Hq, ((source, s.at, all_slots * s.Hp, lengths[j] * s.Hp, weights),))

    return products


def _slots(plan, mask):
    return tuple(plan.slot + n for n, wanted in enumerate(mask) if wanted)


def make_stage_backward(layout, number, m):
    """stage(s, end): one stage of the Step s. Gives where the earlier stage's transposed weights end."""
    plan = layout.stages[number]
    last = number == len(layout.stages) - 1
    backward = layout.jit(layout.cell.stages[number].pair(m)[1])
    lanes, states, slots = layout.lanes, layout.states, layout.slots
    r_slots, u_slots = _slots(plan, plan.r), _slots(plan, plan.u)

    @layout.paste
    def nothing(s, R, out):
        pass

    through_r = make_products(layout, r_slots) if r_slots else nothing
    through_u = make_products(layout, u_slots) if u_slots else nothing
    Gr, Gu, first_slot, columns = len(r_slots), len(u_slots), plan.slot, layout.columns
    load_saved, _, _ = vectors(layout.vector, plan.saved)
    _, store_dpre, _ = vectors(layout.vector, plan.accumulators)
    load_states, store_states, add_states = vectors(layout.vector, states)
    load_one, _, _ = vectors(layout.vector, 1)
    zero = layout.dtype.type(0)

    @layout.paste
    def stage(s, end):
        U = shift(end, -Gu * s.Hp * s.Hq)
        R = shift(U, -Gr * s.Hp * s.Hq)
        given, wanted = shift(s.middles, number * s.N * s.Hq), shift(s.middles, (number - 1) * s.N * s.Hq)
        for i in range(s.n):
            visit = get(s.at, i)
            for p in range(s.first * columns, min(s.last * columns, s.Hp // lanes)):
                place = i * s.Hq + p * lanes
                values = shift(s.tape, (visit * slots + first_slot) * s.Hp + p * lanes)
                prev = load_states(shift(s.before, visit * s.Hp + p * lanes), s.visits * s.Hp)
                saved = load_saved(values, s.Hp)
                if last:
                    dpre, dprev = backward(saved, prev, load_states(shift(s.carry, place), s.N * s.Hq))
                    store_states(shift(s.carry, place), s.N * s.Hq, dprev)
                else:
                    dpre, dprev = backward(saved, prev, load_one(shift(given, place), 0))
                    add_states(shift(s.carry, place), s.N * s.Hq, dprev)
                store_dpre(values, s.Hp, dpre)
            if Gu:
                for j in range(s.first * columns * lanes, s.last * columns * lanes):
                    put(wanted, i * s.Hq + j, zero)
        if s.parts > 1:
            meet(s.barrier, s.mine, s.parts)
        if Gu:
            through_u(s, U, wanted)
        if Gr and s.step:  # at the first step it would be the initial state's gradient, which nobody asks for
            through_r(s, R, s.carry)
        return R

    return stage


def _in_turn(layout, last, earlier):
    if earlier is None:
        return last

    @layout.paste
    def stages(s, end):
        return earlier(s, last(s, end))

    return stages


def make_backward(layout):
    """The backward scan of one layer and direction: scan(address), of one record `call.BACKWARD`.

    Rows, tape and before as in the forward scan; dy, dlast: see call.py. The gradients of the pre-activations replace
    the values on the tape.
    """
    m = vector_maths(layout.dtype)
    lanes, states, columns = layout.lanes, layout.states, layout.columns
    stage_count, zero = len(layout.stages), layout.dtype.type(0)
    middle_count, width = stage_count - 1, lanes * columns
    run = None
    for number in range(stage_count):
        run = _in_turn(layout, make_stage_backward(layout, number, m), run)
    weights = sum(sum(plan.r) + sum(plan.u) for plan in layout.stages)
    scalar = layout.vector.scalar
    reals, integers, behind, told = pointer_to(scalar), pointer_to(types.int64), held(scalar), record_at(BACKWARD)

    @layout.jit
    def add_row(target, source, count):
        for j in range(count):
            put(target, j, get(target, j) + get(source, j))

    @layout.jit
    def scan(address):
        c = told(address)
        T, B, H, N = c.T, c.B, c.H, c.N
        Hp, Hq = -(-H // lanes) * lanes, -(-H // width) * width
        dy_, dlast_, tape_, before_ = behind(c.dy), behind(c.dlast), behind(c.tape), behind(c.before)
        order, length, active = integers(c.order), integers(c.length), integers(c.active)
        at, carry = integers(c.index), reals(c.work)
        middles = shift(carry, states * N * Hq)
        end = shift(reals(c.packed), weights * Hp * Hq)
        blocks = Hq // width
        first, last = blocks * c.part // c.parts, blocks * (c.part + 1) // c.parts
        begin, count = first * width, min(H, last * width) - first * width
        for i in range(states * N):
            for j in range(first * width, last * width):
                put(carry, i * Hq + j, zero)
        for step in range(T - 1, -1, -1):
            n = get(active, step)
            starting = get(active, step + 1) if step + 1 < T else 0
            for i in range(n):
                t = get(length, i) - 1 - step if c.reverse else step
                put(at, i, t * B + get(order, i))
                target = shift(carry, i * Hq + begin)
                if c.dlast_stride and i >= starting:
                    add_row(target, shift(dlast_, get(order, i) * c.dlast_stride + c.dlast_at + begin), count)
                if c.dy_stride:
                    add_row(target, shift(dy_, get(at, i) * c.dy_stride + c.dy_at + begin), count)
            now = Step(
                step, n, N, T * B, H, Hp, Hq, first, last, at, tape_, before_, carry, middles,
                c.parts, integers(c.barrier), integers(c.mine),
            )  # fmt: skip
            run(now, end)

    def workspace(N, H):
        """Elements of `work`, of `scratch` (none) and of `index`."""
        return (states + middle_count) * N * layout.padded_back(H), 0, N

    return scan, workspace
