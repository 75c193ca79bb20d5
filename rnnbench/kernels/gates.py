"""Gate functions on vectors: tanh and sigmoid from one exponential, for float32 and float64.

e^y = 2^n e^r with n = round(y / ln 2) and the rest r = y - n ln 2, |r| <= ln(2)/2, and e^r = 1 + r + r² q(r). q is the
polynomial through the right values at the Chebyshev nodes of that interval, found in exact fractions, of the first
degree at which it adds less than an eighth of the dtype's spacing: both dtypes come from the same lines.

    sigmoid(x) = 1 / (1 + 2^n e^r)     of y = -x
    tanh(x)    = ±p / (p + 2)          of y = 2|x|, with p = e^y - 1 = 2^n (r + r² q) + (2^n - 1)

The first keeps its precision for very negative x, where the half-tanh form is 0; the second near 0.

Largest errors are stated, and checked over the whole range, in tests/test_gates.py.
"""

import math
from fractions import Fraction
from functools import cache

import numpy as np

from rnnbench.cells.maths import Maths
from rnnbench.kernels.vector import elementwise

ENOUGH_TERMS = 24  # of the series of e^r and of ln 2's 1 / (k 2^k): beyond float64's precision


def _q(r):
    """Return (e^r - 1 - r) / r², a Fraction of a Fraction."""
    term, total = Fraction(1, 2), Fraction(0)
    for k in range(3, ENOUGH_TERMS):
        total += term
        term *= r / k
    return total


def _rounded(value):
    """Return a Fraction near `value` that is quick to compute with."""
    return Fraction(round(value * 2**16), 2**16)


def _interpolate(nodes, values):
    """Return the coefficients, lowest power first, of the polynomial through (node, value): Newton's divided
    differences."""
    places, table = np.array(nodes), np.array(values)  # of objects: Fractions stay exact
    for step in range(1, len(places)):
        table[step:] = np.diff(table[step - 1 :]) / (places[step:] - places[:-step])
    coefficients = np.array([Fraction(0)])
    for node, top in zip(places[::-1], table[::-1], strict=True):
        coefficients = np.convolve(coefficients, [-node, 1])
        coefficients[0] += top
    return coefficients[:-1].tolist()


@cache
def exponential(dtype):
    """Return q's coefficients for a dtype, lowest power first, as floats."""
    bound, spacing = math.log(2) / 2, float(np.finfo(dtype).eps)
    tried = [_rounded(bound * t) for t in np.linspace(-1, 1, 21)]
    for count in range(4, 20):
        nodes = [_rounded(bound * math.cos(math.pi * (2 * i + 1) / (2 * count))) for i in range(count)]
        coefficients = _interpolate(nodes, [_q(r) for r in nodes])
        left_out = (abs(sum(c * r**k for k, c in enumerate(coefficients)) - _q(r)) * r * r for r in tried)
        if max(left_out) < spacing / 8:
            return tuple(map(float, coefficients))
    raise ArithmeticError(f"no polynomial of a reasonable degree serves {dtype}")


def split_ln2(dtype):
    """Return ln 2 as high + low, high short enough that n * high is exact for every exponent n."""
    ln2 = sum(Fraction(1, k * 2**k) for k in range(1, 200))
    kept = np.finfo(dtype).nmant - 12
    high = Fraction(round(ln2 * 2**kept), 2**kept)
    return float(high), float(ln2 - high)


def _range_reduction(dtype):
    """Return split(y) -> (2^n, r) of vectors, where 2^n is infinite one past the largest exponent."""
    finfo = np.finfo(dtype)
    # Adding 1.5 * 2^mantissa rounds to a whole number and leaves it in the low bits; with the exponent's bias added too
    # those bits are the biased exponent of 2^n, which a shift then puts in its place.
    magic = 1.5 * 2.0**finfo.nmant + 1 - finfo.minexp
    high, low = split_ln2(dtype)

    def split(y):
        shifted = y.times_plus(1 / math.log(2), magic)
        n = shifted - magic
        return shifted.bits_as_exponent(), n.times_plus(-low, n.times_plus(-high, y))

    return split


def vector_exp(dtype):
    """Return e^x of a vector of x <= 0, as a softmax needs it: 0 where the result would be subnormal."""
    split, q, smallest = _range_reduction(dtype), exponential(dtype), np.finfo(dtype).minexp * math.log(2)

    def exp(x):
        scale, r = split(x.at_least(smallest))
        return x.where_less(smallest, 0, scale * r.polynomial((1.0, 1.0, *q)))

    return elementwise(exp)


def vector_maths(dtype):
    """Return the namespace a cell's pair is built with to run on vectors of a NumPy dtype."""
    finfo, split, q = np.finfo(dtype), _range_reduction(dtype), exponential(dtype)
    # Beyond these e^y is infinite, 1 + e^y is 1, and tanh is 1.
    largest, nothing = (finfo.maxexp + 0.25) * math.log(2), -(finfo.nmant + 4) * math.log(2)
    flat_tanh = -nothing

    def sigmoid(x):
        scale, r = split((-x).at_most(largest).at_least(nothing))
        return 1 / scale.times_plus(r.polynomial((1.0, 1.0, *q)), 1)

    def tanh(x):
        scale, r = split((x.absolute() * 2).at_most(flat_tanh))
        p = scale.times_plus((r * r).times_plus(r.polynomial(q), r), scale - 1)
        return (p / (p + 2)).with_sign_of(x)

    def relu(x):
        return x.at_least(0)

    def d_sigmoid(s):
        return s * (1 - s)

    def d_tanh(t):
        return 1 - t * t

    def d_relu(y):
        return y.of(0).where_less(y, 1, 0)

    functions = (sigmoid, tanh, relu, d_sigmoid, d_tanh, d_relu)
    return Maths(*map(elementwise, functions), zero=dtype.type(0), one=dtype.type(1))
