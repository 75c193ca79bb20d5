"""The forward scan: one layer and direction over a whole sequence, for every cell.

Rows are sorted by length, longest first, so that the rows still running at any step are the first `active[step]`:
no masks, and a finished row keeps its state by not being touched. Which time a row visits is an index, so the reverse
direction is the same loop. At each step, stage by stage and panel by panel, the tile sums the pre-activations of up to
`GROUP` rows (of one row: of up to `GROUP` panels) into a scratch that stays in L1, and the cell's own forward turns
them into states, two vectors of units at a time. Panels are walked forwards at even steps and backwards at odd ones:
what a step read last is still in cache when the next begins.

Several threads may share the rows, each with a share of the panels: after each stage they meet at a barrier.
"""

from collections import namedtuple

from numba import types

from rnnbench.kernels.args import ForwardArgs
from rnnbench.kernels.barrier import barrier
from rnnbench.kernels.pointers import deref_as, load, offset, pairs, pointer_to, store, vectors
from rnnbench.kernels.records import args_at
from rnnbench.kernels.target import inline, jit
from rnnbench.kernels.tile import make_panel
from rnnbench.kernels.vector import vector_type

GROUP = 64  # rows or panels whose pre-activations share the scratch: 8 KiB for an LSTM in float32

# One step as a stage sees it. n of N rows run, at the visits `at`; this call computes the panels first to last; prev
# and after: the states [state, N, Hp] before and after; results: the stages' results [N, Hp] each; parts: how many
# threads share the panels, and wait for each other at a barrier (barrier.py).
ForwardStep = namedtuple(
    "ForwardStep",
    "step n N visits I H Hp first last at index x prev after results scratch tape before training chunk "
    "parts arrivals expected",
)


def make_stage(layout, number):
    """Return stage(s, packed, projected), one stage of the ForwardStep s, which returns the end of its packed weights,
    where the next stage's begin; see `make_forward` for what lies where. And project_stage, and how many accumulators
    the stage has.
    """
    own = layout.stages[number]
    last_stage = number == len(layout.stages) - 1
    forward = jit(layout.pairs[number][0])
    panel, project_panel = make_panel(layout.vector, *own.masks), make_panel(layout.vector, own.masks[0])
    lanes, states, slots = layout.lanes, layout.states, layout.slots
    count, first_slot = own.accumulators, own.slot
    Gw, Gr, Gu = (len(operand.rows) for operand in own.operands)
    load_pre, _ = pairs(layout.vector, count)
    load_states, store_states = pairs(layout.vector, states)
    _, store_saved = pairs(layout.vector, own.saved)
    _, store_one = pairs(layout.vector, 1)
    size, first_stage = count * lanes, number == 0
    sees_h, sees_u = int(Gr > 0), int(Gu > 0)

    @inline
    def stage(s, packed, projected):
        panels = s.Hp // lanes
        W = offset(packed, panels * size)
        R = offset(W, panels * s.I * Gw * lanes)
        U = offset(R, panels * s.H * Gr * lanes)
        # The previous stage's result, and where this one's goes: [N, Hp] each.
        u, result = offset(s.results, (number - 1) * s.N * s.Hp), offset(s.results, number * s.N * s.Hp)
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
                    out, at, index = offset(s.scratch, (p - begin) * size), offset(s.at, i), offset(s.index, i)
                    if s.chunk:
                        place = ((p * s.chunk + s.step % s.chunk) * s.N + i) * size
                        start, stride, Kx = offset(projected, place), size, 0
                    else:
                        start, stride, Kx = offset(packed, p * size), 0, s.I
                    by_w = (s.x, at, s.I, Kx, offset(W, p * s.I * Gw * lanes))
                    by_r = (s.prev, index, s.Hp, s.H * sees_h, offset(R, p * s.H * Gr * lanes))
                    by_u = (u, index, s.Hp, s.H * sees_u, offset(U, p * s.H * Gu * lanes))
                    panel(rows, start, stride, out, size, (by_w, by_r, by_u))
                items = rows * many
                for a in range(0, items, 2):
                    b = min(a + 1, items - 1)
                    if many > 1:
                        row_a, row_b, unit_a, unit_b = i, i, (begin + a) * lanes, (begin + b) * lanes
                    else:
                        row_a, row_b, unit_a, unit_b = i + a, i + b, begin * lanes, begin * lanes
                    place_a, place_b = row_a * s.Hp + unit_a, row_b * s.Hp + unit_b
                    old = load_states(offset(s.prev, place_a), offset(s.prev, place_b), s.N * s.Hp)
                    pre = load_pre(offset(s.scratch, a * size), offset(s.scratch, b * size), lanes)
                    new, saved = forward(pre, old)
                    if last_stage:
                        store_states(offset(s.after, place_a), offset(s.after, place_b), s.N * s.Hp, new)
                    else:
                        store_one(offset(result, place_a), offset(result, place_b), 0, new)
                    if s.training:
                        visit_a, visit_b = load(s.at, row_a), load(s.at, row_b)
                        tape_a = offset(s.tape, (visit_a * slots + first_slot) * s.Hp + unit_a)
                        tape_b = offset(s.tape, (visit_b * slots + first_slot) * s.Hp + unit_b)
                        store_saved(tape_a, tape_b, s.Hp, saved)
                        before_a = offset(s.before, visit_a * s.Hp + unit_a)
                        before_b = offset(s.before, visit_b * s.Hp + unit_b)
                        if first_stage:
                            store_states(before_a, before_b, s.visits * s.Hp, old)
                        if not last_stage:
                            kept = (states + number) * s.visits * s.Hp
                            store_one(offset(before_a, kept), offset(before_b, kept), 0, new)
        if s.parts > 1:
            barrier(s.arrivals, s.expected, s.parts)
        return offset(U, panels * s.H * Gu * lanes)

    @inline
    def project_stage(s, n, at, packed, projected):
        """Write x · W + b for n visits at once into projected [panel, visit, accumulator, lane]."""
        panels = s.Hp // lanes
        W = offset(packed, panels * size)
        for p in range(s.first, s.last):
            weights = offset(W, p * s.I * Gw * lanes)
            start, out = offset(packed, p * size), offset(projected, p * n * size)
            project_panel(n, start, 0, out, size, ((s.x, at, s.I, s.I, weights),))
        return offset(W, panels * (s.I * Gw + s.H * (Gr + Gu)) * lanes)

    return stage, project_stage, count


def _chain(layout, first, following, accumulators):
    """Return stages run one after the other, each with the packed weights and projected inputs that are its own."""
    run, project = first
    if following is None:
        return first
    run_rest, project_rest = following

    @inline
    def stages(s, packed, projected):
        packed = run(s, packed, projected)
        return run_rest(s, packed, offset(projected, s.chunk * s.N * s.Hp * accumulators))

    @inline
    def project_stages(s, n, at, packed, projected):
        packed = project(s, n, at, packed, projected)
        return project_rest(s, n, at, packed, offset(projected, n * s.Hp * accumulators))

    return stages, project_stages


def make_copy_row(layout):
    """Return copy_row(target, source, count), vector by vector."""
    lanes = layout.lanes
    load_vectors, store_vectors, _ = vectors(layout.vector, 1)

    @jit
    def copy_row(target, source, count):
        i = 0
        while count - i >= lanes:
            store_vectors(offset(target, i), 0, load_vectors(offset(source, i), 0))
            i += lanes
        while i < count:
            store(target, i, load(source, i))
            i += 1

    return copy_row


def make_forward(layout):
    """Return the scan of one layer and direction, scan(address), of one record `ForwardArgs`, and what gives the sizes
    of its scratch memory. Arrays are contiguous. Past a row's length y is 0.
    """
    double = vector_type(layout.dtype.name, 2 * layout.lanes)
    lanes, states, slots = layout.lanes, layout.states, layout.slots
    result_count = len(layout.stages) - 1
    before_count = states + result_count
    total = sum(stage.accumulators for stage in layout.stages)
    widest = max(stage.accumulators for stage in layout.stages)
    copy_row, zero = make_copy_row(layout), layout.dtype.type(0)
    reals, integers = pointer_to(double.scalar), pointer_to(types.int64)
    deref, args_of = deref_as(double.scalar), args_at(ForwardArgs)
    combined = None
    for number in reversed(range(len(layout.stages))):
        stage, project, accumulators = make_stage(layout, number)
        combined = _chain(layout, (stage, project), combined, accumulators)
    run_stages, project_stages = combined

    @jit
    def clear(target, count):
        for j in range(count):
            store(target, j, zero)

    @jit
    def clear_padding(args, order, length, Hp, y, tape, before):
        """Zero the steps past a row's length: of the output, and of what takes part in backward's large products."""
        for i in range(args.N):
            for t in range(load(length, i), args.T):
                visit = t * args.B + load(order, i)
                if args.y_stride:
                    clear(offset(y, visit * args.y_stride + args.y_at), args.H)
                if args.tape:
                    clear(offset(tape, visit * slots * Hp), slots * Hp)
                    for s in range(before_count):
                        clear(offset(before, (s * args.T * args.B + visit) * Hp), Hp)

    @jit
    def scan(address):
        args = args_of(address)
        T, B, I, H, N, chunk = args.T, args.B, args.I, args.H, args.N, args.chunk
        Hp = -(-H // lanes) * lanes
        start_, final_ = offset(deref(args.start), args.state_at), offset(deref(args.final), args.state_at)
        x_, y_, last_ = deref(args.x), deref(args.y), deref(args.last)
        tape_, before_ = (deref(args.tape), deref(args.before)) if args.tape else (x_, x_)
        order, length, active = integers(args.order), integers(args.length), integers(args.active)
        arrivals, expected = integers(args.arrivals), integers(args.expected)
        rows = integers(args.index)
        at = offset(rows, N)
        ahead = offset(at, N)
        states_, packed = reals(args.work), reals(args.packed)  # the states before a step and after it, in turn
        results = offset(states_, 2 * states * N * Hp)
        projected = offset(results, result_count * N * Hp)
        panels = Hp // lanes
        first, last = panels * args.part // args.parts, panels * (args.part + 1) // args.parts
        leads, training, reverse = args.part == 0, args.tape != 0, args.reverse
        y_stride, y_at = args.y_stride, args.y_at
        for i in range(N):
            store(rows, i, i)
            if leads:
                for s in range(states):
                    row = offset(start_, s * args.state_stride + load(order, i) * H)
                    copy_row(offset(states_, (s * N + i) * Hp), row, H)
                    clear(offset(states_, (s * N + i) * Hp + H), Hp - H)  # scratch of other calls, perhaps of their NaN
        if args.parts > 1:
            barrier(arrivals, expected, args.parts)
        for step in range(T):
            n = load(active, step)
            prev = offset(states_, (step & 1) * states * N * Hp)
            after = offset(states_, (1 - (step & 1)) * states * N * Hp)
            now = ForwardStep(
                step, n, N, T * B, I, H, Hp, first, last, at, rows, x_, prev, after, results, reals(args.scratch),
                tape_, before_, training, chunk, args.parts, arrivals, expected,
            )  # fmt: skip
            if chunk and step % chunk == 0:
                for k in range(chunk):
                    for i in range(N):
                        s = min(step + k, load(length, i) - 1)
                        t = load(length, i) - 1 - s if reverse else s
                        store(ahead, k * N + i, t * B + load(order, i))
                project_stages(now, chunk * N, ahead, packed, projected)
            for i in range(n):
                t = load(length, i) - 1 - step if reverse else step
                store(at, i, t * B + load(order, i))
            run_stages(now, packed, projected)
            if leads:
                if y_stride:
                    for i in range(n):
                        copy_row(offset(y_, load(at, i) * y_stride + y_at), offset(after, i * Hp), H)
                ending = load(active, step + 1) if step + 1 < T else 0
                for i in range(ending, n):
                    for s in range(states):
                        row = offset(final_, s * args.state_stride + load(order, i) * H)
                        copy_row(row, offset(after, (s * N + i) * Hp), H)
                    if args.last_stride:
                        row = offset(last_, load(order, i) * args.last_stride + args.last_at)
                        copy_row(row, offset(after, i * Hp), H)
        if leads and load(length, N - 1) < T:
            clear_padding(args, order, length, Hp, y_, tape_, before_)

    def workspace(N, H, chunk):
        """Return the elements of `work`, of `scratch` and of `index`."""
        shared = (2 * states + result_count + chunk * total) * N * layout.padded(H)
        return shared, GROUP * widest * lanes, (2 + chunk) * N

    return scan, workspace
