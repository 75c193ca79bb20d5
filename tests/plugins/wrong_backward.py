"""Cells whose `backward` is wrong by a share, and a backend that needs none: it differentiates `forward`."""

from dataclasses import replace

import numpy as np

from rnnbench import Accumulator, BackendInfo, Cell, Stage, hookimpl
from rnnbench.backends import inputs
from rnnbench.backends.numpy_reference import NumpyBackend, NumpySession, forward_model
from rnnbench.verify.gradient import STEP

WHAT = "The cell's backward is off by this share, and the one backend that is right differs from the reference"
ERRORS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 0.0)
CELLS = {f"off-by-{error:.0e}".replace("+", ""): error for error in ERRORS}


def pair_off_by(error):
    """The Elman network's, with a derivative of tanh that is off by this share."""

    def pair(m):
        tanh, d_tanh, zero = m.tanh, m.d_tanh, m.zero

        def forward(pre, prev):
            (h,) = pre
            h = tanh(h)
            return (h,), (h,)

        def backward(saved, prev, dstate):
            (h,) = saved
            (dh,) = dstate
            return (dh * d_tanh(h) * (1 + error),), (zero,)

        return forward, backward

    return pair


@hookimpl
def rnnbench_cells():
    return [
        Cell(
            id=name,
            title=f"Elman RNN, backward off by {error:.0e}",
            states=("h",),
            stages=(Stage((Accumulator("h"),), pair_off_by(error)),),
            source="made up",
        )
        for name, error in CELLS.items()
    ]


class AutogradSession(NumpySession):
    """Differentiates what `forward` computes, as a framework does: by the complex step, of squared errors."""

    def gradients(self, x, target, lengths=None, state=None):
        model = replace(self.model, dtype="float64")
        ready, lengths = inputs.sequence(model, np.asarray(x, np.float64), lengths)
        start = inputs.states(model, state, ready.shape[1])
        params = {name: value.astype(np.float64) for name, value in self._params.items()}

        def loss(changed):
            return np.mean((forward_model(model, changed, ready, lengths, start).prediction - target) ** 2)

        found = {name: np.zeros_like(value) for name, value in self._params.items()}
        for name, value in params.items():
            for place in np.ndindex(value.shape):
                moved = value.astype(np.complex128)
                moved[place] += 1j * STEP
                found[name][place] = loss(params | {name: moved}).imag / STEP
        return float(loss(params)), found


class Autograd(NumpyBackend):
    def session(self, model, params, loss="mse", optimiser=None):
        return AutogradSession(model, params, loss, optimiser)


@hookimpl
def rnnbench_backends():
    return [BackendInfo(id="autograd", title="autograd", factory="wrong_backward:Autograd")]
