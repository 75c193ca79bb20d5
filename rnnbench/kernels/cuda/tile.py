"""A block's product: sums over the inner dimension of an operand [rows, depth] times weights [depth, columns].

Both pass through shared memory, `chunk` of the depth at a time, the inner index slowest, so that threads that own
neighbouring rows or columns read neighbouring words. What a thread sums it keeps in registers: its loops have constant
bounds and its arrays constant indices once unrolled (the compiler's report is read by a test).

Indices into shared memory are unsigned: for a signed one the compiler would test every time whether it is negative.
"""

from typing import NamedTuple

import numpy as np

from rnnbench.kernels.cuda.plan import UNROLLED, Tile
from rnnbench.kernels.cuda.target import cuda, device_function
from rnnbench.kernels.cuda.types import DeviceFunction, DType

IN_FLIGHT_BYTES = 32  # loads of a thread that are under way together: with twice as much, float64 spilled


class TileProduct(NamedTuple):
    """The three moves of a product, each called by every thread of the block.

    clear(sums).
    accumulate(sums, shared, operand_at, weights_at, thread): adds one chunk, from shared memory.
    settle(sums, shared, sums_at, thread): adds the slices up and leaves [row, column] at `sums_at`, for all to read.
    """

    clear: DeviceFunction
    accumulate: DeviceFunction
    settle: DeviceFunction


def make_fill(
    dtype: DType, outer: int, chunk: int, stride: int, threads: int, locate: DeviceFunction, depth_first: bool
) -> DeviceFunction:
    """Make fill(shared, at, source, place, lengths, k0, thread): for i < outer and k < chunk,
    shared[at + k * stride + i] = source[locate(i, k0 + k, place, lengths)]; zero where `locate` says -1.

    depth_first: neighbouring threads take neighbouring k, for a source in which those lie together; else i.
    """
    loads = IN_FLIGHT_BYTES // dtype.itemsize
    zero, rounds, per_round = dtype.type(0), -(-outer * chunk // (threads * loads)), threads * loads
    # Unsigned too: a signed quotient by a constant takes three times the instructions.
    total, step, flight = np.uint64(outer * chunk), np.uint64(threads), np.uint64(loads)
    divisor, row = np.uint64(chunk if depth_first else outer), np.uint64(stride)

    @device_function
    def fill(shared, at, source, place, lengths, k0, thread):
        loaded = cuda.local.array(loads, dtype)
        to = np.uint64(at)
        for round_ in range(rounds):
            first = np.uint64(thread + round_ * per_round)
            for n in range(flight):
                e = first + n * step
                i, k = (e // divisor, e % divisor) if depth_first else (e % divisor, e // divisor)
                where = locate(np.int64(i), k0 + np.int64(k), place, lengths) if e < total else -1
                value = source[max(where, 0)]
                loaded[n] = value if where >= 0 else zero
            for n in range(flight):
                e = first + n * step
                i, k = (e // divisor, e % divisor) if depth_first else (e % divisor, e // divisor)
                if e < total:
                    shared[to + k * row + i] = loaded[n]

    return fill


def make_accumulate(tile: Tile) -> DeviceFunction:
    """Make accumulate(sums, shared, a, w, count): sums[i, j] += Σ over `count` inner indices of a slice of a[i] · w[j].

    a, w: unsigned places in shared memory of the thread's first row and column; count: a multiple of UNROLLED.
    """
    rows, columns = np.uint64(tile.rows_each), np.uint64(tile.columns_each)
    row_step, column_step = np.uint64(tile.row_threads), np.uint64(tile.column_threads)
    a_step, w_step = np.uint64(tile.slices * tile.row_stride), np.uint64(tile.slices * tile.column_stride)
    unrolled = np.uint64(UNROLLED)

    @device_function
    def accumulate(sums, shared, a, w, count):
        for _ in range(count // unrolled):
            for n in range(unrolled):
                for i in range(rows):
                    value = shared[a + n * a_step + i * row_step]
                    for j in range(columns):
                        sums[i * columns + j] += value * shared[w + n * w_step + j * column_step]
            a += unrolled * a_step
            w += unrolled * w_step

    return accumulate


def make_tile_product(dtype: DType, tile: Tile, chunk: int, threads: int) -> TileProduct:
    """Make the device functions of a product of `chunk` inner indices at a time, for blocks of `threads` threads."""
    accumulate_slice = make_accumulate(tile)
    size, zero = tile.rows_each * tile.columns_each, dtype.type(0)
    rows_each, columns_each, slices = tile.rows_each, tile.columns_each, tile.slices
    row_threads, column_threads, used = tile.row_threads, tile.column_threads, tile.threads
    row_stride, column_stride = tile.row_stride, tile.column_stride
    rows, columns = tile.rows, tile.columns
    slice_size, count = tile.rows * tile.column_stride, chunk // tile.slices

    @device_function
    def clear(sums):
        for n in range(size):
            sums[n] = zero

    @device_function
    def accumulate(sums, shared, operand_at, weights_at, thread):
        if thread < used:
            row = thread // column_threads % row_threads
            part = thread // (column_threads * row_threads)
            a = operand_at + part * row_stride + row
            w = weights_at + part * column_stride + thread % column_threads
            accumulate_slice(sums, shared, np.uint64(a), np.uint64(w), np.uint64(count))

    @device_function
    def settle(sums, shared, sums_at, thread):
        if thread < used:
            row = thread // column_threads % row_threads
            part = thread // (column_threads * row_threads)
            at = sums_at + part * slice_size + row * column_stride + thread % column_threads
            for i in range(rows_each):
                for j in range(columns_each):
                    shared[at + i * row_threads * column_stride + j * column_threads] = sums[i * columns_each + j]
        cuda.syncthreads()
        if slices > 1:
            for e in range(thread, rows * columns, threads):
                at = sums_at + e // columns * column_stride + e % columns
                total = shared[at]
                for n in range(1, slices):
                    total += shared[at + n * slice_size]
                shared[at] = total
            cuda.syncthreads()

    return TileProduct(clear, accumulate, settle)
