"""XLA against the float64 reference, over every registered cell and one that nobody registered."""

import subprocess
import sys

import numpy as np
import pytest
from rnnbench_jax.backend import JaxBackend

import rnnbench
from rnnbench import Accumulator, Adam, Cell, Model, Stage, UsageError
from rnnbench.registry import registry
from rnnbench.testing import conformance_tests, imported_by_listing
from rnnbench.verify.parity import GRADIENT_TOLERANCE, gradient_deviation

T, B, I, H = 7, 5, 4, 6
LENGTHS = np.array([1, 7, 3, 7, 4])

test_conformance = pytest.mark.slow(conformance_tests("jax"))  # it compiles some hundred programs


def peephole_pair(m):
    sigmoid, tanh = m.sigmoid, m.tanh

    def forward(pre, prev):
        f, n, p = pre
        _, c = prev
        f, n = sigmoid(f + p * c), tanh(n)
        c = n + f * (c - n)
        return (tanh(c), c), ()

    def backward(saved, prev, dstate):
        raise NotImplementedError("JAX differentiates `forward`")

    return forward, backward


PEEPHOLE = Cell(
    id="peephole",
    title="An accumulator that is its bias alone, one without R, and a forward that saves nothing",
    states=("h", "c"),
    stages=(Stage((Accumulator("f"), Accumulator("n", operand=None), Accumulator("p", False, None)), peephole_pair),),
    source="this test",
)


@pytest.fixture
def peephole(monkeypatch):
    monkeypatch.setitem(registry().cells, "peephole", PEEPHOLE)
    return Model("peephole", I, H, 2, 2, True, "all", "float64")


def random_params(model, seed=1):
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(-0.5, 0.5, shape).astype(model.dtype) for name, shape in model.parameter_shapes().items()}


def test_a_cell_of_another_plugin_needs_nothing_here(peephole):
    params = random_params(peephole)
    x = np.random.default_rng(0).standard_normal((T, B, I))
    x[np.arange(T)[:, None] >= LENGTHS] = np.nan
    found, final = JaxBackend(1).session(peephole, params).forward(x, LENGTHS)
    expected, wanted = rnnbench.session("numpy", peephole, params).forward(x, LENGTHS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(np.stack(final), np.stack(wanted), rtol=0, atol=1e-14)


def test_its_gradients_are_those_of_differences(peephole):
    """The oracle has no backward for it. A central difference is good to about its step squared."""
    params = random_params(peephole)
    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((T, B, I)), rng.standard_normal((T, B, 2))
    _, gradients = JaxBackend(1).session(peephole, params).gradients(x, target, LENGTHS)
    step = 1e-5
    for name, gradient in gradients.items():
        direction = rng.standard_normal(gradient.shape)
        ends = []
        for sign in (1, -1):
            moved = params | {name: params[name] + sign * step * direction}
            y, _ = rnnbench.session("numpy", peephole, moved).forward(x, LENGTHS)
            valid = np.arange(T)[:, None] < LENGTHS
            ends.append(np.mean((y - target)[valid] ** 2))
        slope = (ends[0] - ends[1]) / (2 * step)
        assert np.vdot(direction, gradient) == pytest.approx(slope, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("cell", sorted(registry().cells))
def test_classes_at_every_step_of_ragged_rows(cell):
    model = Model(cell, I, H, 4, 1, True, "all", "float64")
    rng, params = np.random.default_rng(0), random_params(model)
    x, target = rng.standard_normal((T, B, I)), rng.integers(0, 4, (T, B))
    x[np.arange(T)[:, None] >= LENGTHS] = np.nan
    target[np.arange(T)[:, None] >= LENGTHS] = -7
    loss, found = rnnbench.session("jax", model, params, loss="cross-entropy").gradients(x, target, LENGTHS)
    wanted, expected = rnnbench.session("numpy", model, params, loss="cross-entropy").gradients(x, target, LENGTHS)
    assert loss == pytest.approx(wanted, rel=1e-12)
    assert gradient_deviation(found, expected).error <= GRADIENT_TOLERANCE["float64"]


def test_the_parameters_given_are_not_those_trained():
    model = Model("lstm", I, H, 2)
    params = model.init(0)
    before = {name: value.copy() for name, value in params.items()}
    session = rnnbench.session("jax", model, params, optimiser=Adam(learning_rate=0.1))
    x, target = np.ones((T, B, I), np.float32), np.ones((B, 2), np.float32)
    y, _ = session.forward(x)
    session.train_step(x, target)
    for name, value in params.items():
        np.testing.assert_array_equal(value, before[name])
    assert np.abs(session.forward(x)[0] - y).max() > 0.01  # what was packed for inference has been renewed


def test_a_second_session_compiles_nothing():
    backend = JaxBackend(1)
    model = Model("ugrnn", 3, 11, 2)
    x, target = np.ones((9, 4, 3), np.float32), np.ones((4, 2), np.float32)

    def use():
        session = backend.session(model, model.init(0))
        session.forward(x)
        session.train_step(x, target)
        return backend.compile_report()

    start, first = backend.compile_report(), use()
    assert first.seconds > start.seconds
    assert first.cache == "cold"
    assert use().seconds == first.seconds


def test_threads_are_those_asked_for_and_stay():
    """In a process of its own: XLA starts its threads once. Each session starts where nothing is pinned."""
    script = """
from rnnbench.backends.pools import xla_threads
from rnnbench_jax.backend import JaxBackend
from rnnbench import UsageError
JaxBackend(2)
print(xla_threads())
JaxBackend(2)
try:
    JaxBackend(1)
except UsageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    threads, refusal = done.stdout.splitlines()
    if threads == "None":
        pytest.skip("this system does not tell a process's threads by name")
    assert threads == "2"
    assert refusal == "XLA has started 2 threads here, not 1; use a process of its own"


def test_no_threads_is_refused():
    with pytest.raises(UsageError, match="at least 1"):
        JaxBackend(0)


def test_listing_the_backend_does_not_import_jax():
    assert imported_by_listing("jax") == []
