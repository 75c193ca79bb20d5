"""Small kernels over flat arrays, without shared memory: sums over rows, the gradient's norm, and Adam."""

import math
from collections.abc import Callable

import numpy as np

from rnnbench.kernels.cuda.target import cuda
from rnnbench.kernels.cuda.types import DeviceArray, DoubleArray, DType, KernelFunction

NORM_BLOCKS = 16


def make_sum_rows(dtype: DType, threads: int) -> KernelFunction:
    """Make sum_rows(source, out, out_at, rows, columns, each): [parts, columns] from out_at on, a part the sum of its
    `each` rows of source [rows, columns]. Grid: threads over columns, parts."""
    zero = dtype.type(0)

    def sum_rows(source, out, out_at, rows, columns, each):
        column, part = cuda.blockIdx.x * threads + cuda.threadIdx.x, cuda.blockIdx.y
        total = zero
        if column < columns:
            for row in range(part * each, min(rows, (part + 1) * each)):
                total += source[row * columns + column]
            out[out_at + part * columns + column] = total

    return sum_rows


def make_squares(_: DType, threads: int) -> KernelFunction:
    """Make squares(source, out, size): out float64 [NORM_BLOCKS * threads], parts of the sum of source's squares."""
    every, zero = NORM_BLOCKS * threads, np.float64(0)

    def squares(source, out, size):
        index = cuda.blockIdx.x * threads + cuda.threadIdx.x
        total = zero
        for i in range(index, size, every):
            value = np.float64(source[i])
            total += value * value
        out[index] = total

    return squares


def make_adam(dtype: DType, threads: int) -> KernelFunction:
    """Make adam(theta, gradient, mean, square, size, ...), the formula of `training.Adam` in place.

    scale: clipping's factor. rate: lr / (1 - beta1^t). spread: 1 / (1 - beta2^t).
    """
    typed, one = dtype.type, np.float64(1)

    def adam(theta, gradient, mean, square, size, scale, beta1, beta2, rate, spread, epsilon):
        i = cuda.blockIdx.x * threads + cuda.threadIdx.x
        if i < size:
            g = gradient[i] * typed(scale)
            mean[i] += typed(one - beta1) * (g - mean[i])
            square[i] += typed(one - beta2) * (g * g - square[i])
            theta[i] -= typed(rate) * mean[i] / (typed(math.sqrt(square[i] * typed(spread))) + typed(epsilon))

    return adam


# Kinds of the kernels' arguments, as `target.signature` reads them.
KINDS: dict[Callable[[DType, int], KernelFunction], tuple[object, ...]] = {
    make_sum_rows: (DeviceArray, DeviceArray, int, int, int, int),
    make_squares: (DeviceArray, DoubleArray, int),
    make_adam: (*(DeviceArray,) * 4, int, *(float,) * 6),
}
