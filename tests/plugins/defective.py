"""Backends for the tests of the conformance suite: an honest one, and one for each promise to break.

Each wraps a NumPy session that is right, and is wrong in one place.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np

from rnnbench import BackendInfo, hookimpl
from rnnbench.backends.numpy_reference import NumpyBackend, NumpySession
from rnnbench.training import AdamState


class Honest:
    """Passes everything on."""

    def __init__(self, model, params, loss, optimiser):
        self.model, self.optimiser = model, optimiser
        self.inner = NumpySession(model, params, loss, optimiser)

    def forward(self, x, lengths=None, state=None):
        return self.inner.forward(x, lengths, state)

    def step(self, x_t, state):
        return self.inner.step(x_t, state)

    def gradients(self, x, target, lengths=None, state=None):
        return self.inner.gradients(x, target, lengths, state)

    def train_step(self, x, target, lengths=None):
        return self.inner.train_step(x, target, lengths)

    def parameters(self):
        return self.inner.parameters()


def swapped(params):
    """The LSTM's input and forget gates in each other's place."""
    return {
        name: value if name.startswith("head.") else np.ascontiguousarray(value[[1, 0, 2, 3]])
        for name, value in params.items()
    }


class GateOrder(Honest):
    def __init__(self, model, params, loss, optimiser):
        super().__init__(model, swapped(params), loss, optimiser)

    def parameters(self):
        return swapped(super().parameters())


class WritesToInput(Honest):
    def forward(self, x, lengths=None, state=None):
        result = super().forward(x, lengths, state)
        x *= 2
        return result


class WritesToWeights(Honest):
    def __init__(self, model, params, loss, optimiser):
        super().__init__(model, params, loss, optimiser)
        self.given = params

    def train_step(self, x, target, lengths=None):
        loss = super().train_step(x, target, lengths)
        for name, value in super().parameters().items():
            self.given[name][:] = value
        return loss


class Caches(Honest):
    def forward(self, x, lengths=None, state=None):
        if getattr(self, "cached_x", None) is not x:
            self.cached_x, self.cached = x, super().forward(x, lengths, state)
        return self.cached


class IgnoresLengths(Honest):
    def forward(self, x, lengths=None, state=None):
        return super().forward(np.nan_to_num(x), None, state)


class LeavesPadding(Honest):
    def forward(self, x, lengths=None, state=None):
        y, final = super().forward(x, lengths, state)
        if lengths is not None and self.model.readout == "all":
            y[np.arange(len(y))[:, None] >= lengths] = 0.1
        return y, final


class PoisonedGradients(Honest):
    def gradients(self, x, target, lengths=None, state=None):
        loss, found = super().gradients(x, target, lengths, state)
        return loss, {name: value + value.dtype.type(x.sum() * 0) for name, value in found.items()}


class IgnoresState(Honest):
    def forward(self, x, lengths=None, state=None):
        return super().forward(x, lengths, None)


class StateOrder(Honest):
    def forward(self, x, lengths=None, state=None):
        y, final = super().forward(x, lengths, state)
        return y, final[::-1]


class Noisy(Honest):
    def forward(self, x, lengths=None, state=None):
        y, final = super().forward(x, lengths, state)
        if lengths is not None:
            return y, final
        return y + np.float32(1e-7) * np.random.default_rng().standard_normal(y.shape).astype(y.dtype), final


class HalfGradients(Honest):
    def gradients(self, x, target, lengths=None, state=None):
        loss, found = super().gradients(x, target, lengths, state)
        return loss, {name: value / 2 if name == "head.b" else value for name, value in found.items()}


class NeverLearns(Honest):
    def train_step(self, x, target, lengths=None):
        return self.gradients(x, target, lengths)[0]


class EpsilonWithinRoot(AdamState):
    """θ ← θ − lr · m̂ / √(v̂ + ε²), as in some early code."""

    def update(self, params, gradients):
        before = {name: value.copy() for name, value in params.items()}
        super().update(params, gradients)
        rate, spread = self.settings.scales(self.steps)
        for name, value in params.items():
            root = np.sqrt(spread * self.square[name] + self.settings.epsilon**2)
            value[:] = before[name] - rate * self.mean[name] / root


class OtherAdam(Honest):
    def __init__(self, model, params, loss, optimiser):
        super().__init__(model, params, loss, optimiser)
        self.inner._adam = EpsilonWithinRoot(optimiser, params)


class StaleParameters(Honest):
    def __init__(self, model, params, loss, optimiser):
        super().__init__(model, params, loss, optimiser)
        self.first = self.inner.parameters()

    def parameters(self):
        return {name: value.copy() for name, value in self.first.items()}


class SharesParameters(Honest):
    def parameters(self):
        return self.inner._params


class StepOff(Honest):
    def step(self, x_t, state):
        y, after = super().step(x_t, state)
        return y, tuple(value * np.float32(0.99) for value in after)


class Greedy(Honest):
    @cached_property
    def pool(self):
        return ThreadPoolExecutor(3)

    def forward(self, x, lengths=None, state=None):
        matrix = np.ones((300, 300), "float32")
        waiting = [self.pool.submit(np.matmul, matrix, matrix) for _ in range(3)]
        result = super().forward(x, lengths, state)
        for one in waiting:
            one.result()
        return result


class WideResult(Honest):
    def forward(self, x, lengths=None, state=None):
        y, final = super().forward(x, lengths, state)
        return y.astype("float64"), final


class DiesOfLengths(Honest):
    def forward(self, x, lengths=None, state=None):
        if lengths is not None:
            os._exit(3)
        return super().forward(x, lengths, state)


class MuddlesCallers(Honest):
    def forward(self, x, lengths=None, state=None):
        self.x = x
        time.sleep(0.001)
        return super().forward(self.x, lengths, state)


class TakesAnything(Honest):
    def forward(self, x, lengths=None, state=None):
        return super().forward(x.real if x.dtype.kind == "c" else x, lengths, state)


class CountsRefusedSteps(Honest):
    def train_step(self, x, target, lengths=None):
        try:
            return super().train_step(x, target, lengths)
        except ValueError:
            self.inner._adam.steps += 1
            raise


class StepsAnyway(Honest):
    def step(self, x_t, state):
        return super().forward(x_t[None], None, state) if self.model.bidirectional else super().step(x_t, state)


def backend(session_class, unsupported=None):
    """A factory of backends whose sessions are of this class."""

    class Made(NumpyBackend):
        def session(self, model, params, loss="mse", optimiser=None):
            return session_class(model, params, loss, optimiser)

    if unsupported:
        Made.unsupported = unsupported
    return Made


def speechless(self, case):
    return "" if case.streaming and case.model.bidirectional else None


def unwilling(self, case):
    return "not today"


FACTORIES = {
    "honest": backend(Honest),
    "gate-order": backend(GateOrder),
    "writes-to-input": backend(WritesToInput),
    "writes-to-weights": backend(WritesToWeights),
    "caches": backend(Caches),
    "ignores-lengths": backend(IgnoresLengths),
    "leaves-padding": backend(LeavesPadding),
    "poisoned-gradients": backend(PoisonedGradients),
    "ignores-state": backend(IgnoresState),
    "state-order": backend(StateOrder),
    "noisy": backend(Noisy),
    "half-gradients": backend(HalfGradients),
    "never-learns": backend(NeverLearns),
    "other-adam": backend(OtherAdam),
    "stale-parameters": backend(StaleParameters),
    "shares-parameters": backend(SharesParameters),
    "step-off": backend(StepOff),
    "greedy": backend(Greedy),
    "wide-result": backend(WideResult),
    "dies-of-lengths": backend(DiesOfLengths),
    "steps-anyway": backend(StepsAnyway),
    "muddles-callers": backend(MuddlesCallers),
    "takes-anything": backend(TakesAnything),
    "counts-refused-steps": backend(CountsRefusedSteps),
    "speechless": backend(Honest, speechless),
    "unwilling": backend(Honest, unwilling),
}
globals().update({f"make_{name.replace('-', '_')}": factory for name, factory in FACTORIES.items()})


@hookimpl
def rnnbench_backends():
    return [
        BackendInfo(
            id=name,
            title=name,
            factory=f"defective:make_{name.replace('-', '_')}",
            cells=("lstm", "gru") if name == "honest" else ("lstm",),
            dtypes=("float32",),
        )
        for name in FACTORIES
    ]
