"""Puts weights in the order in which the tiles stream them (see layout.py)."""

from numba import njit

from rnnbench.kernels.target import OPTIONS
from rnnbench.kernels.vector import get, pointer, put, shift


def make_across_units(dtype):
    """pack(source, row, H, K, out, start, position, count, lanes): source[row], [H, K], to
    out[start:] as [panel, k, position of count, lane]; zero past the last unit. Arrays are flat."""
    zero = dtype.type(0)

    @njit(**OPTIONS)
    def across_units(source, row, H, K, out, start, position, count, lanes):
        rows, packed = shift(pointer(source), row * H * K), shift(pointer(out), start)
        for p in range(-(-H // lanes)):
            for k in range(K):
                target = shift(packed, ((p * K + k) * count + position) * lanes)
                for lane in range(lanes):
                    unit = p * lanes + lane
                    put(target, lane, get(rows, unit * K + k) if unit < H else zero)

    return across_units


def make_across_inputs(dtype):
    """pack(source, row, H, Hp, out, start, position, count, width): source[row], [H, H], to
    out[start:] as [block, position of count, Hp, width]: row k as it stands, cut into blocks of columns; what pads a
    block stays as it was."""

    @njit(**OPTIONS)
    def across_inputs(source, row, H, Hp, out, start, position, count, width):
        rows, packed = shift(pointer(source), row * H * H), shift(pointer(out), start)
        for block in range(-(-H // width)):
            for k in range(H):
                target = shift(packed, ((block * count + position) * Hp + k) * width)
                for column in range(min(width, H - block * width)):
                    put(target, column, get(rows, k * H + block * width + column))

    return across_inputs


def forward_packing(layout, W, R, b, out):
    """The calls of `across_units` that put canonical W [Gw, H, I], R [Gr, H, H] and b [G, H] into flat `out`."""
    cell, H, lanes = layout.cell, b.shape[1], layout.lanes
    Hp, start, calls = layout.padded(H), 0, []
    for stage, plan in zip(cell.stages, layout.stages, strict=True):
        sections = [
            (b.reshape(-1), range(plan.first, plan.first + plan.accumulators), 1),
            (W.reshape(-1), _chosen(stage, cell.w_accumulators, plan.w), W.shape[-1]),
            (R.reshape(-1), _chosen(stage, cell.r_accumulators, plan.r), H),
            (R.reshape(-1), _chosen(stage, cell.r_accumulators, plan.u), H),
        ]
        for source, rows, K in sections:
            calls += [(source, row, H, K, out, start, at, len(rows), lanes) for at, row in enumerate(rows)]
            start += len(rows) * K * Hp
    return calls


def backward_packing(layout, R, out):
    """The calls of `across_inputs` that put R [Gr, H, H] into flat `out` for the backward tile."""
    cell, H, width = layout.cell, R.shape[-1], layout.lanes * layout.columns
    Hp, start, calls = layout.padded(H), 0, []
    for stage, plan in zip(cell.stages, layout.stages, strict=True):
        for wanted in (plan.r, plan.u):
            rows = _chosen(stage, cell.r_accumulators, wanted)
            calls += [(R.reshape(-1), row, H, Hp, out, start, at, len(rows), width) for at, row in enumerate(rows)]
            start += len(rows) * Hp * layout.padded_back(H)
    return calls


def _chosen(stage, canonical, wanted):
    """Rows, in the canonical array, of a stage's accumulators that `wanted` picks."""
    return [canonical.index(a) for a, is_wanted in zip(stage.accumulators, wanted, strict=True) if is_wanted]
