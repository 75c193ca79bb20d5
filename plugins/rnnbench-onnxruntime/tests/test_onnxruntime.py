"""ONNX Runtime under the promises of every backend, and what is its own: reasons, threads, a light start."""

import subprocess
import sys
from dataclasses import replace

import pytest
from rnnbench_onnxruntime import OnnxRuntimeBackend

import rnnbench
from rnnbench.plugins import registry
from rnnbench.testing import conformance_tests

MODEL = rnnbench.Model("lstm", 3, 5, bidirectional=True)

test_conformance = conformance_tests("onnxruntime")


def test_what_it_cannot_do_has_a_reason():
    backend = OnnxRuntimeBackend(threads=1)

    def reason(changed=MODEL, **options):
        return backend.unsupported(rnnbench.Case(changed, 1, 1, **options))

    assert reason() is None
    assert reason(training=True) == "ONNX Runtime infers only"
    assert "whole sequence" in reason(streaming=True)
    assert "no operator for the cell ugrnn" in reason(replace(MODEL, cell="ugrnn"))
    assert "no float64 kernel" in reason(replace(MODEL, dtype="float64"))
    with pytest.raises(rnnbench.Unsupported, match="no operator"):
        backend.session(replace(MODEL, cell="mingru"), {})


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
