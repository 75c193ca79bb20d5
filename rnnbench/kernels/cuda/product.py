"""One product of a phase: what comes from other blocks times this block's part of R, and which pairs are whose."""

from dataclasses import dataclass

from rnnbench.kernels.cuda.layout import DIGIT_BITS
from rnnbench.kernels.cuda.plan import ScanPlan
from rnnbench.kernels.cuda.target import cuda, device_function
from rnnbench.kernels.cuda.tile import make_fill, make_tile_product
from rnnbench.kernels.cuda.types import DeviceFunction, DType

DIGIT = (1 << DIGIT_BITS) - 1


def make_pair(plan: ScanPlan) -> DeviceFunction:
    """Make pair(i, block): the row and unit of the thread's i-th pair, and whether the block has that many.

    block: (its first row, its first unit, the thread). Callers look for themselves whether row < B and unit < H: a
    single answer from here had the fullest plans' kernels spill (test_cuda_ptx.py).
    """
    threads, units, count = plan.threads, plan.units, plan.units * plan.rows

    @device_function
    def pair(i, block):
        row0, unit0, thread = block
        p = thread + i * threads
        row, unit = row0 + p // units, unit0 + p % units
        return row, unit, p < count

    return pair


@device_function
def digit(code, place):
    """Return the number at `place` of those that `layout.digits` packed."""
    return (code >> (DIGIT_BITS * place)) & DIGIT


@device_function
def visited(step, length, reverse):
    """Return the time at which a row is at a step; rows that have ended pass the rest of time forwards."""
    return length - 1 - step if reverse and step < length else step


@device_function
def load_nothing(shared, theta, weights_place, lengths, thread):
    """Stand for a product's load in a phase without one."""


@device_function
def run_nothing(shared, source, place, theta, weights_place, lengths, thread):
    """Stand for a product's run in a phase without one."""


@dataclass(frozen=True)
class Product:
    """Device functions of one product of a phase.

    load(shared, theta, weights_place, lengths, thread): brings resident weights in, once.
    run(shared, source, place, theta, weights_place, lengths, thread): leaves sums [row, column] at sums_at,
    column_stride apart, for all threads to read.
    """

    load: DeviceFunction
    run: DeviceFunction
    sums_at: int
    column_stride: int


NOTHING = Product(load_nothing, run_nothing, 0, 0)


def make_product(
    dtype: DType, plan: ScanPlan, phase: int, index: int,
    locate_operand: DeviceFunction, locate_weight: DeviceFunction, depth_first: bool,
) -> Product:  # fmt: skip
    """Make product `index` of a phase.

    locate_operand(row, k, place, lengths), locate_weight(column, k, place, lengths): where in their source an element
    lies, or -1. depth_first: how weights lie, as in `make_fill`.
    """
    tile, depth = plan.tiles[phase][index], plan.depth(plan.phases[phase][index])
    weights_at, sums_at, operand_at = plan.weights_at[phase][index], plan.sums_at[phase][index], plan.operand_at
    chunk, streamed, stride = plan.chunk, not plan.resident, tile.column_stride
    size = tile.rows_each * tile.columns_each
    fill_operand = make_fill(dtype, tile.rows, chunk, tile.row_stride, plan.threads, locate_operand, True)
    fill_weights = make_fill(dtype, tile.columns, chunk, stride, plan.threads, locate_weight, depth_first)
    clear, accumulate, settle = make_tile_product(dtype, tile, chunk, plan.threads)

    @device_function
    def load(shared, theta, weights_place, lengths, thread):
        for k0 in range(0, depth, chunk):
            fill_weights(shared, weights_at + k0 * stride, theta, weights_place, lengths, k0, thread)

    @device_function
    def run(shared, source, place, theta, weights_place, lengths, thread):
        sums = cuda.local.array(size, dtype)
        clear(sums)
        for k0 in range(0, depth, chunk):
            fill_operand(shared, operand_at, source, place, lengths, k0, thread)
            at = weights_at + k0 * stride
            if streamed:
                at = weights_at
                fill_weights(shared, at, theta, weights_place, lengths, k0, thread)
            cuda.syncthreads()
            accumulate(sums, shared, operand_at, at, thread)
            cuda.syncthreads()
        settle(sums, shared, sums_at, thread)

    return Product(load, run, sums_at, stride)
