"""Keras on JAX: everything jitted over `stateless_call`, once per model and process."""

import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnbench import Adam, CompileReport, Model, UsageError
from rnnbench_keras.stack import Stack, adam, loss_of, masked
from rnnbench_keras.weights import second_bias_mask

Array = np.ndarray
COMPILING = "/jax/core/compile/"  # tracing, lowering and compiling each report seconds under it
POOL = "tf_XLAEigen"  # what XLA calls the threads it computes with
VERSION = jax.__version__


class Programs(NamedTuple):
    run: Any
    gradients: Any
    train: Any
    rest: list[Any]  # the stack's variables that are not trained


@lru_cache(maxsize=64)
def programs(model: Model, loss: str, settings: Adam) -> Programs:
    stack = Stack(model)
    rest = [variable.value for variable in stack.non_trainable_variables]
    masks = second_bias_mask(model)

    def run(params, x, lengths, state):
        return stack.stateless_call(params, rest, x, lengths, state)[0]

    def loss_from(params, x, target, count, lengths, state):
        return loss_of(loss, run(params, x, lengths, state)[0], target, count)

    def gradients(params, *given):
        value, found = jax.value_and_grad(loss_from)(params, *given)
        return value, masked(found, masks)

    def train(params, moments, rate, spread, *given):
        value, found = gradients(params, *given, None)
        return value, *adam(settings, params, moments, found, rate, spread)

    return Programs(jax.jit(run), jax.jit(gradients), jax.jit(train), rest)


class Engine:
    """One session's parameters and moments. All it returns is NumPy, so the work is done by then."""

    def __init__(self, model: Model, weights: list[Array], loss: str, settings: Adam) -> None:
        device = jax.devices("cpu")[0]  # what is computed with these stays there
        self._params = [jax.device_put(value.copy(), device) for value in weights]
        self._moments = ([jnp.zeros_like(p) for p in self._params], [jnp.zeros_like(p) for p in self._params])
        self._programs = programs(model, loss, settings)

    def run(self, x: Array, lengths: Array | None, state: Any) -> tuple[Array, tuple[Array, ...]]:
        y, after = self._programs.run(self._params, x, lengths, state)
        return np.asarray(y), tuple(np.asarray(value) for value in after)

    def gradients(
        self, x: Array, target: Array, count: int, lengths: Array | None, state: Any
    ) -> tuple[float, list[Array]]:
        loss, found = self._programs.gradients(self._params, x, target, count, lengths, state)
        return float(loss), [np.asarray(value) for value in found]

    def train(self, rate: float, spread: float, x: Array, target: Array, count: int, lengths: Array | None) -> float:
        done = self._programs.train(self._params, self._moments, rate, spread, x, target, count, lengths)
        loss, self._params, self._moments = jax.block_until_ready(done)
        return float(loss)

    def weights(self) -> list[Array]:
        return [np.asarray(value) for value in self._params]


class Compiling:
    """Adds up what JAX says it spent on compiling. Programs are kept in the process alone, so the cache is cold."""

    def __init__(self) -> None:
        self._seconds = 0.0
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def report(self) -> CompileReport:
        return CompileReport(self._seconds, "cold")

    def _listen(self, event: str, seconds: float, **_: Any) -> None:
        if event.startswith(COMPILING):
            self._seconds += seconds


def set_threads(threads: int) -> None:
    """Raises UsageError where XLA has started with another number."""
    os.environ["NPROC"] = str(threads)  # XLA reads it when its client starts, which is below or has been already
    if threads == 1:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_cpu_enable_async_dispatch", False)  # every call waits for its result anyway
    jax.devices("cpu")
    if sys.platform.startswith("linux"):
        names = [entry.read_text().strip() for entry in Path("/proc/self/task").glob("*/comm")]
        if (running := names.count(POOL)) != threads:
            raise UsageError(f"XLA has started {running} threads here, not {threads}; use a process of its own")
