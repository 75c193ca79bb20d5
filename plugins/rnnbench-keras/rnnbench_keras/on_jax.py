"""Keras on JAX: everything jitted over `stateless_call`, once per model and process."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnbench import Adam, CompileReport, Model
from rnnbench.backends import inputs
from rnnbench.backends.pools import JaxCompileLog, start_xla
from rnnbench_keras.stack import Stack, adam, loss_of, masked
from rnnbench_keras.weights import second_bias_mask

Array = np.ndarray
State = tuple[Array, ...]
VERSION = jax.__version__


class Programs(NamedTuple):
    """The jitted functions of one model and loss."""

    run: Callable
    gradients: Callable
    train: Callable
    rest: list[jax.Array]  # the stack's variables that are not trained


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
        value, found = gradients(params, *given)
        return value, *adam(settings, params, moments, found, rate, spread)

    return Programs(jax.jit(run), jax.jit(gradients), jax.jit(train), rest)


class Engine:
    """One session's parameters and moments. All it returns is NumPy, so the work is done by then."""

    def __init__(self, model: Model, weights: list[Array], loss: str, settings: Adam) -> None:
        self._model, self._device = model, jax.devices("cpu")[0]  # what is computed with what lies there stays there
        self._params = [jax.device_put(value.copy(), self._device) for value in weights]
        self._moments = ([jnp.zeros_like(p) for p in self._params], [jnp.zeros_like(p) for p in self._params])
        self._programs = programs(model, loss, settings)
        self._zeros: dict[int, tuple[jax.Array, ...]] = {}

    def run(self, x: Array, lengths: Array | None, state: State | None) -> tuple[Array, State]:
        y, after = self._programs.run(self._params, x, lengths, self._start(x, state))
        return np.asarray(y), tuple(np.asarray(value) for value in after)

    def gradients(
        self, x: Array, target: Array, count: int, lengths: Array | None, state: State | None
    ) -> tuple[float, list[Array]]:
        start = self._start(x, state)
        loss, found = self._programs.gradients(self._params, x, target, count, lengths, start)
        return float(loss), [np.asarray(value) for value in found]

    def train(self, rate: float, spread: float, x: Array, target: Array, count: int, lengths: Array | None) -> float:
        given = (x, target, count, lengths, self._start(x, None))
        done = self._programs.train(self._params, self._moments, rate, spread, *given)
        loss, self._params, self._moments = jax.block_until_ready(done)
        return float(loss)

    def weights(self) -> list[Array]:
        return [np.asarray(value) for value in self._params]

    def _start(self, x: Array, state: State | None) -> tuple[Array | jax.Array, ...]:
        """Return the state, or zeros that lie ready for none: so the same program serves both, and compiles once."""
        B = x.shape[1]
        if state is None and B not in self._zeros:
            self._zeros = {B: jax.device_put(inputs.states(self._model, None, B), self._device)}
        return self._zeros[B] if state is None else state


def start(threads: int) -> Callable[[], CompileReport]:
    """Start XLA's threads, and return what reports the cost of compiling since."""
    start_xla(jax, threads)
    return JaxCompileLog(jax).report
