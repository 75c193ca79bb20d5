"""The large products of a layer, before and after its scan: x · W, dx, dW and dR, the head's, and sums over visits.

One tile: a block computes `rows` x `columns` of the result, `depth` of the inner dimension at a time through shared
memory. Where the result is small and the inner dimension long (dW sums over every visit), blocks divide the
inner dimension, and a second kernel adds their parts up, in an order that does not change from run to run.
"""

from dataclasses import dataclass
from typing import NamedTuple

from rnnbench.kernels.cuda.plan import Device, Tile
from rnnbench.kernels.cuda.target import cuda, device_function
from rnnbench.kernels.cuda.tile import make_fill, make_tile_product
from rnnbench.kernels.cuda.types import DeviceArray, DType, KernelFunction

WRITE, ADD, ADD_BIAS = 0, 1, 2
PART_DEPTH = 512  # the least of the inner dimension that is worth a block of its own


@dataclass(frozen=True)
class LargeTile:
    """A block's tile, its depth in shared memory, and the blocks that fill the device."""

    tile: Tile
    depth: int
    threads: int
    blocks: int

    @classmethod
    def on(cls, device: Device) -> "LargeTile":
        side = 1 << ((device.threads.bit_length() - 1) // 2)
        tile = Tile(8 if side > 2 else 2, 4 if side > 2 else 2, side, side, 1)
        return cls(tile, 16 if side > 2 else 4, device.threads, 2 * device.multiprocessors)

    @property
    def elements(self) -> int:
        """Count those of shared memory: the operand's and the weights' chunk, and the result on its way out."""
        tile = self.tile
        return self.depth * (tile.row_stride + tile.column_stride) + tile.rows * tile.column_stride

    def grid(self, M: int, N: int) -> tuple[int, int]:
        return -(-M // self.tile.rows), -(-N // self.tile.columns)

    def parts(self, M: int, N: int, K: int) -> int:
        """Count the blocks that divide the inner dimension K."""
        across, down = self.grid(M, N)
        return max(1, min(self.blocks // (across * down), K // PART_DEPTH))


class Matrix(NamedTuple):
    """A matrix in flat memory: element (i, k) at `at + i * row + k * inner`. Kernels take the four fields in turn."""

    memory: DeviceArray
    at: int
    row: int
    inner: int

    @property
    def transposed(self) -> "Matrix":
        return Matrix(self.memory, self.at, self.inner, self.row)


# Kinds of the arguments: matrices a, b, out and bias; part_size, M, N, K, parts, mode.
PRODUCT = (*tuple(Matrix.__annotations__.values()) * 4, *(int,) * 6)


@device_function
def locate_strided(i, k, place, _):
    """Return where element (i, k) of a matrix lies by its strides; k is counted from `begin` and ends at `end`."""
    base, count, stride, k_stride, begin, end = place
    k += begin
    return base + i * stride + k * k_stride if i < count and k < end else -1


def make_large(dtype: DType, large: LargeTile, a_contiguous: bool, b_contiguous: bool) -> KernelFunction:
    """Make the kernel, not yet compiled: out[m, n] = Σ_k a[m, k] · b[n, k] for m < M and n < N, out's inner stride 1.

    mode: WRITE, ADD to what is there, or ADD_BIAS, bias[0, n]. Part p of the inner dimension, of `parts`, writes its
    result p * part_size further on. a_contiguous, b_contiguous: neighbours in memory are neighbours in k. Grid: tiles
    of m times parts, tiles of n.
    """
    tile, depth, threads = large.tile, large.depth, large.threads
    rows, columns, stride = tile.rows, tile.columns, tile.column_stride
    weights_at, sums_at = depth * tile.row_stride, depth * (tile.row_stride + tile.column_stride)
    fill_a = make_fill(dtype, rows, depth, tile.row_stride, threads, locate_strided, a_contiguous)
    fill_b = make_fill(dtype, columns, depth, stride, threads, locate_strided, b_contiguous)
    clear, accumulate, settle = make_tile_product(dtype, tile, depth, threads)
    size, zero = tile.rows_each * tile.columns_each, dtype.type(0)

    def multiply(
        a, a_at, a_row, a_k, b, b_at, b_column, b_k, out, out_at, out_row, _out_n, bias, bias_at, _bias_m, _bias_n,
        part_size, M, N, K, parts, mode
    ):  # fmt: skip
        shared, sums = cuda.shared.array(0, dtype), cuda.local.array(size, dtype)
        thread, part = cuda.threadIdx.x, cuda.blockIdx.x % parts
        m0, n0 = cuda.blockIdx.x // parts * rows, cuda.blockIdx.y * columns
        each = -(-K // parts)
        begin = part * each
        end = min(K, begin + each)
        a_place = (a_at + m0 * a_row, M - m0, a_row, a_k, begin, end)
        b_place = (b_at + n0 * b_column, N - n0, b_column, b_k, begin, end)
        clear(sums)
        for k0 in range(0, end - begin, depth):
            fill_a(shared, 0, a, a_place, 0, k0, thread)
            fill_b(shared, weights_at, b, b_place, 0, k0, thread)
            cuda.syncthreads()
            accumulate(sums, shared, 0, weights_at, thread)
            cuda.syncthreads()
        settle(sums, shared, sums_at, thread)
        for e in range(thread, rows * columns, threads):
            m, n = m0 + e // columns, n0 + e % columns
            if m < M and n < N:
                value = shared[sums_at + e // columns * stride + e % columns]
                at = out_at + part * part_size + m * out_row + n
                if mode == ADD_BIAS:
                    value += bias[bias_at + n]
                out[at] = (out[at] if mode == ADD else zero) + value

    return multiply
