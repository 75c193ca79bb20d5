"""How a scan is laid over a GPU, and what a written model says it costs. Pure Python: needs no GPU and no Numba.

The grid is `unit_blocks` by `row_blocks`: a block computes `units` hidden units of `rows` rows, for the whole sequence.
Three ways, of which `choose.py` takes the cheapest that fits:

    resident, looped    R stays in shared memory across steps, one launch for the sequence. Blocks of the same rows wait
                        at a barrier each step; with one unit block nobody else is needed and there is no barrier.
    streamed, looped    R is too large to stay, and is read again each step; one launch, the same barrier.
    streamed, stepped   more blocks than can be alive at once: one launch a step and phase, which is the barrier.

The constants are for Hopper and Ampere from NVIDIA's documents and common measurements; none was fitted on hardware by
this project yet (docs/gpu.md).
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from rnnbench.kernels.cuda.layout import CudaLayout

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


@dataclass(frozen=True)
class ProductSize:
    """A product of one phase: `columns` sums a unit, over `segments` times H."""

    columns: int
    segments: int


Phases = tuple[tuple[ProductSize, ...], ...]


def scan_phases(layout: CudaLayout, backward: bool) -> Phases:
    """Return a phase for each stage, backwards the last first.

    Forwards its products are h times its R, and the earlier stage's result times its. Backwards it has one at most, of
    the gradients of all that the stage's result is an operand of.
    """
    if backward:
        used = (len(layout.users(number)[0]) for number in reversed(range(len(layout.stages))))
        return tuple((ProductSize(1, count),) if count else () for count in used)
    return tuple(
        tuple(ProductSize(len(rows), 1) for rows in (stage.h_rows, stage.u_rows) if rows) for stage in layout.stages
    )


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
        """Return the elements between two inner indices of the operand in shared memory: odd, so that a column is free
        of bank conflicts as well."""
        return self.rows | 1

    @property
    def column_stride(self) -> int:
        return self.columns | 1

    @property
    def depth_multiple(self) -> int:
        return self.slices * UNROLLED

    @property
    def sums(self) -> int:
        """Count the elements of shared memory for the sums, [slice, row, column]."""
        return self.slices * self.rows * self.column_stride

    @classmethod
    def over(cls, rows: int, columns: int, depth: int, threads: int) -> "Tile":
        """Return the tile of a product of this inner `depth`; of 0 slices where one already takes too many threads."""
        rows_each, columns_each = TALLEST if rows >= 64 else min(4, rows), min(WIDEST, columns)
        row_threads, column_threads = -(-rows // rows_each), -(-columns // columns_each)
        most = power_below(threads // (row_threads * column_threads))
        slices = min(MOST_SLICES, most, power_below(max(1, depth // UNROLLED)))
        return cls(rows_each, columns_each, row_threads, column_threads, slices)


@dataclass(frozen=True)
class ScanPlan:
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
        """Tell whether a step needs what other units' blocks computed."""
        return self.unit_blocks > 1 and any(self.phases)

    @property
    def barrier_blocks(self) -> int:
        """Count the blocks that wait at a barrier after each phase; 1 where a block's own threads are all."""
        return self.unit_blocks if self.looped and self.communicates else 1

    @property
    def barriers(self) -> int:
        """Count the barriers of a step."""
        return len(self.phases) if self.barrier_blocks > 1 else 0

    @property
    def pairs(self) -> int:
        """Count the (unit, row) pairs that a thread owns."""
        return -(-self.units * self.rows // self.threads)

    @property
    def segment(self) -> int:
        """Return H padded to whole chunks."""
        return -(-self.hidden // self.chunk) * self.chunk

    def depth(self, product: ProductSize) -> int:
        return product.segments * self.segment

    @property
    def _weights(self) -> list[int]:
        """Return the elements of every product's weights in shared memory."""
        every = [(p, t) for ps, ts in zip(self.phases, self.tiles, strict=True) for p, t in zip(ps, ts, strict=True)]
        return [(self.depth(product) if self.resident else self.chunk) * tile.column_stride for product, tile in every]

    @cached_property
    def weights_at(self) -> tuple[tuple[int, ...], ...]:
        """Return where each product's weights begin; all at 0 when they are streamed."""
        at = accumulate(self._weights, initial=0)
        return tuple(tuple(next(at) if self.resident else 0 for _ in tiles) for tiles in self.tiles)

    @property
    def operand_at(self) -> int:
        """Return where the operand begins, after the weights."""
        return sum(self._weights) if self.resident else max(self._weights, default=0)

    @property
    def _sums_begin(self) -> int:
        return self.operand_at + self.chunk * max(
            (tile.row_stride for tiles in self.tiles for tile in tiles), default=0
        )

    @cached_property
    def sums_at(self) -> tuple[tuple[int, ...], ...]:
        """Return where each product's sums begin; phases use the same place one after another."""
        at = self._sums_begin
        return tuple(tuple(at + sum(t.sums for t in tiles[:n]) for n in range(len(tiles))) for tiles in self.tiles)

    @property
    def elements(self) -> int:
        return self._sums_begin + max(sum(tile.sums for tile in tiles) for tiles in self.tiles)

    def clocks(self, itemsize: int) -> float:
        """Estimate the clocks that a step takes."""
        total = 0.0
        for products in self.phases:
            for product in products:
                depth = product.segments * self.hidden
                macs = self.rows * self.units * product.columns * depth
                read = self.rows * depth + (0 if self.resident else self.units * product.columns * depth)
                chunks = product.segments * (self.segment // self.chunk)
                total += macs / (MACS[itemsize] * SHARED_EFFICIENCY) + read * itemsize / L2_BYTES + LATENCY * chunks
            total += CELL
            if self.communicates:
                total += BARRIER if self.looped else LAUNCH
        return total


def power_below(most: int) -> int:
    """Return the largest power of two that is not larger; 0 for 0."""
    return 1 << (most.bit_length() - 1) if most else 0
