"""The namespace a cell's pair is built with: gate functions, their derivatives, and a typed zero and one.

A namespace is chosen per dtype and target, so that a cell holds no literal and a float32 fit never serves float64.
Derivatives are functions of the gate's *output*: ``d_tanh(tanh(x))`` is tanh'(x).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Value: TypeAlias = Any  # what a pair computes with: an array [B, H], a SIMD vector in Numba, a framework's tensor
Function = Callable[[Value], Value]


@dataclass(frozen=True)
class Maths:
    """What a pair may call: it holds no literal and imports nothing."""

    sigmoid: Function
    tanh: Function
    relu: Function
    d_sigmoid: Function
    d_tanh: Function
    d_relu: Function
    zero: Value
    one: Value


def numpy_maths(dtype: np.dtype[Any]) -> Maths:
    """Return the namespace for NumPy arrays of `dtype`; complex arrays pass through the smooth functions too."""
    zero, one = dtype.type(0), dtype.type(1)

    def sigmoid(x: Value) -> Value:
        with np.errstate(over="ignore"):  # exp(-x) = inf is right: the result is 0
            return one / (one + np.exp(-x))

    def relu(x: Value) -> Value:
        return np.where(x < zero, zero, x)

    return Maths(
        sigmoid=sigmoid,
        tanh=np.tanh,
        relu=relu,
        d_sigmoid=lambda s: s * (one - s),
        d_tanh=lambda t: one - t * t,
        d_relu=lambda y: np.where(y > zero, one, zero),
        zero=zero,
        one=one,
    )
