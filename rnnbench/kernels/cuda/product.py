"""One product of a phase: what comes from other blocks times this block's part of R."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnbench.kernels.cuda.layout import DIGIT_BITS
from rnnbench.kernels.cuda.plan import Plan
from rnnbench.kernels.cuda.target import cuda, device_function
from rnnbench.kernels.cuda.tile import make_fill, make_multiply

DIGIT = (1 << DIGIT_BITS) - 1


@device_function
def digit(code, place):
    """The number at `place` of those that `layout.digits` put together."""
    return (code >> (DIGIT_BITS * place)) & DIGIT


@device_function
def visited(step, length, reverse):
    """The time at which a row is at a step; rows that have ended pass the rest of time forwards."""
    return length - 1 - step if reverse and step < length else step


@device_function
def load_nothing(shared, theta, weights_place, lengths, thread):
    """For a phase without a product."""


@device_function
def run_nothing(shared, source, place, theta, weights_place, lengths, thread):
    """For a phase without a product."""


@dataclass(frozen=True)
class Product:
    """Device functions of product `work` of phase `phase`.

    load(shared, theta, weights_place, lengths, thread): brings resident weights in, once.
    run(shared, source, place, theta, weights_place, lengths, thread): leaves sums [row, column] at sums_at,
    column_stride apart, for all threads to read.
    """

    load: Any
    run: Any
    sums_at: int
    column_stride: int


NOTHING = Product(load_nothing, run_nothing, 0, 0)


def make_product(
    dtype: np.dtype[Any], plan: Plan, phase: int, work: int, locate_operand: Any, locate_weight: Any, depth_first: bool
) -> Product:
    """locate_operand(row, k, place, lengths), locate_weight(column, k, place, lengths): where in their source an
    element lies, or -1. depth_first: how weights lie, as in `make_fill`."""
    tile, asked = plan.tiles[phase][work], plan.phases[phase][work]
    weights_at, sums_at, operand_at = plan.weights_at[phase][work], plan.sums_at[phase][work], plan.operand_at
    chunk, depth, streamed, stride = plan.chunk, plan.depth(asked), not plan.resident, tile.column_stride
    size = tile.rows_each * tile.columns_each
    fill_operand = make_fill(dtype, tile.rows, chunk, tile.row_stride, plan.threads, locate_operand, True)
    fill_weights = make_fill(dtype, tile.columns, chunk, stride, plan.threads, locate_weight, depth_first)
    clear, accumulate, settle = make_multiply(dtype, tile, chunk, plan.threads)

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
