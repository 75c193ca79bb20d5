"""The machine's multiply-add peak and read bandwidth, measured: what a case's operations per second, and the reading of
its weights, are set against."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from numba import njit, types

from rnnbench.kernels.compiled import compile_kernel
from rnnbench.kernels.layout import aligned
from rnnbench.kernels.pointers import offset, pointer, vectors
from rnnbench.kernels.target import OPTIONS, DType, Jitted, target
from rnnbench.kernels.vector import constant, multiply_add, vector_type
from rnnbench.model import Array

SUMS = 8  # independent additions in flight: with fewer, a read from L1 would wait for the addition before it
CHAINS = 12  # independent multiply-adds in flight: more than latency times units on any CPU, and they fit 16 registers
ROUNDS, ROUND_SECONDS = 20, 0.005  # short, so that some of them fall between a neighbour's bursts
TRIES = 3  # before so many iterations count as long enough: one that was interrupted is no measure of them


def make_chains(dtype):
    """Return chains(count, out), `count` iterations of CHAINS vector multiply-adds, all of them needed for the sum in
    `out`."""
    vector = vector_type(dtype.name, target().lanes(dtype))
    step, factor = constant(vector, 1e-9), constant(vector, 0.999999)
    _, store_vectors, _ = vectors(vector, 1)

    @njit(**OPTIONS)
    def chains(count, out):
        a = b = c = d = e = f = g = h = i = j = k = m = step()
        x, y = factor(), step()
        for _ in range(count):
            a, b, c = multiply_add(a, x, y), multiply_add(b, x, y), multiply_add(c, x, y)
            d, e, f = multiply_add(d, x, y), multiply_add(e, x, y), multiply_add(f, x, y)
            g, h, i = multiply_add(g, x, y), multiply_add(h, x, y), multiply_add(i, x, y)
            j, k, m = multiply_add(j, x, y), multiply_add(k, x, y), multiply_add(m, x, y)
        store_vectors(pointer(out), 0, (a + b + c + d + e + f + g + h + i + j + k + m,))

    return chains, vector.lanes


@cache
def compile_chains(kind: DType) -> tuple[Jitted, int]:
    """Compile the chains of a dtype; return them and the lanes of `out`."""
    function, lanes = make_chains(kind)
    return compile_kernel("peak", function, (types.int64, flat_array(kind)), kind), lanes


def measure_flops_peak(dtype: str, threads: int = 1, seconds: float = ROUND_SECONDS) -> float:
    """Measure the floating-point operations per second (a multiply-add is two) that `threads` threads reach together,
    all operands in registers: the best of many rounds of about `seconds` each."""
    kind = np.dtype(dtype)
    kernel, lanes = compile_chains(kind)
    rate = iterations_per_second(kernel, [(np.zeros(lanes, kind),) for _ in range(threads)], seconds)
    return float(2 * CHAINS * lanes * threads * rate)


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
    kernel = compile_kernel("bandwidth", function, (types.int64, flat, flat), kind)
    block = SUMS * lanes
    elements = max(1, size // (threads * block * kind.itemsize)) * block
    parts = [aligned(elements, kind) for _ in range(threads)]
    for part in parts:
        part.fill(1)  # memory that was never written is one page of zeros, read from L1
    rate = iterations_per_second(kernel, [(part, np.zeros(lanes, kind)) for part in parts], seconds)
    return float(elements * kind.itemsize * threads * rate)


def flat_array(kind: DType) -> types.Array:
    """Return the Numba type of a one-dimensional array of a dtype."""
    return types.Array(types.float32 if kind == np.float32 else types.float64, 1, "C")


def iterations_per_second(kernel: Jitted, arguments: list[tuple[Array, ...]], seconds: float) -> float:
    """Measure the iterations a second of kernel(iterations, *one of `arguments`) in threads of their own, one for each,
    at the same time: the best of `ROUNDS` rounds of at least `seconds`."""

    def timed(iterations: int) -> float:
        start = time.perf_counter()
        list(run(lambda own: kernel(iterations, *own), arguments))
        return time.perf_counter() - start

    # Not `clock.samples`: turns are counted inside the kernel, threads start together, and the best round counts.
    with ThreadPoolExecutor(len(arguments)) as pool:
        run = map if len(arguments) == 1 else pool.map  # handing work over costs tens of microseconds
        iterations = 1
        while min(timed(iterations) for _ in range(TRIES)) < seconds:
            iterations *= 2
        return iterations / min(timed(iterations) for _ in range(ROUNDS))
