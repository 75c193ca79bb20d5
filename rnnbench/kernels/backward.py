"""The backward scan: from the outputs' gradient to that of every pre-activation, one layer and direction.

The steps of the forward scan in reverse. The cell's backward turns a step's state gradient and saved values into the
gradients of its pre-activations, which take the saved values' place on the tape; the same tile as forward then
multiplies them by the transposed R. What remains, dW, dR, db and dx, are large products over all T * B visits, left to
BLAS (see `backends/numba_cpu.py`).
"""

from rnnbench.kernels.gates import vector_maths
from rnnbench.kernels.tile import make_panel
from rnnbench.kernels.vector import get, pointer, put, shift, vectors


def make_products(layout, slots):
    """products(n, at, tape, stride, Hp, H, R, out, out_stride): out [n, units] += Σ over `slots` of tape · R.

    slots: where on the tape the gradients lie that this operand's accumulators left.
    """
    add = make_panel(layout.vector, (True,) * layout.columns)
    width, count = layout.columns * layout.lanes, len(slots)

    @layout.paste
    def products(n, at, tape, stride, Hp, H, R, out, out_stride):
        for block in range(out_stride // width):
            target = shift(out, block * width)
            for j in range(count):
                source, weights = shift(tape, slots[j] * Hp), shift(R, (block * count + j) * H * width)
                add(n, target, out_stride, target, out_stride, source, at, stride, H, weights)

    return products


def _slots(plan, mask):
    return tuple(plan.slot + n for n, wanted in enumerate(mask) if wanted)


def make_stage_backward(layout, number, m):
    """stage(...): one stage of one step, for n rows. Gives where the next (earlier) stage's transposed weights end."""
    plan = layout.stages[number]
    last = number == len(layout.stages) - 1
    backward = layout.jit(layout.cell.stages[number].pair(m)[1])
    lanes, states, slots = layout.lanes, layout.states, layout.slots
    r_slots, u_slots = _slots(plan, plan.r), _slots(plan, plan.u)

    @layout.paste
    def nothing(n, at, tape, stride, Hp, H, R, out, out_stride):
        pass

    through_r = make_products(layout, r_slots) if r_slots else nothing
    through_u = make_products(layout, u_slots) if u_slots else nothing
    Gr, Gu, first_slot = len(r_slots), len(u_slots), plan.slot
    load_saved, _, _ = vectors(layout.vector, plan.saved)
    _, store_dpre, _ = vectors(layout.vector, plan.accumulators)
    load_states, store_states, add_states = vectors(layout.vector, states)
    load_one, _, _ = vectors(layout.vector, 1)
    zero = layout.dtype.type(0)

    @layout.paste
    def stage(step, n, N, visits, H, Hp, Hq, at, tape, before, carry, middles, end):
        """carry [state, N, Hq]: the states' gradients. middles [N, Hq] per earlier stage: its result's gradient."""
        U = shift(end, -Gu * H * Hq)
        R = shift(U, -Gr * H * Hq)
        given = shift(middles, number * N * Hq)
        wanted = shift(middles, (number - 1) * N * Hq)
        for i in range(n):
            visit = get(at, i)
            for p in range(Hp // lanes):
                place = i * Hq + p * lanes
                values = shift(tape, (visit * slots + first_slot) * Hp + p * lanes)
                prev = load_states(shift(before, visit * Hp + p * lanes), visits * Hp)
                saved = load_saved(values, Hp)
                if last:
                    dpre, dprev = backward(saved, prev, load_states(shift(carry, place), N * Hq))
                    store_states(shift(carry, place), N * Hq, dprev)
                else:
                    dpre, dprev = backward(saved, prev, load_one(shift(given, place), 0))
                    add_states(shift(carry, place), N * Hq, dprev)
                store_dpre(values, Hp, dpre)
        if Gu:
            for j in range(n * Hq):
                put(wanted, j, zero)
            through_u(n, at, tape, slots * Hp, Hp, H, U, wanted, Hq)
        if Gr and step:  # at the first step it would be the initial state's gradient, which nobody asks for
            through_r(n, at, tape, slots * Hp, Hp, H, R, carry, Hq)
        return R

    return stage


def _in_turn(layout, last, earlier):
    if earlier is None:
        return last

    @layout.paste
    def stages(step, n, N, visits, H, Hp, Hq, at, tape, before, carry, middles, end):
        end = last(step, n, N, visits, H, Hp, Hq, at, tape, before, carry, middles, end)
        return earlier(step, n, N, visits, H, Hp, Hq, at, tape, before, carry, middles, end)

    return stages


def make_backward(layout):
    """The backward scan of one layer and direction:

    scan(dy, dy_stride, dy_at, dfinal, dfinal_stride, dfinal_at, transposed, tape, before,
         order, length, active, reverse, work, index, T, B, H)

    Arrays, rows and tape as in the forward scan. dy: the gradient of step t of row b's output at
    (t * B + b) * dy_stride + dy_at; dy_stride 0 for none. dfinal: that of row b's final h at
    b * dfinal_stride + dfinal_at; dfinal_stride 0 for none. transposed: packed weights (layout.py). work: see
    `workspace`; index int64 [N]. The gradients of the pre-activations replace the values
    on the tape.
    """
    m = vector_maths(layout.vector, layout.dtype)
    lanes, states, columns = layout.lanes, layout.states, layout.columns
    middle_count, zero = len(layout.stages) - 1, layout.dtype.type(0)
    width = lanes * columns
    run = None
    for number in range(len(layout.stages)):
        run = _in_turn(layout, make_stage_backward(layout, number, m), run)
    weights = sum(sum(plan.r) + sum(plan.u) for plan in layout.stages)

    @layout.jit
    def add_row(target, source, count):
        for j in range(count):
            put(target, j, get(target, j) + get(source, j))

    @layout.jit
    def scan(
        dy, dy_stride, dy_at, dfinal, dfinal_stride, dfinal_at, transposed, tape, before,
        order, length, active, reverse, work, index, T, B, H
    ):  # fmt: skip
        N, Hp, Hq = order.size, -(-H // lanes) * lanes, -(-H // width) * width
        dy_, dfinal_, tape_, before_ = pointer(dy), pointer(dfinal), pointer(tape), pointer(before)
        order_, length_, active_, at = pointer(order), pointer(length), pointer(active), pointer(index)
        carry = pointer(work)
        middles = shift(carry, states * N * Hq)
        end = shift(pointer(transposed), weights * H * Hq)
        for j in range(states * N * Hq):
            put(carry, j, zero)
        for step in range(T - 1, -1, -1):
            n = get(active_, step)
            starting = get(active_, step + 1) if step + 1 < T else 0
            for i in range(n):
                t = get(length_, i) - 1 - step if reverse else step
                put(at, i, t * B + get(order_, i))
                if dfinal_stride and i >= starting:
                    add_row(shift(carry, i * Hq), shift(dfinal_, get(order_, i) * dfinal_stride + dfinal_at), H)
                if dy_stride:
                    add_row(shift(carry, i * Hq), shift(dy_, get(at, i) * dy_stride + dy_at), H)
            run(step, n, N, T * B, H, Hp, Hq, at, tape_, before_, carry, middles, end)

    def workspace(N, H):
        """Elements of `work`."""
        return (states + middle_count) * N * layout.padded_back(H)

    return scan, workspace
