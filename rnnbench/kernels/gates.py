"""Gate functions on vectors: tanh and sigmoid from one exponential, for float32 and float64.

e^y = 2^n (1 + p) with n = round(y / ln 2) and p = e^r - 1 for the rest r = y - n ln 2, |r| <= ln(2)/2. p is the Taylor
polynomial of the degree at which what it leaves out is below an eighth of the dtype's spacing, so every coefficient is
1/k! and both dtypes come from the same lines; a minimax fit would save one multiply-add.

    sigmoid(x) = (x < 0 ? e : 1) / (1 + e),  e = e^-|x|
    tanh(x)    = ±(-q) / (2 + q),            q = e^-2|x| - 1 = 2^n p + (2^n - 1)

The first keeps its precision for very negative x, where the half-tanh form is 0; the second near 0.

Largest errors are stated, and checked over the whole range, in tests/test_gates.py.
"""

import math
from fractions import Fraction

import numpy as np
from numba import njit

from rnnbench.cells.maths import Maths
from rnnbench.kernels.target import OPTIONS
from rnnbench.kernels.vector import (
    absolute,
    constant,
    copy_sign,
    low_bits_as_exponent,
    multiply_add,
    polynomial,
    where_less,
)


def taylor_degree(dtype):
    """The first degree of e^r - 1 whose remainder on |r| <= ln(2)/2 is below an eighth of the spacing at 1."""
    bound, degree, term = math.log(2) / 2, 1, math.log(2) / 2
    while term * bound / (degree + 1) > np.finfo(dtype).eps / 8 * bound:
        degree += 1
        term *= bound / degree
    return degree


def split_ln2(dtype):
    """ln 2 as high + low, high short enough that n * high is exact for every exponent n."""
    ln2 = Fraction(0)
    for k in range(1, 200):  # ln 2 = Σ 1 / (k 2^k)
        ln2 += Fraction(1, k * 2**k)
    kept = np.finfo(dtype).nmant - 12
    high = Fraction(round(ln2 * 2**kept), 2**kept)
    return float(high), float(ln2 - high)


def vector_maths(vector, dtype):
    """The namespace a cell's pair is built with to run on `vector` of NumPy dtype `dtype`."""
    finfo = np.finfo(dtype)
    mantissa = finfo.nmant
    # Adding 1.5 * 2^mantissa rounds to a whole number and leaves it in the low bits; adding the exponent's bias too
    # makes those bits the biased exponent, which the shift then puts in its place.
    bias = float(1 - finfo.minexp)
    magic = constant(vector, 1.5 * 2.0**mantissa)
    biased = constant(vector, bias)
    per_ln2 = constant(vector, 1 / math.log(2))
    high, low = (constant(vector, -part) for part in split_ln2(dtype))
    taylor = polynomial(vector, [1 / math.factorial(k) for k in range(taylor_degree(dtype), 1, -1)])
    nought, unit, two = (constant(vector, value) for value in (0.0, 1.0, 2.0))
    # Beyond these the results are exactly 0 (below the smallest normal number) and ±1.
    lowest_exponent = constant(vector, (finfo.minexp - 1) * math.log(2))
    flat_tanh = constant(vector, -(mantissa + 3) * math.log(2))

    @njit(**OPTIONS)
    def two_to(n):
        return low_bits_as_exponent(n + biased() + magic())

    @njit(**OPTIONS)
    def parts(y):
        """y <= 0 -> (2^n, e^r - 1)."""
        n = multiply_add(y, per_ln2(), magic()) - magic()
        r = multiply_add(n, low(), multiply_add(n, high(), y))
        return two_to(n), multiply_add(r * r, taylor(r), r)

    @njit(**OPTIONS)
    def sigmoid(x):
        y = -absolute(x)
        y = where_less(y, lowest_exponent(), lowest_exponent(), y)
        scale, p = parts(y)
        e = multiply_add(scale, p, scale)
        return where_less(x, nought(), e, unit()) / (e + unit())

    @njit(**OPTIONS)
    def tanh(x):
        y = absolute(x) * -two()
        y = where_less(y, flat_tanh(), flat_tanh(), y)
        scale, p = parts(y)
        q = multiply_add(scale, p, scale - unit())
        return copy_sign(q / (q + two()), x)

    @njit(**OPTIONS)
    def relu(x):
        return where_less(x, nought(), nought(), x)

    @njit(**OPTIONS)
    def d_sigmoid(s):
        return s * (unit() - s)

    @njit(**OPTIONS)
    def d_tanh(t):
        return unit() - t * t

    @njit(**OPTIONS)
    def d_relu(y):
        return where_less(nought(), y, unit(), nought())

    return Maths(sigmoid, tanh, relu, d_sigmoid, d_tanh, d_relu, zero=dtype.type(0), one=dtype.type(1))
