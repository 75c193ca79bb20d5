"""Keras's layers against the float64 reference, on the framework that is set, and weights both ways.

Run once per framework: ``KERAS_BACKEND=jax pytest`` and ``KERAS_BACKEND=torch pytest``.
"""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from rnnbench_keras import LAYERS, framework
from rnnbench_keras.backend import KerasBackend
from rnnbench_keras.weights import from_weights_list, to_weights_list

import rnnbench
from rnnbench import Adam, Case, Model, Unsupported, UsageError
from rnnbench.testing import conformance_tests, imported_by_listing
from rnnbench.verify.parity import FORWARD_TOLERANCE, GRADIENT_TOLERANCE, deviation, gradient_deviation

T, B, I, H = 6, 5, 4, 6
LENGTHS = np.array([1, 6, 3, 6, 4])
CELLS = pytest.mark.parametrize("cell", LAYERS)

test_conformance = pytest.mark.slow(conformance_tests("keras"))  # on JAX it compiles some hundred programs


def random_params(model, seed=1):
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(-0.5, 0.5, shape).astype(model.dtype) for name, shape in model.parameter_shapes().items()}


def reference(model, params, **options):
    exact = {name: value.astype("float64") for name, value in params.items()}
    return rnnbench.session("numpy", replace(model, dtype="float64"), exact, **options)


@CELLS
@pytest.mark.parametrize("loss", ["mse", "cross-entropy"])
def test_ragged_rows_both_ways_are_the_reference_s(cell, loss):
    dtype = "float32"
    model = Model(cell, I, H, 3, 2, True, "all", dtype)
    params, rng = random_params(model), np.random.default_rng(0)
    x = rng.standard_normal((T, B, I)).astype(dtype)
    state = tuple(rng.uniform(-1, 1, (4, B, H)).astype(dtype) for _ in model.spec.states)
    target = rng.standard_normal((T, B, 3)) if loss == "mse" else rng.integers(0, 3, (T, B))
    past = np.arange(T)[:, None] >= LENGTHS
    x[past], target[past] = np.nan, (np.nan if loss == "mse" else -7)
    session, oracle = rnnbench.session("keras", model, params, loss=loss), reference(model, params, loss=loss)

    y, final = session.forward(x, LENGTHS, state)
    wanted, wanted_final = oracle.forward(x, LENGTHS, state)
    found = {"y": y} | {f"state {n}": s for n, s in enumerate(final)}
    expected = {"y": wanted} | {f"state {n}": s for n, s in enumerate(wanted_final)}
    assert {value.dtype for value in found.values()} == {np.dtype(dtype)}
    assert deviation(found, expected).error <= FORWARD_TOLERANCE[dtype]

    value, gradients = session.gradients(x, target, LENGTHS, state)
    wanted_value, wanted_gradients = oracle.gradients(x, target, LENGTHS, state)
    assert value == pytest.approx(wanted_value, rel=GRADIENT_TOLERANCE[dtype])
    assert gradient_deviation(gradients, wanted_gradients).error <= GRADIENT_TOLERANCE[dtype]


@CELLS
def test_twenty_steps_follow_the_reference(cell):
    """Clipping is on and binds, so a second bias that is not masked before it shows."""
    model = Model(cell, I, H, 3)
    params, settings = random_params(model), Adam(learning_rate=1e-2, clip_norm=0.05)
    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((T, B, I)).astype(np.float32), rng.standard_normal((B, 3))
    session = rnnbench.session("keras", model, params, optimiser=settings)
    oracle = reference(model, params, optimiser=settings)
    losses = [session.train_step(x, target) for _ in range(20)]
    wanted = [oracle.train_step(x, target) for _ in range(20)]
    np.testing.assert_allclose(losses, wanted, rtol=1e-3)
    assert losses[-1] < losses[0]
    assert deviation(session.parameters(), oracle.parameters()).error <= 1e-3


def test_float64_is_refused_with_the_reason():
    model, backend = Model("gru", I, H, dtype="float64"), KerasBackend(1)
    assert "rounds products of float64" in backend.unsupported(Case(model, B, T))
    with pytest.raises(Unsupported, match="rounds products of float64"):
        backend.session(model, model.init(0))


@CELLS
def test_steps_joined_are_the_sequence(cell):
    model = Model(cell, I, H, 3, 2, readout="all")
    x = np.random.default_rng(0).standard_normal((T, B, I)).astype(np.float32)
    session = rnnbench.session("keras", model, random_params(model))
    whole, final = session.forward(x)
    state, outputs = None, []
    for x_t in x:
        y, state = session.step(x_t, state)
        outputs.append(y)
    np.testing.assert_allclose(np.stack(outputs), whole, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.stack(state), np.stack(final), rtol=0, atol=1e-6)


@pytest.mark.parametrize("cell", ["ugrnn", "mingru"])
def test_a_cell_that_keras_has_not_is_refused_with_the_reason(cell):
    model, backend = Model(cell, I, H), KerasBackend(1)
    assert backend.unsupported(Case(model, B, T)) == f"Keras has no layer that computes {cell}"
    with pytest.raises(Unsupported, match="Keras has no layer"):
        backend.session(model, model.init(0))


def test_the_version_names_the_framework():
    assert f" on {framework()} " in KerasBackend(1).version


def test_no_threads_is_refused():
    with pytest.raises(UsageError, match="at least 1"):
        KerasBackend(0)


def run(script, **environment):
    import os

    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, **environment}
    )


def test_a_framework_that_is_not_driven_is_one_clear_line():
    done = run("import rnnbench_keras.backend", KERAS_BACKEND="numpy")
    assert done.stderr.splitlines()[-1].endswith("does not drive; set KERAS_BACKEND to jax or torch")


def test_listing_the_backend_does_not_import_keras():
    assert imported_by_listing("keras") == []


# ---- weights ---------------------------------------------------------------------------------------------------------


@CELLS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_there_and_back_are_the_same_bits(cell, dtype):
    model = Model(cell, I, H, 3, 2, True, dtype=dtype)
    params = random_params(model)
    params["layers.0.forward.b"][0] = -0.0
    back = from_weights_list(model, to_weights_list(model, params))
    assert {n: v.tobytes() for n, v in back.items()} == {n: v.tobytes() for n, v in params.items()}


@CELLS
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's way of reading a tensor
def test_a_model_of_keras_s_own_computes_the_same_here(cell):
    """All of its biases are random, so one on the wrong side of the reset gate shows."""
    import keras

    name, options = LAYERS[cell]

    def layer():
        return getattr(keras.layers, name)(H, return_sequences=True, **options)

    theirs = keras.Sequential([keras.Input((T, I)), keras.layers.Bidirectional(layer()), keras.layers.Dense(3)])
    rng = np.random.default_rng(0)
    weights = [rng.uniform(-1, 1, variable.shape).astype("float32") for variable in theirs.weights]
    for variable, value in zip(theirs.weights, weights, strict=True):
        variable.assign(value)
    model = Model(cell, I, H, 3, 1, True, "all")
    x = rng.standard_normal((T, B, I)).astype("float32")
    expected = keras.ops.convert_to_numpy(theirs(x.swapaxes(0, 1)))
    found, _ = rnnbench.session("numpy", model, from_weights_list(model, weights)).forward(x)
    np.testing.assert_allclose(found, expected.swapaxes(0, 1), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        ([(I, 4 * H), (H, 4 * H)], "this model has 3 arrays in Keras, biases among them; got 2"),
        ([(I, 4 * H), (H, 4 * H), (H,)], r"array 2 must be \(24,\) for this model; got \(6,\)"),
    ],
    ids=["no bias", "another shape"],
)
def test_another_model_s_weights_are_refused(shapes, says):
    with pytest.raises(UsageError, match=says):
        from_weights_list(Model("lstm", I, H), [np.zeros(shape) for shape in shapes])
