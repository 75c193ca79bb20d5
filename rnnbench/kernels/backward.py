"""The backward scan: from the outputs' gradient to that of every pre-activation, one layer and direction.

The steps of the forward scan in reverse. The cell's backward turns a step's state gradient and saved values into the
gradients of its pre-activations, which take the saved values' place on the tape; the same tile as forward then
multiplies them by the transposed R. What remains, dW, dR, db and dx, are large products over all T * B visits (see
products.py).
"""

from collections import namedtuple

from numba import types

from rnnbench.kernels.args import ScanArgs
from rnnbench.kernels.barrier import barrier
from rnnbench.kernels.pointers import deref_as, load, offset, pointer_to, store, vectors
from rnnbench.kernels.records import args_at
from rnnbench.kernels.target import inline, jit
from rnnbench.kernels.tile import make_panel

# One step as a stage sees it; as in the forward scan, and: carry [state, N, Hq], the states' gradients; dresults
# [N, Hq] per earlier stage, its result's gradient. first to last are blocks of `columns` vectors, not panels.
BackwardStep = namedtuple(
    "BackwardStep", "step n N visits H Hp Hq first last at tape before carry dresults parts arrivals expected"
)


def make_products(layout, slots):
    """Return products(s, R, out), which adds Σ over `slots` of tape · R to out [n, units of this call].

    slots: where on the tape the gradients lie that this operand's accumulators left. Neighbours are one sum: padding
    between them meets weights of zero.
    """
    add = make_panel(layout.vector, (True,) * layout.columns)
    width, count, all_slots = layout.columns * layout.lanes, len(slots), layout.slots
    begins = tuple(n for n in range(count) if n == 0 or slots[n] != slots[n - 1] + 1)
    lengths = tuple(end - begin for begin, end in zip(begins, (*begins[1:], count), strict=True))
    firsts, runs = tuple(slots[n] for n in begins), len(begins)

    @inline
    def products(s, R, out):
        for block in range(s.first, s.last):
            target = offset(out, block * width)
            for j in range(runs):
                source = offset(s.tape, firsts[j] * s.Hp)
                weights = offset(R, (block * count + begins[j]) * s.Hp * width)
                add(s.n, target, s.Hq, target, s.Hq, ((source, s.at, all_slots * s.Hp, lengths[j] * s.Hp, weights),))

    return products


def make_stage_backward(layout, number):
    """Return stage(s, end), one stage of the BackwardStep s, which returns where the earlier stage's weights end."""
    own = layout.stages[number]
    last = number == len(layout.stages) - 1
    backward = jit(layout.pairs[number][1])
    lanes, states, slots = layout.lanes, layout.states, layout.slots
    r_slots, u_slots = (tuple(own.slot + n for n in operand.places) for operand in own.operands[1:])

    @inline
    def nothing(s, R, out):
        pass

    through_r = make_products(layout, r_slots) if r_slots else nothing
    through_u = make_products(layout, u_slots) if u_slots else nothing
    Gr, Gu, first_slot, columns = len(r_slots), len(u_slots), own.slot, layout.columns
    load_saved, _, _ = vectors(layout.vector, own.saved)
    _, store_dpre, _ = vectors(layout.vector, own.accumulators)
    load_states, store_states, add_states = vectors(layout.vector, states)
    load_one, _, _ = vectors(layout.vector, 1)
    zero = layout.dtype.type(0)

    @inline
    def stage(s, end):
        U = offset(end, -Gu * s.Hp * s.Hq)
        R = offset(U, -Gr * s.Hp * s.Hq)
        dresult, dearlier = offset(s.dresults, number * s.N * s.Hq), offset(s.dresults, (number - 1) * s.N * s.Hq)
        for i in range(s.n):
            visit = load(s.at, i)
            for p in range(s.first * columns, min(s.last * columns, s.Hp // lanes)):
                place = i * s.Hq + p * lanes
                values = offset(s.tape, (visit * slots + first_slot) * s.Hp + p * lanes)
                prev = load_states(offset(s.before, visit * s.Hp + p * lanes), s.visits * s.Hp)
                saved = load_saved(values, s.Hp)
                if last:
                    dpre, dprev = backward(saved, prev, load_states(offset(s.carry, place), s.N * s.Hq))
                    store_states(offset(s.carry, place), s.N * s.Hq, dprev)
                else:
                    dpre, dprev = backward(saved, prev, load_one(offset(dresult, place), 0))
                    add_states(offset(s.carry, place), s.N * s.Hq, dprev)
                store_dpre(values, s.Hp, dpre)
            if Gu:
                for j in range(s.first * columns * lanes, s.last * columns * lanes):
                    store(dearlier, i * s.Hq + j, zero)
        if s.parts > 1:
            barrier(s.arrivals, s.expected, s.parts)
        if Gu:
            through_u(s, U, dearlier)
        if Gr and s.step:  # at the first step it would be the initial state's gradient, which nobody asks for
            through_r(s, R, s.carry)
        return R

    return stage


def _chain(layout, last, earlier):
    """Return stages run one after the other, the last first."""
    if earlier is None:
        return last

    @inline
    def stages(s, end):
        return earlier(s, last(s, end))

    return stages


def make_backward(layout):
    """Return the backward scan of one layer and direction, scan(address), of one record `ScanArgs`, and what gives
    the sizes of its scratch memory. The gradients of the pre-activations replace the values on the tape.
    """
    lanes, states, columns = layout.lanes, layout.states, layout.columns
    stage_count, zero = len(layout.stages), layout.dtype.type(0)
    result_count, width = stage_count - 1, lanes * columns
    run = None
    for number in range(stage_count):
        run = _chain(layout, make_stage_backward(layout, number), run)
    weights = sum(stage.recurrent for stage in layout.stages)
    scalar, args_of = layout.vector.scalar, args_at(ScanArgs)
    reals, integers, deref = pointer_to(scalar), pointer_to(types.int64), deref_as(scalar)

    @jit
    def add_row(target, source, count):
        for j in range(count):
            store(target, j, load(target, j) + load(source, j))

    @jit
    def scan(address):
        args = args_of(address)
        T, B, H, N = args.T, args.B, args.H, args.N
        Hp, Hq = -(-H // lanes) * lanes, -(-H // width) * width
        dy_, dlast_, tape_, before_ = deref(args.y), deref(args.last), deref(args.tape), deref(args.before)
        order, length, active = integers(args.order), integers(args.length), integers(args.active)
        at, carry = integers(args.index), reals(args.work)
        dresults = offset(carry, states * N * Hq)
        end = offset(reals(args.packed), weights * Hp * Hq)
        blocks = Hq // width
        first, last = blocks * args.part // args.parts, blocks * (args.part + 1) // args.parts
        begin, count = first * width, min(H, last * width) - first * width
        for i in range(states * N):
            for j in range(first * width, last * width):
                store(carry, i * Hq + j, zero)
        for step in range(T - 1, -1, -1):
            n = load(active, step)
            starting = load(active, step + 1) if step + 1 < T else 0
            for i in range(n):
                t = load(length, i) - 1 - step if args.reverse else step
                store(at, i, t * B + load(order, i))
                target = offset(carry, i * Hq + begin)
                if args.last_stride and i >= starting:
                    add_row(target, offset(dlast_, load(order, i) * args.last_stride + args.last_at + begin), count)
                if args.y_stride:
                    add_row(target, offset(dy_, load(at, i) * args.y_stride + args.y_at + begin), count)
            now = BackwardStep(
                step, n, N, T * B, H, Hp, Hq, first, last, at, tape_, before_, carry, dresults,
                args.parts, integers(args.arrivals), integers(args.expected),
            )  # fmt: skip
            run(now, end)

    def workspace(N, H):
        """Return the elements of `work`, of `scratch` (none) and of `index`."""
        return (states + result_count) * N * layout.padded_back(H), 0, N

    return scan, workspace
