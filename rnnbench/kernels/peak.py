"""The machine's multiply-add peak, measured: what a case's operations per second are set against."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit, types

from rnnbench.kernels.library import compile_kernel
from rnnbench.kernels.target import OPTIONS, target
from rnnbench.kernels.vector import constant, multiply_add, pointer, vector_type, vectors

CHAINS = 12  # independent multiply-adds in flight: more than latency times units on any CPU, and they fit 16 registers
ROUNDS = 5


def make_chains(dtype):
    """chains(count, out): `count` turns of CHAINS vector multiply-adds, all of them needed for the sum in `out`."""
    vector = vector_type(dtype.name, target().lanes(dtype))
    step, factor = constant(vector, 1e-9), constant(vector, 0.999999)
    _, store, _ = vectors(vector, 1)

    @njit(**OPTIONS)
    def chains(count, out):
        a = b = c = d = e = f = g = h = i = j = k = m = step()
        x, y = factor(), step()
        for _ in range(count):
            a, b, c = multiply_add(a, x, y), multiply_add(b, x, y), multiply_add(c, x, y)
            d, e, f = multiply_add(d, x, y), multiply_add(e, x, y), multiply_add(f, x, y)
            g, h, i = multiply_add(g, x, y), multiply_add(h, x, y), multiply_add(i, x, y)
            j, k, m = multiply_add(j, x, y), multiply_add(k, x, y), multiply_add(m, x, y)
        store(pointer(out), 0, (a + b + c + d + e + f + g + h + i + j + k + m,))

    return chains, vector.lanes


def measure_flops_peak(dtype: str, threads: int = 1, seconds: float = 0.02) -> float:
    """Floating-point operations per second (a multiply-add is two) that `threads` threads reach together, with all
    operands in registers: the best of a few rounds of about `seconds` each."""
    kind = np.dtype(dtype)
    function, lanes = make_chains(kind)
    flat = types.Array(types.float32 if kind == np.float32 else types.float64, 1, "C")
    kernel = compile_kernel("peak", function, (types.int64, flat), None, kind)
    outs = [np.zeros(lanes, kind) for _ in range(threads)]

    def timed(count: int) -> float:
        start = time.perf_counter()
        list(pool.map(lambda out: kernel(count, out), outs))
        return time.perf_counter() - start

    with ThreadPoolExecutor(threads) as pool:
        count = 100_000
        while timed(count) < seconds:
            count *= 2
        best = min(timed(count) for _ in range(ROUNDS))
    return float(2 * CHAINS * lanes * count * threads / best)
