"""torch.nn against the float64 reference: what one call gives, what training does, and weights both ways."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from rnnbench_torch import LAYERS
from rnnbench_torch.backend import TorchBackend
from rnnbench_torch.weights import from_state_dict, to_state_dict

import rnnbench
from rnnbench import Adam, Case, Model, Unsupported, UsageError
from rnnbench.backends.inputs import sequence
from rnnbench.testing import conformance_tests, imported_by_listing
from rnnbench.training import DEFAULT_ADAM
from rnnbench.verify.parity import FORWARD_TOLERANCE, GRADIENT_TOLERANCE, deviation, gradient_deviation

T, B, I, H = 7, 5, 4, 6
LENGTHS = np.array([1, 7, 3, 7, 4])
CELLS = pytest.mark.parametrize("cell", LAYERS)
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])

test_conformance = conformance_tests("torch")

# layers, bidirectional, readout, head, lengths, loss
SHAPES = {
    "plain": (1, False, "last", 3, None, "mse"),
    "no head": (2, False, "all", None, None, "mse"),
    "ragged": (2, True, "last", 3, LENGTHS, "mse"),
    "ragged, every step": (2, True, "all", 3, LENGTHS, "mse"),
    "classes": (1, True, "all", 4, LENGTHS, "cross-entropy"),
}


def reference(model, params, loss="mse", optimiser=DEFAULT_ADAM):
    wide = Model(**{**model.as_dict(), "dtype": "float64"})
    exact = {name: value.astype("float64") for name, value in params.items()}
    return rnnbench.session("numpy", wide, exact, loss=loss, optimiser=optimiser)


def random_params(model, seed=1):
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(-0.5, 0.5, shape).astype(model.dtype) for name, shape in model.parameter_shapes().items()}


def drawn(model, loss, lengths, seed=0):
    """x, target and initial state; NaN past the lengths."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((T, B, model.input_size)).astype(model.dtype)
    steps = (T, B) if model.readout == "all" else (B,)
    outputs = model.output_size or model.features
    target = rng.standard_normal((*steps, outputs)) if loss == "mse" else rng.integers(0, outputs, steps)
    shape = (model.layers * model.directions, B, H)
    state = tuple(rng.uniform(-1, 1, shape).astype(model.dtype) for _ in model.spec.states)
    if lengths is not None:
        past = np.arange(T)[:, None] >= lengths
        x[past] = np.nan
        if model.readout == "all":
            target[past] = np.nan if loss == "mse" else -1
    return x, target, state


@CELLS
@DTYPES
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_outputs_states_and_gradients_are_the_reference_s(cell, dtype, shape):
    layers, bidirectional, readout, head, lengths, loss = shape
    model = Model(cell, I, H, head, layers, bidirectional, readout, dtype)
    params = random_params(model)
    x, target, state = drawn(model, loss, lengths)
    untouched = x.copy()
    session, oracle = rnnbench.session("torch", model, params, loss=loss), reference(model, params, loss)

    y, final = session.forward(x, lengths, state)
    wanted, wanted_final = oracle.forward(x, lengths, state)
    found = {"y": y} | {f"state {n}": s for n, s in enumerate(final)}
    assert {value.dtype for value in found.values()} == {np.dtype(dtype)}
    expected = {"y": wanted} | {f"state {n}": s for n, s in enumerate(wanted_final)}
    assert deviation(found, expected).error <= FORWARD_TOLERANCE[dtype]

    value, gradients = session.gradients(x, target, lengths, state)
    wanted_value, wanted_gradients = oracle.gradients(x, target, lengths, state)
    assert value == pytest.approx(wanted_value, rel=GRADIENT_TOLERANCE[dtype])
    assert gradient_deviation(gradients, wanted_gradients).error <= GRADIENT_TOLERANCE[dtype]
    np.testing.assert_array_equal(x, untouched)


@CELLS
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-3), ("float64", 1e-9)])
def test_twenty_steps_follow_the_reference(cell, dtype, tolerance):
    """Clipping is on and binds, so a second bias that is not masked before it shows."""
    model = Model(cell, I, H, 3, 2, True, "all", dtype)
    params, settings = random_params(model), Adam(learning_rate=1e-2, clip_norm=0.05)
    x, target, _ = drawn(model, "mse", LENGTHS)
    session = rnnbench.session("torch", model, params, optimiser=settings)
    oracle = reference(model, params, optimiser=settings)
    losses = [session.train_step(x, target, LENGTHS) for _ in range(20)]
    wanted = [oracle.train_step(x, target, LENGTHS) for _ in range(20)]
    np.testing.assert_allclose(losses, wanted, rtol=tolerance)
    assert losses[-1] < losses[0]
    assert deviation(session.parameters(), oracle.parameters()).error <= tolerance


@CELLS
@pytest.mark.parametrize("readout", ["last", "all"])
def test_steps_joined_are_the_sequence(cell, readout):
    model = Model(cell, I, H, 3, 2, readout=readout)
    x, _, _ = drawn(model, "mse", None)
    session = rnnbench.session("torch", model, random_params(model))
    whole, final = session.forward(x)
    state, outputs = None, []
    for x_t in x:
        y, state = session.step(x_t, state)
        outputs.append(y)
    joined = np.stack(outputs) if readout == "all" else outputs[-1]
    np.testing.assert_allclose(joined, whole, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.stack(state), np.stack(final), rtol=0, atol=1e-6)


def test_a_read_only_input_is_taken():
    model = Model("lstm", I, H, 2)
    x, _, _ = drawn(model, "mse", None)
    session = rnnbench.session("torch", model, model.init(0))
    expected, _ = session.forward(x)
    x.flags.writeable = False
    np.testing.assert_array_equal(session.forward(x)[0], expected)


def test_an_input_that_fits_is_shared_not_copied():
    from rnnbench_torch.backend import _tensor

    x = np.zeros((T, B, I), np.float32)
    assert _tensor(sequence(Model("lstm", I, H), x)[0]).data_ptr() == x.ctypes.data


@pytest.mark.parametrize("cell", ["gru-before", "ugrnn", "mingru"])
def test_a_cell_that_torch_has_not_is_refused_with_the_reason(cell):
    model, backend = Model(cell, I, H), TorchBackend(1)
    reason = backend.unsupported(Case(model, B, T))
    assert reason.startswith(("nn.GRU resets", "torch.nn has no layer"))
    with pytest.raises(Unsupported, match="has no"):
        backend.session(model, model.init(0))


def test_one_thread_is_one_thread():
    """In a process of its own, which nobody has pinned: seconds of processor per second, over products that torch
    would share out."""
    script = """
import time, numpy as np, rnnbench
model = rnnbench.Model("lstm", 64, 256)
session = rnnbench.session("torch", model, model.init(0), threads=1)
x = np.zeros((20, 256, 64), np.float32)
session.forward(x)
wall, busy = time.perf_counter(), time.process_time()
while time.perf_counter() < wall + 1:
    session.forward(x)
import torch
print((time.process_time() - busy) / (time.perf_counter() - wall), torch.get_num_threads())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    cores, threads = (float(word) for word in done.stdout.split())
    assert threads == 1
    assert cores < 1.1


def test_no_threads_is_refused():
    with pytest.raises(UsageError, match="at least 1"):
        TorchBackend(0)


def test_listing_the_backend_does_not_import_torch():
    assert imported_by_listing("torch") == []


# ---- weights ---------------------------------------------------------------------------------------------------------


def bits(params):
    return {name: value.tobytes() for name, value in params.items()}


@CELLS
@DTYPES
def test_weights_there_and_back_are_the_same_bits(cell, dtype):
    model = Model(cell, I, H, 3, 2, True, dtype=dtype)
    params = random_params(model)
    params["layers.0.forward.b"][0] = -0.0
    assert bits(from_state_dict(model, to_state_dict(model, params))) == bits(params)


@pytest.mark.parametrize("layer", [torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN])
def test_a_layer_of_torch_s_own_computes_the_same_here(layer):
    """Both of its biases are random, so a bias on the wrong side of the reset gate shows."""
    theirs = layer(I, H, 2, bidirectional=True, dtype=torch.float64)
    cell = {"LSTM": "lstm", "GRU": "gru", "RNN": "rnn-tanh"}[layer.__name__]
    model = Model(cell, I, H, None, 2, True, "all", "float64")
    named = {f"encoder.{name}": value for name, value in theirs.state_dict().items()}
    params = from_state_dict(model, named, recurrent="encoder.")
    x = np.random.default_rng(0).standard_normal((T, B, I))
    with torch.no_grad():
        expected, _ = theirs(torch.from_numpy(x))
    found, _ = rnnbench.session("numpy", model, params).forward(x)
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-12)


def test_a_layer_without_biases_has_biases_of_zero():
    theirs = torch.nn.GRU(I, H, bias=False)
    params = from_state_dict(Model("gru", I, H), theirs.state_dict())
    assert not params["layers.0.forward.b"].any()


@pytest.mark.parametrize(
    ("theirs", "says"),
    [
        (torch.nn.LSTM(I, H, 2), "'bias_hh_l1' has no place in this model"),
        (torch.nn.LSTM(I, H, proj_size=2), "'weight_hr_l0' has no place in this model"),
        (torch.nn.LSTM(I + 1, H), r"'weight_ih_l0' must be \(24, 4\) for this model; got \(24, 5\)"),
        (torch.nn.Linear(I, H), "the state_dict has no 'weight_ih_l0'; it holds bias, weight"),
    ],
    ids=["more layers", "projection", "size", "another module"],
)
def test_another_model_s_weights_are_refused_by_name(theirs, says):
    with pytest.raises(UsageError, match=says):
        from_state_dict(Model("lstm", I, H), theirs.state_dict())
