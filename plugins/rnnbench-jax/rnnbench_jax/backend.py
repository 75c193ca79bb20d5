"""The heavy half: XLA, started with a number of threads, and sessions over compiled programs."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnbench import Adam, Case, Cell, CompileReport, Model
from rnnbench.backends import inputs
from rnnbench.backends.pools import JaxCompileLog, start_xla
from rnnbench.backends.turns import one_call_at_a_time
from rnnbench.training import DEFAULT_ADAM
from rnnbench_jax import program

Array = np.ndarray
Params = dict[str, Array]
State = tuple[Array, ...]
Start = tuple[Array | jax.Array, ...]  # initial states, or final ones, each [L*D, B, H]


class Programs(NamedTuple):
    """The jitted functions of one model."""

    run: Callable[..., tuple[jax.Array, Start]]
    gradients: Callable[..., tuple[jax.Array, dict[str, jax.Array]]]


@lru_cache(maxsize=64)
def programs(model: Model, cell: Cell, loss: str) -> Programs:
    """Jit one set for all sessions of a model, so that a second session compiles nothing. `cell` is the model's:
    another plugin's of the same name is another program."""
    return Programs(
        jax.jit(partial(program.run, model)),
        jax.jit(jax.value_and_grad(partial(program.loss_of, model, loss))),
    )


@lru_cache(maxsize=64)
def train_program(model: Model, cell: Cell, loss: str, settings: Adam) -> Callable:
    differentiate = jax.value_and_grad(partial(program.loss_of, model, loss))

    def train(params, moments, rate, spread, x, target, count, lengths, state):
        value, gradients = differentiate(params, x, target, count, lengths, state)
        return value, *program.adam(settings, params, moments, gradients, rate, spread)

    return jax.jit(train)


@one_call_at_a_time
class JaxSession:
    """The session contract over jitted programs; every call returns NumPy arrays, so the work is done by then."""

    def __init__(self, model: Model, params: Params, loss: str, optimiser: Adam) -> None:
        self.model, self.loss, self.settings = model, loss, optimiser
        self._device = jax.devices("cpu")[0]  # what is computed with what lies there stays there
        checked = model.check_params(params)
        self._params = {name: jax.device_put(value.copy(), self._device) for name, value in checked.items()}
        self._programs = programs(model, model.spec, loss)
        self._packed: program.Packed | None = self._pack()
        self._zeros: dict[int, Start] = {}
        self._moments: program.Moments | None = None
        self._steps = 0

    def forward(self, x: Array, lengths: Array | None = None, state: State | None = None) -> tuple[Array, State]:
        return self._run(*self._ready(x, lengths, state))

    def step(self, x_t: Array, state: State | None) -> tuple[Array, State]:
        x = inputs.one_step(self.model, x_t)[None]
        y, after = self._run(x, None, self._start(state, x.shape[1]))
        return (y if self.model.readout == "last" else y[0]), after

    def gradients(
        self, x: Array, target: Array, lengths: Array | None = None, state: State | None = None
    ) -> tuple[float, Params]:
        x, lengths, start = self._ready(x, lengths, state)
        wanted, count = inputs.targets(self.model, self.loss, target, *x.shape[:2], lengths)
        loss, found = self._programs.gradients(self._params, x, wanted, count, lengths, start)
        return float(loss), {name: np.array(found[name]) for name in self.model.parameter_shapes()}

    def train_step(self, x: Array, target: Array, lengths: Array | None = None) -> float:
        x, lengths, start = self._ready(x, lengths, None)
        wanted, count = inputs.targets(self.model, self.loss, target, *x.shape[:2], lengths)
        if self._moments is None:
            zeros = {name: jnp.zeros_like(value) for name, value in self._params.items()}
            self._moments = program.Moments(zeros, zeros)
        self._steps += 1
        rate, spread = self.settings.scales(self._steps)
        train = train_program(self.model, self.model.spec, self.loss, self.settings)
        done = train(self._params, self._moments, rate, spread, x, wanted, count, lengths, start)
        loss, self._params, self._moments = jax.block_until_ready(done)
        self._packed = None
        return float(loss)

    def parameters(self) -> Params:
        return {name: np.array(self._params[name]) for name in self.model.parameter_shapes()}

    def _ready(self, x: Array, lengths: Array | None, state: State | None) -> tuple[Array, Array | None, Start]:
        x, lengths = inputs.sequence(self.model, x, lengths)
        return x, lengths, self._start(state, x.shape[1])

    def _start(self, state: State | None, B: int) -> Start:
        """Return the state, or zeros that lie ready for none: so the same program serves both, and compiles once."""
        if state is not None:
            return inputs.states(self.model, state, B)
        if B not in self._zeros:
            self._zeros = {B: jax.device_put(inputs.states(self.model, None, B), self._device)}
        return self._zeros[B]

    def _pack(self) -> program.Packed:
        params = {name: np.asarray(value) for name, value in self._params.items()}
        return jax.device_put(program.pack(self.model, params, np), self._device)

    def _run(self, x: Array, lengths: Array | None, start: Start) -> tuple[Array, State]:
        if self._packed is None:  # training has moved the parameters
            self._packed = self._pack()
        y, after = self._programs.run(self._packed, x, lengths, start)
        return np.asarray(y), tuple(np.asarray(value) for value in after)


class JaxBackend:
    """XLA for the CPU, with `threads` threads in the whole process."""

    version = jax.__version__

    def __init__(self, threads: int) -> None:
        start_xla(jax, threads)
        self._log = JaxCompileLog(jax)

    def unsupported(self, case: Case) -> str | None:
        return case.refusal()

    def session(self, model: Model, params: Params, loss: str = "mse", optimiser: Adam = DEFAULT_ADAM) -> JaxSession:
        return JaxSession(model, params, loss, optimiser)

    def compile_report(self) -> CompileReport:
        return self._log.report()
