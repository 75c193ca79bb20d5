"""OpenVINO under the promises of every backend, and what is its own: shapes, precision, threads, a light start."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from rnnbench_openvino import OpenVinoBackend

import rnnbench
from rnnbench.machine.environment import usable_cores
from rnnbench.testing import conformance_tests, imported_by_listing
from rnnbench.weights.onnx_layout import LAYOUTS

# Rounding of float32 sums of a few dozen terms, seen up to 4e-7; a swapped gate or a wrong bias gives 1e-2.
TOLERANCE = 2e-6
I, H = 3, 5

test_conformance = conformance_tests("openvino")


def x_of(steps, rows, seed=0):
    return np.random.default_rng(seed).standard_normal((steps, rows, I)).astype("float32")


def test_is_listed_without_importing_its_runtime():
    assert imported_by_listing("openvino") == []


def test_outputs_stay_what_they_were():
    model = rnnbench.Model("lstm", I, H, readout="all")
    session = OpenVinoBackend(threads=1).session(model, model.init(0))
    x = x_of(7, 4)
    y, _ = session.forward(x)
    kept = y.copy()
    session.forward(x * 2)
    np.testing.assert_array_equal(y, kept)


@pytest.mark.parametrize("cell", LAYOUTS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_one_session_takes_any_lengths_and_shapes(cell, bidirectional):
    """With free dimensions OpenVINO 2026.4 gives final states of the last step, lengths or no: off by 0.3."""
    model = rnnbench.Model(cell, I, H, bidirectional=bidirectional, readout="all")
    params = model.init(seed=3)
    session = OpenVinoBackend(threads=1).session(model, params)
    reference = rnnbench.session("numpy", replace(model, dtype="float64"), params)
    rng = np.random.default_rng(0)
    for steps, rows in ((7, 4), (7, 4), (3, 4), (12, 1), (7, 2)):
        x = x_of(steps, rows)
        for lengths in (rng.integers(1, steps + 1, rows), None):
            y, final = session.forward(x, lengths)
            expected, expected_final = reference.forward(x, lengths)
            np.testing.assert_allclose(y, expected, rtol=0, atol=TOLERANCE)
            np.testing.assert_allclose(final[0], expected_final[0], rtol=0, atol=TOLERANCE)


def test_compiles_once_for_a_shape_and_says_how_long_it_took():
    backend = OpenVinoBackend(threads=1)
    model = rnnbench.Model("lstm", I, H)
    session = backend.session(model, model.init(0))
    assert backend.compile_report().seconds == 0
    x = x_of(7, 4)
    session.forward(x)
    once = backend.compile_report().seconds
    session.forward(x)
    assert backend.compile_report().seconds == once > 0
    session.forward(x[:-1])
    assert backend.compile_report().seconds > once


@pytest.mark.parametrize("threads", range(1, 1 + min(2, len(usable_cores()))))  # OpenVINO takes no more than there are
def test_computes_in_full_precision_with_the_threads_it_is_given(threads):
    """Of a process of its own: processor seconds say how many threads have worked, whatever the settings read."""
    code = f"""
import numpy as np, rnnbench
from time import perf_counter, process_time
from rnnbench_openvino import OpenVinoBackend
model = rnnbench.Model("lstm", 128, 256)
params = model.init(0)
backend = OpenVinoBackend({threads})
x = np.zeros((50, 64, 128), "float32")
settings = backend.request(model, params, (("x", x.shape),)).get_compiled_model()
assert settings.get_property("INFERENCE_NUM_THREADS") == {threads}
assert settings.get_property("INFERENCE_PRECISION_HINT").to_string() in ("f32", "float32")
session = backend.session(model, params)
session.forward(x)
wall, used = perf_counter(), process_time()
for _ in range(5):
    session.forward(x)
print((process_time() - used) / (perf_counter() - wall))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) <= threads + 0.1  # as the runner allows
