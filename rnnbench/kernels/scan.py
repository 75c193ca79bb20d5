"""The forward scan: one layer and direction over a whole sequence, for every cell.

Rows are sorted by length, longest first, so that the rows still running at any step are the first `active[step]`:
no masks, and a finished row keeps its state by not being touched. Which time a row visits is an index, so the reverse
direction is the same loop. At each step, stage by stage and panel by panel, the tile sums the pre-activations of up to
`GROUP` rows into a scratch that stays in L1, and the cell's own forward turns them into states, a vector of units at a
time. Panels are walked forwards at even steps and backwards at odd ones: what a step read last is still in cache when
the next begins.
"""

from rnnbench.kernels.gates import vector_maths
from rnnbench.kernels.tile import make_panel
from rnnbench.kernels.vector import get, pointer, put, shift, vectors

GROUP = 32  # rows whose pre-activations share the scratch: 4 KiB for an LSTM in float32


def make_stage(layout, number, m):
    """stage(...): one stage of one step for n rows; gives the end of its packed weights, where the next stage's begin.

    See `make_forward` for the arguments' meaning.
    """
    plan = layout.stages[number]
    last = number == len(layout.stages) - 1
    forward = layout.jit(layout.cell.stages[number].pair(m)[0])
    add_x, add_h, add_u = (make_panel(layout.vector, mask) for mask in (plan.w, plan.r, plan.u))
    lanes, states, slots = layout.lanes, layout.states, layout.slots
    count, Gw, Gr, Gu, first_slot = plan.accumulators, sum(plan.w), sum(plan.r), sum(plan.u), plan.slot
    load_pre, _, _ = vectors(layout.vector, count)
    load_states, store_states, _ = vectors(layout.vector, states)
    _, store_saved, _ = vectors(layout.vector, plan.saved)
    _, store_one, _ = vectors(layout.vector, 1)
    size, first_stage = count * lanes, number == 0

    @layout.paste
    def stage(
        step,
        n,
        N,
        visits,
        I,
        H,
        Hp,
        at,
        index,
        x,
        prev,
        following,
        middles,
        packed,
        scratch,
        tape,
        before,
        kept,
        projected,
        chunk,
    ):
        panels = Hp // lanes
        W = shift(packed, panels * size)
        R = shift(W, panels * I * Gw * lanes)
        U = shift(R, panels * H * Gr * lanes)
        # The previous stage's result, and where this one's goes: [N, Hp] each.
        u = shift(middles, (number - 1) * N * Hp)
        result_at = shift(middles, number * N * Hp)
        for q in range(panels):
            p = panels - 1 - q if step & 1 else q
            for i in range(0, n, GROUP):
                rows = min(GROUP, n - i)
                if chunk:
                    start, stride, Kx = shift(projected, ((p * chunk + step % chunk) * N + i) * size), size, 0
                else:
                    start, stride, Kx = shift(packed, p * size), 0, I
                add_x(rows, start, stride, scratch, size, x, shift(at, i), I, Kx, shift(W, p * I * Gw * lanes))
                if Gr:
                    weights = shift(R, p * H * Gr * lanes)
                    add_h(rows, scratch, size, scratch, size, prev, shift(index, i), Hp, H, weights)
                if Gu:
                    weights = shift(U, p * H * Gu * lanes)
                    add_u(rows, scratch, size, scratch, size, u, shift(index, i), Hp, H, weights)
                for row in range(rows):
                    place = (i + row) * Hp + p * lanes
                    old = load_states(shift(prev, place), N * Hp)
                    result, saved = forward(load_pre(shift(scratch, row * size), lanes), old)
                    if last:
                        store_states(shift(following, place), N * Hp, result)
                    else:
                        store_one(shift(result_at, place), 0, result)
                    if kept:
                        visit = get(at, i + row)
                        store_saved(shift(tape, (visit * slots + first_slot) * Hp + p * lanes), Hp, saved)
                        by_time = visit * Hp + p * lanes
                        if first_stage:
                            store_states(shift(before, by_time), visits * Hp, old)
                        if not last:
                            store_one(shift(before, (states + number) * visits * Hp + by_time), 0, result)
        return shift(U, panels * H * Gu * lanes)

    @layout.paste
    def project_stage(n, I, H, Hp, at, x, packed, projected):
        """x · W + b for n visits at once, into projected [panel, visit, accumulator, lane]."""
        panels = Hp // lanes
        W = shift(packed, panels * size)
        for p in range(panels):
            out = shift(projected, p * n * size)
            add_x(n, shift(packed, p * size), 0, out, size, x, at, I, I, shift(W, p * I * Gw * lanes))
        return shift(W, panels * (I * Gw + H * (Gr + Gu)) * lanes)

    return stage, project_stage, count


def _in_turn(layout, first, following, accumulators):
    """Runs stages one after the other, each with the packed weights and projected inputs that are its own."""
    run, project = first
    if following is None:
        return first
    run_rest, project_rest = following

    @layout.paste
    def stages(
        step,
        n,
        N,
        visits,
        I,
        H,
        Hp,
        at,
        index,
        x,
        prev,
        after,
        middles,
        packed,
        scratch,
        tape,
        before,
        kept,
        projected,
        chunk,
    ):
        packed = run(
            step, n, N, visits, I, H, Hp, at, index, x, prev, after, middles, packed, scratch, tape, before, kept,
            projected, chunk,
        )  # fmt: skip
        return run_rest(
            step, n, N, visits, I, H, Hp, at, index, x, prev, after, middles, packed, scratch, tape, before, kept,
            shift(projected, chunk * N * Hp * accumulators), chunk,
        )  # fmt: skip

    @layout.paste
    def project_stages(n, I, H, Hp, at, x, packed, projected):
        packed = project(n, I, H, Hp, at, x, packed, projected)
        return project_rest(n, I, H, Hp, at, x, packed, shift(projected, n * Hp * accumulators))

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
    """The scan of one layer and direction:

    scan(x, start, final, y, packed, tape, before,
         state_stride, state_at, y_stride, y_at, order, length, active, reverse, work, index, chunk, T, B, I, H)

    Arrays are contiguous and reached by address: only the order of their elements counts. x [T, B, I]; packed: see
    layout.py. start, final: state s of this layer and direction lies [B, H] at s * state_stride + state_at. y: the
    output at step t of row b goes to (t * B + b) * y_stride + y_at; y_stride 0 for none. order, length int64 [N]: the
    rows this call computes, by falling length; active int64 [T]: how many of them still run. work, index: scratch of
    the sizes that `workspace` gives. tape [T, B, slot, Hp], before [state or stage result, T, B, Hp]: what training
    keeps, both empty when nothing is kept. chunk: steps whose x · W is computed at once; 0 leaves it to the step.
    """
    m = vector_maths(layout.vector, layout.dtype)
    lanes, states, slots = layout.lanes, layout.states, layout.slots
    middle_count = len(layout.stages) - 1
    inputs_kept = states + middle_count
    total = sum(plan.accumulators for plan in layout.stages)
    scratch_size = GROUP * max(plan.accumulators for plan in layout.stages) * lanes
    copy_row, zero = make_copy_row(layout), layout.dtype.type(0)
    combined = None
    for number in reversed(range(len(layout.stages))):
        stage, project, accumulators = make_stage(layout, number, m)
        combined = _in_turn(layout, (stage, project), combined, accumulators)
    run_stages, project_stages = combined

    @layout.jit
    def clear_padding(order, length, N, T, B, Hp, tape, before):
        """Steps past a row's length take part in the large products of backward: as zeros."""
        for i in range(N):
            for t in range(get(length, i), T):
                visit = t * B + get(order, i)
                for j in range(slots * Hp):
                    put(tape, visit * slots * Hp + j, zero)
                for s in range(inputs_kept):
                    for j in range(Hp):
                        put(before, (s * T * B + visit) * Hp + j, zero)

    @layout.jit
    def scan(
        x, start, final, y, packed, tape, before,
        state_stride, state_at, y_stride, y_at, order, length, active, reverse, work, index, chunk, T, B, I, H
    ):  # fmt: skip
        N, Hp = order.size, -(-H // lanes) * lanes
        kept = tape.size > 0
        x_, packed_, y_, tape_, before_ = pointer(x), pointer(packed), pointer(y), pointer(tape), pointer(before)
        start_, final_ = shift(pointer(start), state_at), shift(pointer(final), state_at)
        order_, length_, active_ = pointer(order), pointer(length), pointer(active)
        rows, at = pointer(index), shift(pointer(index), N)
        ahead = shift(at, N)
        two = pointer(work)
        middles = shift(two, 2 * states * N * Hp)
        scratch = shift(middles, middle_count * N * Hp)
        projected = shift(scratch, scratch_size)
        for i in range(N):
            put(rows, i, i)
            for s in range(states):
                copy_row(shift(two, (s * N + i) * Hp), shift(start_, s * state_stride + get(order_, i) * H), H)
        for step in range(T):
            n = get(active_, step)
            if chunk and step % chunk == 0:
                for c in range(chunk):
                    for i in range(N):
                        s = min(step + c, get(length_, i) - 1)
                        t = get(length_, i) - 1 - s if reverse else s
                        put(ahead, c * N + i, t * B + get(order_, i))
                project_stages(chunk * N, I, H, Hp, ahead, x_, packed_, projected)
            for i in range(n):
                t = get(length_, i) - 1 - step if reverse else step
                put(at, i, t * B + get(order_, i))
            prev = shift(two, (step & 1) * states * N * Hp)
            after = shift(two, (1 - (step & 1)) * states * N * Hp)
            run_stages(
                step, n, N, T * B, I, H, Hp, at, rows, x_, prev, after, middles, packed_, scratch, tape_, before_, kept,
                projected, chunk,
            )  # fmt: skip
            if y_stride:
                for i in range(n):
                    copy_row(shift(y_, get(at, i) * y_stride + y_at), shift(after, i * Hp), H)
            ending = get(active_, step + 1) if step + 1 < T else 0
            for i in range(ending, n):
                for s in range(states):
                    copy_row(shift(final_, s * state_stride + get(order_, i) * H), shift(after, (s * N + i) * Hp), H)
        if kept and get(length_, N - 1) < T:
            clear_padding(order_, length_, N, T, B, Hp, tape_, before_)

    def workspace(N, H, chunk):
        """Elements of `work`, and of `index`."""
        return (2 * states + middle_count + chunk * total) * N * layout.padded(H) + scratch_size, (2 + chunk) * N

    return scan, workspace
