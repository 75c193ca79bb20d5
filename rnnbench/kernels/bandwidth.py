"""The machine's read bandwidth, measured: what the reading of weights is set against."""

import numpy as np
from numba import njit, types

from rnnbench.kernels.compiled import compile_kernel
from rnnbench.kernels.layout import aligned
from rnnbench.kernels.peak import ROUND_SECONDS, flat_array, iterations_per_second
from rnnbench.kernels.pointers import offset, pointer, vectors
from rnnbench.kernels.target import OPTIONS, target
from rnnbench.kernels.vector import constant, vector_type

SUMS = 8  # independent additions in flight: with fewer, a read from L1 would wait for the addition before it


def make_reading(dtype):
    """Return reading(iterations, data, out), which reads `data`, whose size is a multiple of SUMS vectors, from end to
    end so many times; every element is needed for the sum in `out`."""
    vector = vector_type(dtype.name, target().lanes(dtype))
    zero, block = constant(vector, 0.0), SUMS * vector.lanes
    lanes = vector.lanes
    load_vectors, _, _ = vectors(vector, SUMS)
    _, store_vectors, _ = vectors(vector, 1)

    @njit(**OPTIONS)
    def reading(iterations, data, out):
        a = b = c = d = e = f = g = h = zero()
        start, blocks = pointer(data), data.size // block
        for _ in range(iterations):
            for i in range(blocks):
                s, t, u, v, w, x, y, z = load_vectors(offset(start, i * block), lanes)
                a, b, c, d = a + s, b + t, c + u, d + v
                e, f, g, h = e + w, f + x, g + y, h + z
        store_vectors(pointer(out), 0, (a + b + c + d + e + f + g + h,))

    return reading, vector.lanes


def measure_read_bandwidth(dtype: str, size: int, threads: int = 1, seconds: float = ROUND_SECONDS) -> float:
    """Measure the bytes per second that `threads` threads read together, each its own part of `size` bytes, over and
    over: the best of many rounds of about `seconds` each. A part is at least one block of SUMS vectors."""
    kind = np.dtype(dtype)
    function, lanes = make_reading(kind)
    flat = flat_array(kind)
    kernel = compile_kernel("bandwidth", function, (types.int64, flat, flat), None, kind)
    block = SUMS * lanes
    elements = max(1, size // (threads * block * kind.itemsize)) * block
    parts = [aligned(elements, kind) for _ in range(threads)]
    for part in parts:
        part.fill(1)  # memory that was never written is one page of zeros, read from L1
    rate = iterations_per_second(kernel, [(part, np.zeros(lanes, kind)) for part in parts], seconds)
    return float(elements * kind.itemsize * threads * rate)
