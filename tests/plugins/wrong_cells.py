"""Cells with the formulas of the RNN: one whose backward is wrong, and one that takes no complex numbers and is right.

`independent` is a backend that knows the RNN by itself, as other libraries do: it is right about both.
"""

from dataclasses import replace

import numpy as np

from rnnbench import BackendInfo, hookimpl
from rnnbench.backends.numpy_reference import NumpyBackend, NumpySession
from rnnbench.cells.rnn_tanh import RNN_TANH


def changed(name, change):
    (stage,) = RNN_TANH.stages
    return replace(RNN_TANH, id=name, stages=(replace(stage, pair=lambda m: change(*stage.pair(m))),))


def too_small(share):
    def change(forward, backward):
        def wrong(saved, prev, dstate):
            dpre, dprev = backward(saved, prev, dstate)
            return tuple((1 - share) * d for d in dpre), dprev

        return forward, wrong

    return change


def of_real_numbers(forward, backward):
    def real(pre, prev):
        out = tuple(np.empty(p.shape, prev[0].real.dtype) for p in pre)
        for own, p in zip(out, pre, strict=True):
            own[:] = p
        return forward(out, prev)

    return real, backward


def of_floats(forward, backward):
    def real(pre, prev):
        if any(np.iscomplexobj(p) for p in pre):
            raise TypeError("floats, please")
        return forward(pre, prev)

    return real, backward


def without_numbers(forward, backward):
    def wrong(saved, prev, dstate):
        dpre, dprev = backward(saved, prev, dstate)
        return tuple(np.nan * d for d in dpre), dprev

    return forward, wrong


class Independent(NumpyBackend):
    def session(self, model, params, loss="mse", optimiser=None):
        return NumpySession(replace(model, cell="rnn-tanh"), params, loss, optimiser)


@hookimpl
def rnnbench_cells():
    kinds = {
        "too-small": too_small(0.1),
        "a-little-too-small": too_small(1e-6),
        "real": of_real_numbers,
        "floats": of_floats,
        "nan-behind": without_numbers,
    }
    return [changed(name, change) for name, change in kinds.items()]


@hookimpl
def rnnbench_backends():
    return [BackendInfo(id="independent", title="Independent", factory="wrong_cells:Independent")]
