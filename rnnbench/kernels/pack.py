"""Puts weights in the order in which the tiles stream them (see layout.py)."""

from collections.abc import Iterator
from typing import Any

from rnnbench.kernels.call import PACK, SECTION
from rnnbench.kernels.target import jit, target
from rnnbench.kernels.vector import (
    get,
    pointer_to,
    put,
    record_at,
    shift,
    transposition,
    vector_type,
    vectors,
)  # fmt: skip


def make_pack(dtype):
    """pack(address), of one record `call.PACK`: each section puts one matrix `source` in its place of `out`.

    Across units: source [J, K] becomes [panel, k, position of count, lane], a panel being `width` rows; zero past the
    last one. Else source [K, J] becomes [block, position of count, Kp, width]: row k as it stands, cut into blocks of
    columns; what pads a block stays as it was.
    """
    vector = vector_type(dtype.name, target().lanes(dtype))
    lanes, zero, tag = vector.lanes, dtype.type(0), dtype.name
    transpose, (load, store, _) = transposition(vector), vectors(vector, 1)
    reals, told, section_at = pointer_to(vector.scalar), record_at(PACK), record_at(SECTION)
    section_size = SECTION.itemsize

    def across_units(c, first, last):
        source, out = reals(c.source), reals(c.out)
        K, step = c.K, c.count * c.width
        for panel in range(first, last):
            packed = shift(out, panel * K * step + c.position * c.width)
            for at in range(0, c.width, lanes):
                unit = panel * c.width + at
                squares = K // lanes if unit + lanes <= c.J else 0
                for square in range(squares):
                    k = square * lanes
                    transpose(shift(source, unit * K + k), K, shift(packed, k * step + at), step)
                for lane in range(lanes):
                    known = unit + lane < c.J
                    for k in range(squares * lanes, K):
                        value = get(source, (unit + lane) * K + k) if known else zero
                        put(packed, k * step + at + lane, value)

    def across_inputs(c, first, last):
        source, out = reals(c.source), reals(c.out)
        for block in range(first, last):
            packed = shift(out, (block * c.count + c.position) * c.Kp * c.width)
            begin = block * c.width
            full = c.width if begin + c.width <= c.J else 0
            for k in range(c.K):
                row, goal = shift(source, k * c.J + begin), shift(packed, k * c.width)
                for column in range(0, full, lanes):
                    store(shift(goal, column), 0, load(shift(row, column), 0))
                for column in range(full, min(c.width, c.J - begin)):
                    put(goal, column, get(row, column))

    units, inputs = jit(across_units, tag), jit(across_inputs, tag)

    def pack(address):
        c = told(address)
        for n in range(c.count):
            section = section_at(c.sections + n * section_size)
            panels = -(-section.J // section.width)
            first, last = panels * c.part // c.parts, panels * (c.part + 1) // c.parts
            if section.across_units:
                units(section, first, last)
            else:
                inputs(section, first, last)

    return jit(pack, tag)


def forward_sections(layout, W, R, b, out) -> Iterator[dict[str, Any]]:
    """The sections that put canonical W [Gw, H, I], R [Gr, H, H] and b [G, H] into flat `out`."""
    cell, H, lanes = layout.cell, b.shape[1], layout.lanes
    Hp, start = layout.padded(H), 0
    for stage, plan in zip(cell.stages, layout.stages, strict=True):
        sections = [
            (b, range(plan.first, plan.first + plan.accumulators), 1),
            (W, _chosen(stage, cell.w_accumulators, plan.w), W.shape[-1]),
            (R, _chosen(stage, cell.r_accumulators, plan.r), H),
            (R, _chosen(stage, cell.r_accumulators, plan.u), H),
        ]
        for source, rows, K in sections:
            for at, row in enumerate(rows):
                yield across_units(source[row], H, K, out[start:], at, len(rows), lanes)
            start += len(rows) * K * Hp


def backward_sections(layout, R, out) -> Iterator[dict[str, Any]]:
    """The sections that put R [Gr, H, H] into flat `out` for the backward tile."""
    cell, H, width = layout.cell, R.shape[-1], layout.lanes * layout.columns
    Hp, start = layout.padded(H), 0
    for stage, plan in zip(cell.stages, layout.stages, strict=True):
        for wanted in (plan.r, plan.u):
            rows = _chosen(stage, cell.r_accumulators, wanted)
            for at, row in enumerate(rows):
                yield across_inputs(R[row], Hp, out[start:], at, len(rows), width)
            start += len(rows) * Hp * layout.padded_back(H)


def across_units(source, J: int, K: int, out, position: int, count: int, width: int) -> dict[str, Any]:
    """source [J, K] (of K = 1: [J]) to [panel, k, position of count, lane] of `out`."""
    return {"across_units": 1, "source": source, "K": K, "J": J, "Kp": K, "out": out} | {
        "position": position, "count": count, "width": width
    }  # fmt: skip


def across_inputs(source, Kp: int, out, position: int, count: int, width: int) -> dict[str, Any]:
    """source [K, J] to [block, position of count, Kp, width] of `out`."""
    K, J = source.shape
    return {"across_units": 0, "source": source, "K": K, "J": J, "Kp": Kp, "out": out} | {
        "position": position, "count": count, "width": width
    }  # fmt: skip


def _chosen(stage, canonical, wanted):
    """Rows, in the canonical array, of a stage's accumulators that `wanted` picks."""
    return [canonical.index(a) for a, is_wanted in zip(stage.accumulators, wanted, strict=True) if is_wanted]
