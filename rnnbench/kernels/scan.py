"""The forward scan: one layer and direction over a whole sequence, for every cell.

Rows are sorted by length, longest first, so that the rows still running at any step are the first `active[step]`:
no masks, and a finished row keeps its state by not being touched. Which time a row visits is an index, so the reverse
direction is the same loop. At each step, stage by stage and panel by panel, the tile sums the pre-activations of up to
`GROUP` rows (of one row: of up to `GROUP` panels) into a scratch that stays in L1, and the cell's own forward turns
them into states, two vectors of units at a time. Panels are walked forwards at even steps and backwards at odd ones:
what a step read last is still in cache when the next begins.

Several threads may share the rows, each with a share of the panels: after each stage they meet.
"""

from collections import namedtuple

from numba import types

from rnnbench.kernels.call import FORWARD
from rnnbench.kernels.gates import vector_maths
from rnnbench.kernels.tile import make_panel
from rnnbench.kernels.vector import get, held, meet, pairs, pointer_to, put, record_at, shift, vector_type, vectors

GROUP = 64  # rows or panels whose pre-activations share the scratch: 8 KiB for an LSTM in float32

# One step as a stage sees it. n of N rows run, at the visits `at`; this call computes the panels first to last; prev
# and following: the states [state, N, Hp] before and after; middles: the stages' results [N, Hp] each; parts: how many
# threads share the panels, and meet at `barrier` (see `meet` in vector.py).
Step = namedtuple(
    "Step",
    "step n N visits I H Hp first last at index x prev following middles scratch tape before kept chunk "
    "parts barrier mine",
)


def make_stage(layout, number, m):
    """stage(s, packed, projected): one stage of the Step s. Gives the end of its packed weights, where the next stage's
    begin. See `make_forward` for what lies where.
    """
    plan = layout.stages[number]
    last_stage = number == len(layout.stages) - 1
    forward = layout.jit(layout.cell.stages[number].pair(m)[0])
    panel, project_panel = make_panel(layout.vector, plan.w, plan.r, plan.u), make_panel(layout.vector, plan.w)
    lanes, states, slots = layout.lanes, layout.states, layout.slots
    count, Gw, Gr, Gu, first_slot = plan.accumulators, sum(plan.w), sum(plan.r), sum(plan.u), plan.slot
    load_pre, _ = pairs(layout.vector, count)
    load_states, store_states = pairs(layout.vector, states)
    _, store_saved = pairs(layout.vector, plan.saved)
    _, store_one = pairs(layout.vector, 1)
    size, first_stage = count * lanes, number == 0
    sees_h, sees_u = int(Gr > 0), int(Gu > 0)

    @layout.paste
    def stage(s, packed, projected):
        panels = s.Hp // lanes
        W = shift(packed, panels * size)
        R = shift(W, panels * s.I * Gw * lanes)
        U = shift(R, panels * s.H * Gr * lanes)
        # The previous stage's result, and where this one's goes: [N, Hp] each.
        u, result = shift(s.middles, (number - 1) * s.N * s.Hp), shift(s.middles, number * s.N * s.Hp)
        share = s.last - s.first
        at_once = GROUP if s.n == 1 else 1
        done = 0
        while done < share:
            many = min(at_once, share - done)
            begin = s.last - done - many if s.step & 1 else s.first + done
            done += many
            for i in range(0, s.n, GROUP):
                rows = min(GROUP, s.n - i)
                for q in range(many):
                    p = begin + many - 1 - q if s.step & 1 else begin + q
                    out, at, index = shift(s.scratch, (p - begin) * size), shift(s.at, i), shift(s.index, i)
                    if s.chunk:
                        place = ((p * s.chunk + s.step % s.chunk) * s.N + i) * size
                        start, stride, Kx = shift(projected, place), size, 0
                    else:
                        start, stride, Kx = shift(packed, p * size), 0, s.I
                    by_w = (s.x, at, s.I, Kx, shift(W, p * s.I * Gw * lanes))
                    by_r = (s.prev, index, s.Hp, s.H * sees_h, shift(R, p * s.H * Gr * lanes))
                    by_u = (u, index, s.Hp, s.H * sees_u, shift(U, p * s.H * Gu * lanes))
                    panel(rows, start, stride, out, size, (by_w, by_r, by_u))
                items = rows * many
                for a in range(0, items, 2):
                    b = min(a + 1, items - 1)
                    if many > 1:
                        row_a, row_b, unit_a, unit_b = i, i, (begin + a) * lanes, (begin + b) * lanes
                    else:
                        row_a, row_b, unit_a, unit_b = i + a, i + b, begin * lanes, begin * lanes
                    place_a, place_b = row_a * s.Hp + unit_a, row_b * s.Hp + unit_b
                    old = load_states(shift(s.prev, place_a), shift(s.prev, place_b), s.N * s.Hp)
                    pre = load_pre(shift(s.scratch, a * size), shift(s.scratch, b * size), lanes)
                    new, saved = forward(pre, old)
                    if last_stage:
                        store_states(shift(s.following, place_a), shift(s.following, place_b), s.N * s.Hp, new)
                    else:
                        store_one(shift(result, place_a), shift(result, place_b), 0, new)
                    if s.kept:
                        visit_a, visit_b = get(s.at, row_a), get(s.at, row_b)
                        tape_a = shift(s.tape, (visit_a * slots + first_slot) * s.Hp + unit_a)
                        tape_b = shift(s.tape, (visit_b * slots + first_slot) * s.Hp + unit_b)
                        store_saved(tape_a, tape_b, s.Hp, saved)
                        before_a = shift(s.before, visit_a * s.Hp + unit_a)
                        before_b = shift(s.before, visit_b * s.Hp + unit_b)
                        if first_stage:
                            store_states(before_a, before_b, s.visits * s.Hp, old)
                        if not last_stage:
                            kept = (states + number) * s.visits * s.Hp
                            store_one(shift(before_a, kept), shift(before_b, kept), 0, new)
        if s.parts > 1:
            meet(s.barrier, s.mine, s.parts)
        return shift(U, panels * s.H * Gu * lanes)

    @layout.paste
    def project_stage(s, n, at, packed, projected):
        """x · W + b for n visits at once, into projected [panel, visit, accumulator, lane]."""
        panels = s.Hp // lanes
        W = shift(packed, panels * size)
        for p in range(s.first, s.last):
            weights = shift(W, p * s.I * Gw * lanes)
            start, out = shift(packed, p * size), shift(projected, p * n * size)
            project_panel(n, start, 0, out, size, ((s.x, at, s.I, s.I, weights),))
        return shift(W, panels * (s.I * Gw + s.H * (Gr + Gu)) * lanes)

    return stage, project_stage, count


def _in_turn(layout, first, following, accumulators):
    """Runs stages one after the other, each with the packed weights and projected inputs that are its own."""
    run, project = first
    if following is None:
        return first
    run_rest, project_rest = following

    @layout.paste
    def stages(s, packed, projected):
        packed = run(s, packed, projected)
        return run_rest(s, packed, shift(projected, s.chunk * s.N * s.Hp * accumulators))

    @layout.paste
    def project_stages(s, n, at, packed, projected):
        packed = project(s, n, at, packed, projected)
        return project_rest(s, n, at, packed, shift(projected, n * s.Hp * accumulators))

    return stages, project_stages


def make_copy_row(layout):
    lanes = layout.lanes
    load, store, _ = vectors(layout.vector, 1)

    @layout.jit
    def copy_row(target, source, count):
        i = 0
        while count - i >= lanes:
            store(shift(target, i), 0, load(shift(source, i), 0))
            i += lanes
        while i < count:
            put(target, i, get(source, i))
            i += 1

    return copy_row


def make_forward(layout):
    """The scan of one layer and direction: scan(address), of one record `call.FORWARD`.

    Arrays are contiguous. x [T, B, I]; start, final, y, last: see call.py. tape [T, B, slot, Hp], before [state or
    stage result, T, B, Hp]: what training keeps. Past a row's length y is 0.
    """
    double = vector_type(layout.dtype.name, 2 * layout.lanes)
    m = vector_maths(layout.dtype)
    lanes, states, slots = layout.lanes, layout.states, layout.slots
    middle_count = len(layout.stages) - 1
    inputs_kept = states + middle_count
    total = sum(plan.accumulators for plan in layout.stages)
    widest = max(plan.accumulators for plan in layout.stages)
    copy_row, zero = make_copy_row(layout), layout.dtype.type(0)
    reals, integers = pointer_to(double.scalar), pointer_to(types.int64)
    behind, told = held(double.scalar), record_at(FORWARD)
    combined = None
    for number in reversed(range(len(layout.stages))):
        stage, project, accumulators = make_stage(layout, number, m)
        combined = _in_turn(layout, (stage, project), combined, accumulators)
    run_stages, project_stages = combined

    @layout.jit
    def clear(target, count):
        for j in range(count):
            put(target, j, zero)

    @layout.jit
    def clear_padding(c, order, length, Hp, y, tape, before):
        """Steps past a row's length: of the output, and of what takes part in the large products of backward."""
        for i in range(c.N):
            for t in range(get(length, i), c.T):
                visit = t * c.B + get(order, i)
                if c.y_stride:
                    clear(shift(y, visit * c.y_stride + c.y_at), c.H)
                if c.tape:
                    clear(shift(tape, visit * slots * Hp), slots * Hp)
                    for s in range(inputs_kept):
                        clear(shift(before, (s * c.T * c.B + visit) * Hp), Hp)

    @layout.jit
    def scan(address):
        c = told(address)
        T, B, I, H, N, chunk = c.T, c.B, c.I, c.H, c.N, c.chunk
        Hp = -(-H // lanes) * lanes
        x_, start_, final_ = behind(c.x), shift(behind(c.start), c.state_at), shift(behind(c.final), c.state_at)
        y_, last_ = behind(c.y), behind(c.last)
        tape_, before_ = (behind(c.tape), behind(c.before)) if c.tape else (x_, x_)
        order, length, active = integers(c.order), integers(c.length), integers(c.active)
        barrier, mine = integers(c.barrier), integers(c.mine)
        rows = integers(c.index)
        at = shift(rows, N)
        ahead = shift(at, N)
        two, packed = reals(c.work), reals(c.packed)
        middles = shift(two, 2 * states * N * Hp)
        projected = shift(middles, middle_count * N * Hp)
        panels = Hp // lanes
        first, last = panels * c.part // c.parts, panels * (c.part + 1) // c.parts
        leads, reverse, y_stride, y_at, keeps = c.part == 0, c.reverse, c.y_stride, c.y_at, c.tape != 0
        for i in range(N):
            put(rows, i, i)
            if leads:
                for s in range(states):
                    row = shift(start_, s * c.state_stride + get(order, i) * H)
                    copy_row(shift(two, (s * N + i) * Hp), row, H)
                    clear(shift(two, (s * N + i) * Hp + H), Hp - H)  # scratch of other calls, perhaps of their NaN
        if c.parts > 1:
            meet(barrier, mine, c.parts)
        for step in range(T):
            n = get(active, step)
            prev = shift(two, (step & 1) * states * N * Hp)
            after = shift(two, (1 - (step & 1)) * states * N * Hp)
            now = Step(
                step, n, N, T * B, I, H, Hp, first, last, at, rows, x_, prev, after, middles, reals(c.scratch),
                tape_, before_, keeps, chunk, c.parts, barrier, mine,
            )  # fmt: skip
            if chunk and step % chunk == 0:
                for k in range(chunk):
                    for i in range(N):
                        s = min(step + k, get(length, i) - 1)
                        t = get(length, i) - 1 - s if reverse else s
                        put(ahead, k * N + i, t * B + get(order, i))
                project_stages(now, chunk * N, ahead, packed, projected)
            for i in range(n):
                t = get(length, i) - 1 - step if reverse else step
                put(at, i, t * B + get(order, i))
            run_stages(now, packed, projected)
            if leads:
                if y_stride:
                    for i in range(n):
                        copy_row(shift(y_, get(at, i) * y_stride + y_at), shift(after, i * Hp), H)
                ending = get(active, step + 1) if step + 1 < T else 0
                for i in range(ending, n):
                    for s in range(states):
                        row = shift(final_, s * c.state_stride + get(order, i) * H)
                        copy_row(row, shift(after, (s * N + i) * Hp), H)
                    if c.last_stride:
                        copy_row(shift(last_, get(order, i) * c.last_stride + c.last_at), shift(after, i * Hp), H)
        if leads and get(length, N - 1) < T:
            clear_padding(c, order, length, Hp, y_, tape_, before_)

    def workspace(N, H, chunk):
        """Elements of `work`, of `scratch` and of `index`."""
        shared = (2 * states + middle_count + chunk * total) * N * layout.padded(H)
        return shared, GROUP * widest * lanes, (2 + chunk) * N

    return scan, workspace
