"""The namespace a cell's pair is built with to run on a GPU's scalars, and tuples of them.

sigmoid and tanh are the formulas of the CPU's vectors over the exponential of NVIDIA's device library. Literals are
typed: a bare one would widen float32 to float64, which a GPU computes at a fraction of the speed.
"""

import math

from rnnbench.cells.maths import Maths
from rnnbench.kernels.cuda.target import device_function
from rnnbench.kernels.cuda.types import DeviceFunction, DType


def device_maths(dtype: DType) -> Maths:
    """Make the namespace for scalars of `dtype`."""
    zero, one, two = dtype.type(0), dtype.type(1), dtype.type(2)

    @device_function
    def sigmoid(x):
        e = math.exp(-abs(x))
        return (e if x < zero else one) / (one + e)

    @device_function
    def tanh(x):
        q = math.expm1(-two * abs(x))
        t = -q / (two + q)
        return -t if x < zero else t

    @device_function
    def relu(x):
        return zero if x < zero else x

    @device_function
    def d_sigmoid(s):
        return s * (one - s)

    @device_function
    def d_tanh(t):
        return one - t * t

    @device_function
    def d_relu(y):
        return one if y > zero else zero

    return Maths(sigmoid, tanh, relu, d_sigmoid, d_tanh, d_relu, zero, one)


def make_load(count: int) -> DeviceFunction:
    """Make load(values, at, step): the tuple values[at], values[at + step], ... of `count`."""
    if count == 0:

        @device_function
        def load_none(values, at, step):
            return ()

        return load_none

    earlier, last = make_load(count - 1), count - 1

    @device_function
    def load(values, at, step):
        return (*earlier(values, at, step), values[at + last * step])

    return load


def make_store(count: int) -> DeviceFunction:
    """Make store(target, at, step, values): target[at + n * step] = values[n] for `count` values."""
    if count == 0:

        @device_function
        def store_none(target, at, step, values):
            pass

        return store_none

    earlier, last = make_store(count - 1), count - 1

    @device_function
    def store(target, at, step, values):
        earlier(target, at, step, values)
        target[at + last * step] = values[last]

    return store
