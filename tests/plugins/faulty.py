"""A plugin for the runner's tests: a tiny task, a good backend, and one backend for each way to be bad."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from rnnbench import BackendInfo, Budget, CompileReport, Data, Split, Task, Unsupported, hookimpl
from rnnbench.backends.numpy_reference import NumpyBackend, NumpySession

MEGABYTES = bytes(8_000_000)
TIMED_CALLS = 20  # more calls of forward than checking and scoring make


def _split(rng, count):
    x = rng.standard_normal((5, count, 1))
    return Split(x, x.mean(axis=0))


def data(seed):
    rng = np.random.default_rng(seed)
    return Data(_split(rng, 20), _split(rng, 10))


def score(prediction, test):
    return float(np.mean((prediction - test.target) ** 2))


MEAN = Task(
    id="mean",
    title="The mean of five numbers",
    source="made up",
    input_size=1,
    output_size=1,
    readout="last",
    loss="mse",
    score_name="test MSE",
    score_better="lower",
    baseline=100.0,  # so bad that everybody learns it
    margin=1.0,
    budget=Budget(steps=12, batch_size=8, hidden_size=4),
    data=data,
    score=score,
)


class Good(NumpyBackend):
    """NumPy, as it should be; each of the others changes one thing of it."""

    session_class = NumpySession

    def session(self, model, params, loss="mse", optimiser=None):
        return self.session_class(model, params, loss, optimiser)

    def compile_report(self):
        return CompileReport(0.5, "warm")


def backend(**methods):
    """A factory of backends whose sessions have these methods in place of the right ones."""
    kind = type("Session", (NumpySession,), methods)
    return lambda threads: type("Bad", (Good,), {"session_class": kind})(threads)


def changed_forward(change):
    def forward(self, x, lengths=None, state=None):
        y, final = NumpySession.forward(self, x, lengths, state)
        return change(y, final)

    return forward


def raising(self, *_):
    raise RuntimeError("no luck\nand a second line \x1b[31m")


def hanging(self, *_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def leaving(self, *_):
    os._exit(0)


def abandoning(self, *_):
    subprocess.Popen(["sleep", "600"])
    os._exit(1)


def mutating(self, x, *arguments):
    result = NumpySession.forward(self, x, *arguments)
    x *= 2
    return result


def mutating_weights(self, x, target, lengths=None):
    for value in self._given.values():
        value *= 0.5
    return NumpySession.gradients(self, x, target, lengths)


def keep_given(self, model, params, loss, optimiser):
    NumpySession.__init__(self, model, params, loss, optimiser)
    self._given = params


def cached(self, x, lengths=None, state=None):
    if getattr(self, "_cached_x", None) is not x:
        self._cached_x, self._cached = x, NumpySession.forward(self, x, lengths, state)
    return self._cached


def late(self, x, lengths=None, state=None):
    self._calls = getattr(self, "_calls", 0) + 1
    y, final = NumpySession.forward(self, x, lengths, state)
    return (y * 1.01 if self._calls > TIMED_CALLS else y), final


def late_state(self, x, lengths=None, state=None):
    self._calls = getattr(self, "_calls", 0) + 1
    y, final = NumpySession.forward(self, x, lengths, state)
    return y, tuple(value * np.float32(1.01) for value in final) if self._calls > TIMED_CALLS else final


def remembering(self, x, lengths=None, state=None):
    """Knows its inputs by what they hold, so that writing to them does not fool it."""
    self._known = getattr(self, "_known", {})
    if state is not None:
        return NumpySession.forward(self, x, lengths, state)
    key = x.tobytes()
    if key not in self._known:
        time.sleep(0.002)
        self._known[key] = NumpySession.forward(self, x, lengths)
    return self._known[key]


def many_threads(self, x, lengths=None, state=None):
    """Three of them, on however few cores. Hashing lets go of the GIL, and takes longer than a turn on a core."""
    self._pool = getattr(self, "_pool", None) or ThreadPoolExecutor(3)
    list(self._pool.map(lambda _: hashlib.sha256(MEGABYTES), range(3)))
    return NumpySession.forward(self, x, lengths, state)


def slow_near_zero(self, x, lengths=None, state=None):
    if 0 < np.abs(x).max() < 1e-38:
        time.sleep(0.02)
    return NumpySession.forward(self, x, lengths, state)


class LateLoss:
    """A number that is worked out when somebody looks at it."""

    def __init__(self, value):
        self._value = value

    def __float__(self):
        time.sleep(0.01)
        return self._value

    def __array__(self, dtype=None, copy=None):
        return np.array(float(self), dtype)


def promising(self, *arguments):
    return LateLoss(NumpySession.train_step(self, *arguments))


def half_gradients(self, *arguments):
    loss, gradients = NumpySession.gradients(self, *arguments)
    return loss, {name: value * np.float32(0.5) for name, value in gradients.items()}


def lazy_step(self, x, target, lengths=None):
    return NumpySession.gradients(self, x, target, lengths)[0]


def bad_loss(value, after):
    def train_step(self, *arguments):
        self._steps = getattr(self, "_steps", 0) + 1
        loss = NumpySession.train_step(self, *arguments)
        return value if self._steps > after else loss

    return train_step


def wrong_step(self, x_t, state):
    y, after = NumpySession.step(self, x_t, state)
    return y + np.float32(0.1), after


def forgetful(self):
    """Tells the weights that it began with, whatever it computes with."""
    if not hasattr(self, "_first"):
        self._first = {name: value.copy() for name, value in NumpySession.parameters(self).items()}
    return self._first


def keep_first(self, model, params, loss, optimiser):
    NumpySession.__init__(self, model, params, loss, optimiser)
    forgetful(self)


def greedy(self, x, *_):
    self._hoard = bytearray(b"x") * 300_000_000
    time.sleep(600)


def no_factory(threads):
    raise ImportError("libcheese.so.4 is missing")


def gpu_factory(threads):
    raise Unsupported("there is no CUDA device; run `nvidia-smi`")


def dying_factory(threads):
    os._exit(7)


def loud_factory(threads):
    for _ in range(10):
        sys.stdout.write("x" * 2**20)
    os.write(1, b"and around Python")
    return Good(threads)


def choosy(threads):
    class Choosy(Good):
        def unsupported(self, case):
            if case.streaming:
                return "streams are for fish"
            return "no GRU here" if case.model.cell == "gru" else None

    return Choosy(threads)


def refusing(self, *_):
    raise Unsupported("changed its mind")


FACTORIES = {
    "good": Good,
    "infers": Good,
    "raises": backend(forward=raising),
    "hangs": backend(forward=hanging),
    "leaves": backend(forward=leaving),
    "abandons": backend(forward=abandoning),
    "wrong": backend(forward=changed_forward(lambda y, s: (y + np.float32(1e-2), s))),
    "wrong-state": backend(forward=changed_forward(lambda y, s: (y, (s[0] * np.float32(1.01),)))),
    "wrong-shape": backend(forward=changed_forward(lambda y, s: (y[:, :, None], s))),
    "wrong-dtype": backend(forward=changed_forward(lambda y, s: (y.astype("float64"), s))),
    "not-an-array": backend(forward=changed_forward(lambda y, s: (y.tolist(), s))),
    "nan": backend(forward=changed_forward(lambda y, s: (y * np.float32("nan"), s))),
    "mutates": backend(forward=mutating),
    "mutates-weights": backend(gradients=mutating_weights, __init__=keep_given),
    "caches": backend(forward=cached),
    "late": backend(forward=late),
    "late-state": backend(forward=late_state),
    "remembers": backend(forward=remembering),
    "many-threads": backend(forward=many_threads),
    "slow-near-zero": backend(forward=slow_near_zero),
    "promises": backend(train_step=promising),
    "half-gradients": backend(gradients=half_gradients),
    "lazy": backend(train_step=lazy_step),
    "nan-loss": backend(train_step=bad_loss(float("nan"), 1)),
    "inf-loss-later": backend(train_step=bad_loss(float("inf"), 10)),
    "text-loss": backend(train_step=bad_loss("low", 0)),
    "wrong-step": backend(step=wrong_step),
    "greedy": backend(forward=greedy),
    "no-factory": no_factory,
    "dying-factory": dying_factory,
    "no-gpu": gpu_factory,
    "loud": loud_factory,
    "choosy": choosy,
    "forgets": backend(parameters=forgetful, __init__=keep_first),
    "refuses": backend(gradients=refusing),
}
INFER_ONLY = ("infers", "late", "late-state", "remembers")
globals().update({f"make_{name.replace('-', '_')}": factory for name, factory in FACTORIES.items()})


def _ragged_split(rng, count):
    """Steps past a length hold NaN; the class is the sign of the running sum."""
    lengths = rng.integers(1, 7, count)
    x = rng.standard_normal((6, count, 1))
    target = (np.cumsum(x, axis=0)[:, :, 0] > 0).astype(np.int64)
    x[np.arange(6)[:, None] >= lengths] = np.nan
    return Split(x, target, lengths, every_step=True)


def ragged_data(seed):
    rng = np.random.default_rng(seed)
    return Data(_ragged_split(rng, 20), _ragged_split(rng, 5))


def accuracy(prediction, test):
    valid = np.arange(6)[:, None] < test.lengths
    return float((prediction.argmax(axis=-1) == test.target)[valid].mean())


RAGGED = replace(
    MEAN,
    id="ragged",
    output_size=2,
    readout="all",
    loss="cross-entropy",
    score_name="accuracy",
    score_better="higher",
    baseline=0.0,
    margin=1.1,  # out of reach: never learned
    data=ragged_data,
    score=accuracy,
)


@hookimpl
def rnnbench_tasks():
    return [MEAN, RAGGED]


@hookimpl
def rnnbench_backends():
    return [
        BackendInfo(id=name, title=name, factory=f"faulty:make_{name.replace('-', '_')}", trains=name not in INFER_ONLY)
        for name in FACTORIES
    ]
