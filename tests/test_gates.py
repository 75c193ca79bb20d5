"""tanh and sigmoid of the kernels: their largest error, stated, over every exponent; and the exact cases."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from numba import njit

from rnnbench.kernels.gates import exponential, vector_exp, vector_maths
from rnnbench.kernels.pointers import offset, pointer, vectors
from rnnbench.kernels.target import OPTIONS, target
from rnnbench.kernels.vector import vector_type

# In units in the last place of the right result. Where they come from: the exponential's rounding, the sum in the
# denominator, and the division, each half a unit, and the sum's counts double just above a power of two.
LARGEST_ERROR = 2.5
GATES = ("sigmoid", "tanh")
# Every 9973rd float32, a prime: all exponents, signs and endings of the significand are met.
STRIDE = 9973


def gate(name, dtype):
    """The gate, or exp, as a function of a flat array."""
    kind = np.dtype(dtype)
    vector = vector_type(dtype, target().lanes(kind))
    load, store, _ = vectors(vector, 1)
    function = vector_exp(kind) if name == "exp" else getattr(vector_maths(kind), name)
    lanes = vector.lanes

    @njit(**OPTIONS)
    def apply(x, y):
        for i in range(0, x.size, lanes):
            store(offset(pointer(y), i), 0, (function(load(offset(pointer(x), i), 0)[0]),))

    def run(x):
        padded = np.zeros(-(-len(x) // lanes) * lanes, kind)
        padded[: len(x)] = x
        y = np.empty_like(padded)
        apply(padded, y)
        return y[: len(x)]

    return run


def in_double(name, x):
    with np.errstate(over="ignore"):
        if name == "tanh":
            return np.tanh(x)
        return np.where(x < 0, np.exp(x), 1) / (1 + np.exp(-np.abs(x)))


def sampled(stride):
    values = np.arange(0, 2**32, stride, dtype=np.uint64).astype(np.uint32).view(np.float32)
    return values[np.isfinite(values)]


def worst_float32(name, stride):
    x = sampled(stride)
    right = in_double(name, x.astype(np.float64))
    normal = np.abs(right) >= np.finfo(np.float32).tiny
    found = gate(name, "float32")(x)
    unit = np.spacing(np.abs(right[normal]).astype(np.float32)).astype(np.float64)
    below = np.abs(found[~normal] - right[~normal]).max(initial=0)
    assert below < np.finfo(np.float32).tiny, "subnormal results are flushed or rounded, not wrong"
    return float((np.abs(found[normal] - right[normal]) / unit).max())


@pytest.mark.parametrize("name", GATES)
def test_float32_error_over_all_exponents(name):
    assert 0.5 <= worst_float32(name, STRIDE) <= LARGEST_ERROR


@pytest.mark.slow
@pytest.mark.parametrize("name", GATES)
def test_float32_error_over_many_more(name):
    assert worst_float32(name, 13) <= LARGEST_ERROR


def exact(name, x):
    with localcontext() as context:
        context.prec = 60
        e = Decimal(-2 * abs(x) if name == "tanh" else -abs(x)).exp()
        if name == "tanh":
            return (1 - e) / (1 + e) * (1 if x >= 0 else -1)
        return (e if x < 0 else 1) / (1 + e)


@pytest.mark.parametrize("name", GATES)
def test_float64_error(name):
    rng = np.random.default_rng(0)
    small = rng.choice([-1, 1], 500) * 10.0 ** rng.uniform(-20, 0, 500)
    x = np.concatenate([rng.uniform(-6, 6, 1500), rng.uniform(-700, 700, 500), small])
    worst = 0.0
    for value, found in zip(x, gate(name, "float64")(x), strict=True):
        right = exact(name, float(value))
        unit = Decimal(float(np.spacing(abs(float(right)))))
        worst = max(worst, float(abs(Decimal(float(found)) - right) / unit))
    assert 0.5 <= worst <= LARGEST_ERROR


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values(dtype):
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e30, 1e-40, -1e-40], dtype)
    tanh, sigmoid = gate("tanh", dtype)(x), gate("sigmoid", dtype)(x)
    np.testing.assert_array_equal(tanh, np.array([0, -0.0, 1, -1, np.nan, 1, -1, x[7], x[8]], dtype))
    np.testing.assert_array_equal(np.signbit(tanh[:2]), [False, True])
    np.testing.assert_array_equal(sigmoid, np.array([0.5, 0.5, 1, 0, np.nan, 1, 0, 0.5, 0.5], dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sigmoid_keeps_small_results(dtype):
    """The half-tanh form gives 0 here."""
    x = np.array([-20.0, -60.0, -86.0], dtype)
    np.testing.assert_allclose(gate("sigmoid", dtype)(x), np.exp(x.astype(np.float64)), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("dtype", "smallest"), [("float32", -87.33), ("float64", -708.39)])
def test_exp_of_what_a_softmax_gives_it(dtype, smallest):
    """Down to the smallest normal result; half a unit each from the polynomial's rounding and the last product."""
    rng = np.random.default_rng(0)
    x = np.concatenate([-rng.uniform(0, -smallest, 20_000), -(10.0 ** rng.uniform(-20, 0, 2_000))]).astype(dtype)
    right = np.exp(x.astype(np.longdouble))
    unit = np.spacing(right.astype(dtype))
    assert 0.5 <= float((np.abs(gate("exp", dtype)(x) - right) / unit).max()) <= 1.5
    special = np.array([0.0, -0.0, -np.inf, np.nan, -1e30, -1e-40], dtype)
    np.testing.assert_array_equal(gate("exp", dtype)(special), np.array([1, 1, 0, np.nan, 0, 1], dtype))


def test_relu_passes_nan_and_its_derivative_is_a_step():
    x = np.array([-1.0, 0.0, 2.0, np.nan], np.float32)
    np.testing.assert_array_equal(gate("relu", "float32")(x), [0, 0, 2, np.nan])
    np.testing.assert_array_equal(gate("d_relu", "float32")(x[:3]), [0, 0, 1])


def test_the_polynomial_is_what_it_says():
    """1 + r + r² q(r) against e^r, over the interval that q was fitted on."""
    for dtype in ("float32", "float64"):
        q = [Decimal(c) for c in exponential(np.dtype(dtype))]
        bound = Decimal(2).ln() / 2
        for i in (*range(-50, 0), *range(1, 51)):
            r = bound * i / 50
            found = 1 + r + r * r * sum(c * r**k for k, c in enumerate(q))
            assert abs(found - r.exp()) < Decimal(float(np.finfo(dtype).eps)) / 8
    assert len(exponential(np.dtype("float32"))) == 5, "one more would cost time, one less precision"
