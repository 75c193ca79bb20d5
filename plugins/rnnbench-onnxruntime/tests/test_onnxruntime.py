"""ONNX Runtime against the float64 reference: every cell it has, stacks, directions, lengths, states, single steps."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from rnnbench_onnxruntime import OnnxRuntimeBackend

import rnnbench
from rnnbench.plugins import registry
from rnnbench.testing import conformance_tests
from rnnbench.weights.onnx_layout import LAYOUTS

# Rounding of float32 sums of a few dozen terms, seen up to 4e-7; a swapped gate or a wrong bias gives 1e-2.
TOLERANCE = 2e-6
T, B, I, H = 7, 4, 3, 5
LENGTHS = np.array([7, 1, 3, 5])
STACKS = {
    "one layer": {"output_size": 2},
    "features only": {"bidirectional": True},
    "both directions, every step": {"output_size": 3, "layers": 2, "bidirectional": True, "readout": "all"},
    "three layers, every step": {"layers": 3, "readout": "all"},
}
test_conformance = conformance_tests("onnxruntime")

CELLS = pytest.mark.parametrize("cell", LAYOUTS)


def model_of(cell, **stack):
    return rnnbench.Model(cell, I, H, **stack)


def sessions(model):
    """(the session, the float64 reference) with the same random weights, no bias of them zero."""
    params = model.init(seed=3)
    wide = {name: value.astype("float64") for name, value in params.items()}
    session = OnnxRuntimeBackend(threads=1).session(model, params)
    return session, rnnbench.session("numpy", replace(model, dtype="float64"), wide)


def arrays(model, seed=0):
    """x [T, B, I] and initial states."""
    rng = np.random.default_rng(seed)
    shape = (model.layers * model.directions, B, H)
    state = tuple(rng.standard_normal(shape).astype("float32") for _ in model.spec.states)
    return rng.standard_normal((T, B, I)).astype("float32"), state


@CELLS
@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("started", [False, True])
def test_agrees_with_the_reference(cell, stack, ragged, started):
    model = model_of(cell, **stack)
    session, reference = sessions(model)
    x, state = arrays(model)
    if ragged:
        x[np.arange(T)[:, None] >= LENGTHS] = np.nan
    before = x.copy(), [s.copy() for s in state]
    given = (x, LENGTHS if ragged else None, state if started else None)
    y, final = session.forward(*given)
    expected, expected_final = reference.forward(*given)
    assert y.shape == expected.shape
    for value, wanted in zip((y, *final), (expected, *expected_final), strict=True):
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, wanted, rtol=0, atol=TOLERANCE)
    if ragged and model.readout == "all":
        assert not y[np.arange(T)[:, None] >= LENGTHS].any(), "y past a length is 0"
    np.testing.assert_array_equal(x, before[0])
    for value, kept in zip(state, before[1], strict=True):
        np.testing.assert_array_equal(value, kept)


@CELLS
@pytest.mark.parametrize("readout", ["last", "all"])
def test_steps_joined_are_the_sequence(cell, readout):
    model = model_of(cell, output_size=2, layers=2, readout=readout)
    session, _ = sessions(model)
    x, start = arrays(model)
    whole, final = session.forward(x, None, start)
    state, outputs = start, []
    for x_t in x:
        y_t, state = session.step(x_t, state)
        outputs.append(y_t.copy())
    found = np.stack(outputs) if readout == "all" else outputs[-1]
    np.testing.assert_allclose(found, whole, rtol=0, atol=TOLERANCE)
    for value, wanted in zip(state, final, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=0, atol=TOLERANCE)


def test_a_state_is_checked_unless_it_is_our_own():
    session, _ = sessions(model_of("gru"))
    x_t = np.zeros((B, I), "float32")
    _, state = session.step(x_t, None)
    session.step(x_t, state)
    with pytest.raises(rnnbench.UsageError, match="state h must be"):
        session.step(x_t, (state[0][:, :2],))


def test_outputs_stay_what_they_were():
    session, _ = sessions(model_of("lstm", readout="all"))
    x, _ = arrays(session.model)
    y, _ = session.forward(x)
    kept = y.copy()
    session.forward(x * 2)
    np.testing.assert_array_equal(y, kept)


def test_what_it_cannot_do_has_a_reason():
    backend = OnnxRuntimeBackend(threads=1)
    model = model_of("lstm", bidirectional=True)

    def reason(changed=model, **options):
        return backend.unsupported(rnnbench.Case(changed, 1, 1, **options))

    assert reason() is None
    assert reason(training=True) == "ONNX Runtime infers only"
    assert "whole sequence" in reason(streaming=True)
    assert "no operator for the cell ugrnn" in reason(replace(model, cell="ugrnn"))
    assert "no float64 kernel" in reason(replace(model, dtype="float64"))
    session = backend.session(model, model.init(0))
    with pytest.raises(rnnbench.Unsupported, match="infers only"):
        session.gradients(np.zeros((T, B, I)), np.zeros((B, 2 * H)))
    with pytest.raises(rnnbench.Unsupported, match="infers only"):
        session.train_step(np.zeros((T, B, I)), np.zeros((B, 2 * H)))
    with pytest.raises(rnnbench.Unsupported, match="whole sequence"):
        session.step(np.zeros((B, I)), None)
    with pytest.raises(rnnbench.Unsupported, match="no operator"):
        backend.session(replace(model, cell="mingru"), {})


def test_parameters_come_back_bit_for_bit():
    model = model_of("gru", output_size=2)
    params = model.init(0)
    session = OnnxRuntimeBackend(threads=1).session(model, params)
    params["head.b"][:] = 9
    for name, value in model.init(0).items():
        np.testing.assert_array_equal(session.parameters()[name], value)


@pytest.mark.parametrize("threads", [1, 2])
def test_starts_no_more_threads_than_it_may(threads):
    """Of a process of its own: the calling thread works too, so one less than `threads` is started."""
    code = f"""
import numpy as np, psutil, rnnbench, onnxruntime
from rnnbench_onnxruntime import OnnxRuntimeBackend
model = rnnbench.Model("lstm", 64, 64)
backend = OnnxRuntimeBackend({threads})
before = psutil.Process().num_threads()
session = backend.session(model, model.init(0))
session.forward(np.zeros((20, 32, 64), "float32"))
print(psutil.Process().num_threads() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == threads - 1


def test_is_registered_without_importing_its_runtime():
    code = (
        "import sys, rnnbench_onnxruntime as p; p.rnnbench_backends();"
        "print([n for n in ('onnx', 'onnxruntime') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert registry().backend("onnxruntime").missing() is None
