"""OpenVINO against the float64 reference: every cell it has, stacks, directions, lengths, states, single steps."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from rnnbench_openvino import OpenVinoBackend

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
test_conformance = conformance_tests("openvino")

CELLS = pytest.mark.parametrize("cell", LAYOUTS)


def model_of(cell, **stack):
    return rnnbench.Model(cell, I, H, **stack)


def sessions(model):
    """(the session, the float64 reference) with the same random weights, no bias of them zero."""
    params = model.init(seed=3)
    wide = {name: value.astype("float64") for name, value in params.items()}
    session = OpenVinoBackend(threads=1).session(model, params)
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
    backend = OpenVinoBackend(threads=1)
    model = model_of("lstm", bidirectional=True)

    def reason(changed=model, **options):
        return backend.unsupported(rnnbench.Case(changed, 1, 1, **options))

    assert reason() is None
    assert reason(training=True) == "OpenVINO infers only"
    assert "whole sequence" in reason(streaming=True)
    assert "no operator for the cell ugrnn" in reason(replace(model, cell="ugrnn"))
    assert "in float32, not in float64" in reason(replace(model, dtype="float64"))
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
    session = OpenVinoBackend(threads=1).session(model, params)
    params["head.b"][:] = 9
    for name, value in model.init(0).items():
        np.testing.assert_array_equal(session.parameters()[name], value)


@CELLS
@pytest.mark.parametrize("bidirectional", [False, True])
def test_one_session_takes_any_lengths_and_shapes(cell, bidirectional):
    """With free dimensions OpenVINO 2026.4 gives final states of the last step, lengths or no: off by 0.3."""
    model = model_of(cell, bidirectional=bidirectional, readout="all")
    session, reference = sessions(model)
    rng = np.random.default_rng(0)
    for steps, rows in ((7, 4), (7, 4), (3, 4), (12, 1), (7, 2)):
        x = rng.standard_normal((steps, rows, I)).astype("float32")
        for lengths in (rng.integers(1, steps + 1, rows), None):
            y, final = session.forward(x, lengths)
            expected, expected_final = reference.forward(x, lengths)
            np.testing.assert_allclose(y, expected, rtol=0, atol=TOLERANCE)
            np.testing.assert_allclose(final[0], expected_final[0], rtol=0, atol=TOLERANCE)


def test_compiles_once_for_a_shape_and_says_how_long_it_took():
    backend = OpenVinoBackend(threads=1)
    model = model_of("lstm")
    session = backend.session(model, model.init(0))
    assert backend.compile_report().seconds == 0
    x, _ = arrays(model)
    session.forward(x)
    once = backend.compile_report().seconds
    session.forward(x)
    assert backend.compile_report().seconds == once > 0
    session.forward(x[:-1])
    assert backend.compile_report().seconds > once


@pytest.mark.parametrize("threads", [1, 2])
def test_computes_in_full_precision_with_the_threads_it_is_given(threads):
    """Of a process of its own: processor seconds say how many threads have worked, whatever the settings read."""
    code = f"""
import numpy as np, rnnbench
from time import perf_counter, process_time
from rnnbench_openvino import OpenVinoBackend
model = rnnbench.Model("lstm", 128, 256)
session = OpenVinoBackend({threads}).session(model, model.init(0))
x = np.zeros((50, 64, 128), "float32")
session.forward(x)
settings = session._request(50, 64, False, False).get_compiled_model()
assert settings.get_property("INFERENCE_NUM_THREADS") == {threads}
assert settings.get_property("INFERENCE_PRECISION_HINT").to_string() in ("f32", "float32")
wall, used = perf_counter(), process_time()
for _ in range(5):
    session.forward(x)
print((process_time() - used) / (perf_counter() - wall))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) <= threads + 0.1  # as the runner allows


def test_is_registered_without_importing_its_runtime():
    code = (
        "import sys, rnnbench_openvino as p; p.rnnbench_backends();"
        "print([n for n in ('onnx', 'openvino') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert registry().backend("openvino").missing() is None
