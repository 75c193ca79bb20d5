"""Kernels take subnormal numbers for 0, and leave their caller's arithmetic as it was."""

import ctypes
import platform
from contextlib import suppress

import numpy as np
import pytest

import rnnbench
from rnnbench.backends.numba_cpu import partition
from rnnbench.errors import UsageError
from rnnbench.model import Model

T, B, I, H, O = 6, 4, 3, 40, 2
SUBNORMAL = {"float32": np.float32(1e-40), "float64": np.float64(1e-310)}


def mode() -> int:
    """How this thread computes: the control bits of its MXCSR, the last word of glibc's fenv_t. The others are sticky
    flags, which NumPy clears itself."""
    place = (ctypes.c_uint32 * 8)()
    ctypes.CDLL(None).fegetenv(place)
    return place[7] & ~0x3F


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or platform.machine() != "x86_64", reason="reads glibc's fenv_t")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numpy_computes_as_before_after_every_call(dtype, threads, monkeypatch):
    """Kernels take subnormal numbers for 0; whoever calls them has them still, after a refusal too."""
    monkeypatch.setattr(partition, "OPERATIONS_WORTH_A_THREAD", 1)
    model = Model("gru", I, H, O, dtype=dtype)
    one = rnnbench.session("numba", model, model.init(0), threads=threads, loss="cross-entropy")
    x, tiny = np.ones((T, B, I), dtype), SUBNORMAL[dtype]
    one.train_step(x, np.zeros(B, np.int64))
    for call in (
        lambda: one.forward(x),
        lambda: one.step(x[0], None),
        lambda: one.train_step(x, np.zeros(B, np.int64)),
        lambda: one.train_step(x, np.full(B, O)),
    ):
        before = mode()
        with suppress(UsageError):
            call()
        assert mode() == before
        assert tiny * x.dtype.type(0.5) > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_subnormal_numbers_are_zero_in_kernels_and_nothing_else_changes(dtype):
    tiny = np.full((T, B, I), SUBNORMAL[dtype])
    model = Model("lstm", I, H, dtype=dtype, readout="all")
    params = {name: np.zeros_like(v) if name.endswith("b") else v for name, v in model.init(0).items()}
    one = rnnbench.session("numba", model, params)
    assert not one.forward(tiny)[0].any()
    smallest = tiny / SUBNORMAL[dtype] * np.finfo(dtype).tiny * 2**30  # well within what has all digits
    y, wanted = (s.forward(smallest)[0] for s in (one, rnnbench.session("numpy", model, params)))
    np.testing.assert_allclose(y, wanted, rtol=1e-5)
    assert wanted.any()
