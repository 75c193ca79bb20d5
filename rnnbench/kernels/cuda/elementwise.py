"""Small kernels over flat arrays: sums over rows, adding parts up, the gradient's norm, and Adam."""

import math
from typing import NamedTuple

import numpy as np

from rnnbench.kernels.cuda.target import cuda
from rnnbench.kernels.cuda.types import DeviceArray, DoubleArray, DType, KernelFunction

# Kinds of the small kernels' arguments, as `target.signature` reads them.
SUM_ROWS = FOLD = (DeviceArray, DeviceArray, int, int, int)
SQUARES = (DeviceArray, DoubleArray, int)


class CudaAdamArgs(NamedTuple):
    """The arguments of `adam`: flat arrays of `size` elements, the step's numbers, and the settings'.

    scale: clipping's factor. rate: lr / (1 - beta1^t). spread: 1 / (1 - beta2^t).
    """

    theta: DeviceArray
    gradient: DeviceArray
    mean: DeviceArray
    square: DeviceArray
    size: int
    scale: float
    beta1: float
    beta2: float
    rate: float
    spread: float
    epsilon: float


def make_sum_rows(dtype: DType, threads: int) -> KernelFunction:
    """Make sum_rows(source, out, rows, columns, parts): out [parts, columns], each part the sum of its rows of source
    [rows, columns]. Grid: threads over columns, parts."""
    zero = dtype.type(0)

    def sum_rows(source, out, rows, columns, parts):
        column, part = cuda.blockIdx.x * threads + cuda.threadIdx.x, cuda.blockIdx.y
        each = -(-rows // parts)
        total = zero
        if column < columns:
            for row in range(part * each, min(rows, (part + 1) * each)):
                total += source[row * columns + column]
            out[part * columns + column] = total

    return sum_rows


def make_fold(dtype: DType, threads: int) -> KernelFunction:
    """Make fold(source, out, out_at, size, parts): out[out_at + i] = Σ over parts of source[part, i], i < size."""
    zero = dtype.type(0)

    def fold(source, out, out_at, size, parts):
        i = cuda.blockIdx.x * threads + cuda.threadIdx.x
        if i < size:
            total = zero
            for part in range(parts):
                total += source[part * size + i]
            out[out_at + i] = total

    return fold


def make_squares(threads: int, blocks: int) -> KernelFunction:
    """Make squares(source, out, size): out float64 [blocks * threads], each a part of the sum of source's squares."""
    every, zero = blocks * threads, np.float64(0)

    def squares(source, out, size):
        index = cuda.blockIdx.x * threads + cuda.threadIdx.x
        total = zero
        for i in range(index, size, every):
            value = np.float64(source[i])
            total += value * value
        out[index] = total

    return squares


def make_adam(dtype: DType, threads: int) -> KernelFunction:
    """Make adam, the formula of `training.Adam` in place; its arguments are the fields of `CudaAdamArgs`."""
    typed, one = dtype.type, np.float64(1)

    def adam(theta, gradient, mean, square, size, scale, beta1, beta2, rate, spread, epsilon):
        i = cuda.blockIdx.x * threads + cuda.threadIdx.x
        if i < size:
            g = gradient[i] * typed(scale)
            mean[i] += typed(one - beta1) * (g - mean[i])
            square[i] += typed(one - beta2) * (g * g - square[i])
            theta[i] -= typed(rate) * mean[i] / (typed(math.sqrt(square[i] * typed(spread))) + typed(epsilon))

    return adam
