"""Puts weights in the order in which the tiles stream them (see layout.py)."""

from collections.abc import Iterator

from rnnbench.kernels.args import PackArgs, SectionArgs
from rnnbench.kernels.layout import PanelLayout
from rnnbench.kernels.pointers import load, offset, pointer_to, store, transposition, vectors
from rnnbench.kernels.records import args_at, record_dtype
from rnnbench.kernels.target import jit, target
from rnnbench.kernels.vector import vector_type
from rnnbench.model import Array


def make_pack(dtype):
    """Return pack(address), of one record `PackArgs`: each section puts one matrix `source` in its place of `out`.

    Across units: source [J, K] becomes [panel, k, position of count, lane], a panel being `width` rows; zero past the
    last one. Else source [K, J] becomes [block, position of count, Kp, width]: row k as it stands, cut into blocks of
    columns; what pads a block stays as it was.
    """
    vector = vector_type(dtype.name, target().lanes(dtype))
    lanes, zero = vector.lanes, dtype.type(0)
    transpose, (load_vectors, store_vectors, _) = transposition(vector), vectors(vector, 1)
    reals, args_of, section_at = pointer_to(vector.scalar), args_at(PackArgs), args_at(SectionArgs)
    section_size = record_dtype(SectionArgs).itemsize

    def across_units(args, first, last):
        source, out = reals(args.source), reals(args.out)
        K, step = args.K, args.count * args.width
        for panel in range(first, last):
            packed = offset(out, panel * K * step + args.position * args.width)
            for at in range(0, args.width, lanes):
                unit = panel * args.width + at
                squares = K // lanes if unit + lanes <= args.J else 0
                for square in range(squares):
                    k = square * lanes
                    transpose(offset(source, unit * K + k), K, offset(packed, k * step + at), step)
                for lane in range(lanes):
                    known = unit + lane < args.J
                    for k in range(squares * lanes, K):
                        value = load(source, (unit + lane) * K + k) if known else zero
                        store(packed, k * step + at + lane, value)

    def across_inputs(args, first, last):
        source, out = reals(args.source), reals(args.out)
        for block in range(first, last):
            packed = offset(out, (block * args.count + args.position) * args.Kp * args.width)
            begin = block * args.width
            full = args.width if begin + args.width <= args.J else 0
            for k in range(args.K):
                row, dest = offset(source, k * args.J + begin), offset(packed, k * args.width)
                for column in range(0, full, lanes):
                    store_vectors(offset(dest, column), 0, load_vectors(offset(row, column), 0))
                for column in range(full, min(args.width, args.J - begin)):
                    store(dest, column, load(row, column))

    units, inputs = jit(across_units), jit(across_inputs)

    def pack(address):
        args = args_of(address)
        for n in range(args.count):
            section = section_at(args.sections + n * section_size)
            panels = -(-section.J // section.width)
            first, last = panels * args.part // args.parts, panels * (args.part + 1) // args.parts
            if section.across_units:
                units(section, first, last)
            else:
                inputs(section, first, last)

    return jit(pack)


def forward_sections(layout: PanelLayout, W: Array, R: Array, b: Array, out: Array) -> Iterator[SectionArgs]:
    """Yield the sections that put canonical W [Gw, H, I], R [Gr, H, H] and b [G, H] into flat `out`."""
    H = b.shape[1]
    Hp, start = layout.padded(H), 0
    for stage in layout.stages:
        x, h, result = stage.operands
        own = range(stage.first, stage.first + stage.accumulators)
        for source, rows, K in ((b, own, 1), (W, x.rows, W.shape[-1]), (R, h.rows, H), (R, result.rows, H)):
            for at, row in enumerate(rows):
                yield across_units(source[row], out[start:], at, len(rows), layout.lanes)
            start += len(rows) * K * Hp


def backward_sections(layout: PanelLayout, R: Array, out: Array) -> Iterator[SectionArgs]:
    """Yield the sections that put R [Gr, H, H] into flat `out` for the backward tile."""
    H, width = R.shape[-1], layout.lanes * layout.columns
    Hp, start = layout.padded(H), 0
    for stage in layout.stages:
        for operand in stage.operands[1:]:
            for at, row in enumerate(operand.rows):
                yield across_inputs(R[row], Hp, out[start:], at, len(operand.rows), width)
            start += len(operand.rows) * Hp * layout.padded_back(H)


def across_units(source: Array, out: Array, position: int, count: int, width: int) -> SectionArgs:
    """Return the section that puts source [J, K] (of K = 1: [J]) into [panel, k, position of count, lane] of `out`."""
    J, K = len(source), source.size // len(source)
    return SectionArgs(
        across_units=True, source=source, K=K, J=J, Kp=K, out=out, position=position, count=count, width=width
    )


def across_inputs(source: Array, Kp: int, out: Array, position: int, count: int, width: int) -> SectionArgs:
    """Return the section that puts source [K, J] into [block, position of count, Kp, width] of `out`."""
    K, J = source.shape
    return SectionArgs(
        across_units=False, source=source, K=K, J=J, Kp=Kp, out=out, position=position, count=count, width=width
    )
