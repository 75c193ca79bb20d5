"""How a scan is laid over a GPU, and what a written model says it costs. Pure Python: needs no GPU and no Numba.

The grid is `unit_blocks` by `row_blocks`: a block computes `units` hidden units of `rows` rows, for the whole sequence.
Three ways, of which `choose.py` takes the cheapest that fits:

    resident, looped    R stays in shared memory across steps, one launch for the sequence. Blocks of the same rows meet
                        at a barrier each step; with one unit block nobody else is needed and there is no barrier.
    streamed, looped    R is too large to stay, and is read again each step; one launch, the same barrier.
    streamed, stepped   more blocks than can be alive at once: one launch a step and phase, which is the barrier.

The constants are for Hopper and Ampere from NVIDIA's documents and common measurements; none was fitted on hardware by
this project yet (docs/gpu.md).
"""

from dataclasses import dataclass
from functools import cached_property

from rnnbench.kernels.cuda.layout import Layout

UNROLLED = 4  # steps of a product's sum that are written out, so that loads run ahead of their use
MOST_SLICES = 32
WIDEST = 4  # columns of a product that one thread sums
TALLEST = 8  # rows, where there are enough

# Clocks of the multiprocessor.
BARRIER = 2000.0  # two trips to L2 and back with a fence each
LATENCY = 700.0  # of a chunk of operands from L2
CELL = 900.0  # gates, exchange, and the two syncs around them
LAUNCH = 20000.0  # about 12 microseconds of Python and driver
SHARED_EFFICIENCY = 0.4  # of the multiply-adds, when each reads its operands from shared memory in a 4 x 4 tile
L2_BYTES = 40.0  # a multiprocessor's share of the L2 bandwidth
MACS = {4: 128.0, 8: 64.0}  # multiply-adds a clock and multiprocessor, by the element's size


@dataclass(frozen=True)
class Device:
    """shared_bytes: what one block may have. threads: of a block; with 256, one may use all registers that the
    instruction set can name, and with 512 the scans of two stages spilled. warp: lanes that read together."""

    name: str
    multiprocessors: int
    shared_bytes: int
    threads: int = 256
    warp: int = 32


# Linked with the device runtime, which a cooperative launch takes, a kernel has 1 KiB of shared memory before its own.
RESERVED_BYTES = 2048

H200 = Device("NVIDIA H200", multiprocessors=132, shared_bytes=227 * 1024 - RESERVED_BYTES)
A100 = Device("NVIDIA A100", multiprocessors=108, shared_bytes=163 * 1024 - RESERVED_BYTES)


@dataclass(frozen=True)
class Work:
    """A product of one phase: `columns` sums a unit, over `segments` times H."""

    columns: int
    segments: int


Phases = tuple[tuple[Work, ...], ...]


def forward_phases(layout: Layout) -> Phases:
    """A phase a stage: h times its R, and the earlier stage's result times its."""
    return tuple(tuple(Work(len(rows), 1) for rows in (stage.h_rows, stage.u_rows) if rows) for stage in layout.stages)


def backward_phases(layout: Layout) -> Phases:
    """The last stage's phase begins with the step after: all that h fed. An earlier stage is fed by the next one."""
    first = (Work(1, len(layout.h_rows)),) if layout.h_rows else ()
    rest = ((Work(1, len(stage.u_rows)),) if stage.u_rows else () for stage in layout.stages[:0:-1])
    return (first, *rest)


@dataclass(frozen=True)
class Tile:
    """How a block's threads share a product: each sums rows_each x columns_each outputs over one of `slices` of the
    inner dimension. Its rows and columns lie row_threads and column_threads apart, so that neighbouring threads read
    neighbouring words of shared memory."""

    rows_each: int
    columns_each: int
    row_threads: int
    column_threads: int
    slices: int

    @property
    def threads(self) -> int:
        return self.row_threads * self.column_threads * self.slices

    @property
    def rows(self) -> int:
        return self.rows_each * self.row_threads

    @property
    def columns(self) -> int:
        return self.columns_each * self.column_threads

    @property
    def row_stride(self) -> int:
        """Elements between two inner indices of the operand in shared memory: odd, so that a column is free of bank
        conflicts as well."""
        return self.rows | 1

    @property
    def column_stride(self) -> int:
        return self.columns | 1

    @property
    def depth_multiple(self) -> int:
        return self.slices * UNROLLED

    @classmethod
    def over(cls, rows: int, columns: int, depth: int, threads: int) -> "Tile | None":
        """depth: the inner dimension. None where even one slice takes more threads than there are."""
        rows_each = TALLEST if rows >= 64 else min(4, rows)
        columns_each = min(WIDEST, columns)
        across = -(-rows // rows_each) * -(-columns // columns_each)
        if across > threads:
            return None
        slices = min(MOST_SLICES, power_below(threads // across), power_below(max(1, depth // UNROLLED)))
        return cls(rows_each, columns_each, -(-rows // rows_each), -(-columns // columns_each), slices)


@dataclass(frozen=True)
class Plan:
    """A scan's layout over the GPU, and where everything lies in a block's shared memory (in elements)."""

    hidden: int
    batch: int
    units: int
    rows: int
    threads: int
    resident: bool
    looped: bool
    phases: Phases
    tiles: tuple[tuple[Tile, ...], ...]
    chunk: int

    @property
    def unit_blocks(self) -> int:
        return -(-self.hidden // self.units)

    @property
    def row_blocks(self) -> int:
        return -(-self.batch // self.rows)

    @property
    def grid(self) -> tuple[int, int]:
        return self.unit_blocks, self.row_blocks

    @property
    def communicates(self) -> bool:
        """Whether a step needs what other units' blocks computed."""
        return self.unit_blocks > 1 and any(self.phases)

    @property
    def meeting_blocks(self) -> int:
        """How many blocks meet at a barrier after each phase; 1 where a block's own threads are all."""
        return self.unit_blocks if self.looped and self.communicates else 1

    @property
    def meetings(self) -> int:
        """How often they meet in a step."""
        return len(self.phases) if self.meeting_blocks > 1 else 0

    @property
    def pairs(self) -> int:
        """(unit, row) pairs a thread owns."""
        return -(-self.units * self.rows // self.threads)

    @property
    def segment(self) -> int:
        """H, padded to whole chunks."""
        return -(-self.hidden // self.chunk) * self.chunk

    def depth(self, work: Work) -> int:
        return work.segments * self.segment

    @cached_property
    def weights_at(self) -> tuple[tuple[int, ...], ...]:
        """Where each product's weights begin; all at 0 when they are streamed."""
        at, starts = 0, []
        for works, tiles in zip(self.phases, self.tiles, strict=True):
            places = []
            for work, tile in zip(works, tiles, strict=True):
                places.append(at if self.resident else 0)
                at += self.depth(work) * tile.column_stride
            starts.append(tuple(places))
        return tuple(starts)

    @property
    def weights_size(self) -> int:
        every = [(w, t) for ws, ts in zip(self.phases, self.tiles, strict=True) for w, t in zip(ws, ts, strict=True)]
        if self.resident:
            return sum(self.depth(work) * tile.column_stride for work, tile in every)
        return max((self.chunk * tile.column_stride for _, tile in every), default=0)

    @property
    def operand_at(self) -> int:
        return self.weights_size

    @property
    def operand_size(self) -> int:
        return self.chunk * max((tile.row_stride for tiles in self.tiles for tile in tiles), default=0)

    @cached_property
    def sums_at(self) -> tuple[tuple[int, ...], ...]:
        """Where each product's sums lie, [slice, row, column]; phases take turns in the same place."""
        starts = []
        for tiles in self.tiles:
            at, places = self.operand_at + self.operand_size, []
            for tile in tiles:
                places.append(at)
                at += tile.slices * tile.rows * tile.column_stride
            starts.append(tuple(places))
        return tuple(starts)

    @property
    def elements(self) -> int:
        sums = (sum(t.slices * t.rows * t.column_stride for t in tiles) for tiles in self.tiles)
        return self.operand_at + self.operand_size + max(sums, default=0)

    def clocks(self, itemsize: int) -> float:
        """What the model thinks a step takes."""
        total = 0.0
        for works in self.phases:
            for work in works:
                depth = work.segments * self.hidden
                macs = self.rows * self.units * work.columns * depth
                read = self.rows * depth + (0 if self.resident else self.units * work.columns * depth)
                chunks = work.segments * (self.segment // self.chunk)
                total += macs / (MACS[itemsize] * SHARED_EFFICIENCY) + read * itemsize / L2_BYTES + LATENCY * chunks
            total += CELL
            if self.communicates:
                total += BARRIER if self.looped else LAUNCH
        return total


def power_below(most: int) -> int:
    """The largest power of two that is not larger; 0 for 0."""
    return 1 << (most.bit_length() - 1) if most else 0
