"""OpenVINO under the promises of every backend, and what is its own: shapes, precision, threads, a light start."""

import subprocess
import sys

import pytest
from rnnbench_openvino import OpenVinoBackend

import rnnbench
from rnnbench.machine.environment import usable_cores
from rnnbench.testing import conformance_tests, imported_by_listing
from rnnbench.testing.graph import GraphBackendTests, x_of

test_conformance = conformance_tests("openvino")


class TestOpenVino(GraphBackendTests):
    backend = OpenVinoBackend


def test_is_listed_without_importing_its_runtime():
    assert imported_by_listing("openvino") == []


def test_compiles_once_for_a_shape_and_says_how_long_it_took():
    backend = OpenVinoBackend(threads=1)
    model = rnnbench.Model("lstm", 3, 5)
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
