"""The heavy half: XLA, started with a number of threads, and sessions over compiled programs."""

import os
import sys
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnbench import Adam, Case, Cell, CompileReport, Model, Unsupported, UsageError
from rnnbench.backends import inputs
from rnnbench.training import DEFAULT_ADAM
from rnnbench_jax import program

Array = np.ndarray
Params = dict[str, Array]
State = tuple[Array, ...]

COMPILING = "/jax/core/compile/"  # tracing, lowering and compiling each report seconds under it
POOL = "tf_XLAEigen"  # what XLA calls the threads it computes with


class Programs(NamedTuple):
    """The jitted functions of one model."""

    pack: Any
    run: Any
    gradients: Any


@lru_cache(maxsize=64)
def programs(model: Model, cell: Cell, loss: str) -> Programs:
    """One set for all sessions of a model, so that a second session compiles nothing. `cell` is the model's: another
    plugin's of the same name is another program."""
    return Programs(
        jax.jit(partial(program.pack, model)),
        jax.jit(partial(program.run, model)),
        jax.jit(jax.value_and_grad(partial(program.loss_of, model, loss))),
    )


@lru_cache(maxsize=64)
def train_program(model: Model, cell: Cell, loss: str, settings: Adam) -> Any:
    differentiate = jax.value_and_grad(partial(program.loss_of, model, loss))

    def train(params, moments, rate, spread, x, target, count, lengths):
        value, gradients = differentiate(params, x, target, count, lengths, None)
        return value, *program.adam(settings, params, moments, gradients, rate, spread)

    return jax.jit(train)


class JaxSession:
    """The session contract over jitted programs; every call returns NumPy arrays, so the work is done by then."""

    def __init__(self, model: Model, params: Params, loss: str, optimiser: Adam) -> None:
        self.model, self.loss, self.settings = model, loss, optimiser
        device = jax.devices("cpu")[0]  # what is computed with these stays there
        checked = model.check_params(params)
        self._params = {name: jax.device_put(value.copy(), device) for name, value in checked.items()}
        self._programs = programs(model, model.spec, loss)
        self._packed = self._programs.pack(self._params)
        self._moments: program.Moments | None = None
        self._steps = 0

    def forward(self, x: Array, lengths: Array | None = None, state: State | None = None) -> tuple[Array, State]:
        return self._run(*self._ready(x, lengths, state))

    def step(self, x_t: Array, state: State | None) -> tuple[Array, State]:
        if self.model.bidirectional:
            raise Unsupported("a bidirectional model needs the whole sequence")
        x = inputs.one_step(self.model, x_t)[None]
        start = None if state is None else inputs.states(self.model, state, x.shape[1])
        y, after = self._run(x, None, start)
        return (y if self.model.readout == "last" else y[0]), after

    def gradients(
        self, x: Array, target: Array, lengths: Array | None = None, state: State | None = None
    ) -> tuple[float, Params]:
        x, lengths, start = self._ready(x, lengths, state)
        wanted, count = inputs.targets(self.model, self.loss, target, *x.shape[:2], lengths)
        loss, found = self._programs.gradients(self._params, x, wanted, count, lengths, start)
        return float(loss), {name: np.array(found[name]) for name in self.model.parameter_shapes()}

    def train_step(self, x: Array, target: Array, lengths: Array | None = None) -> float:
        x, lengths, _ = self._ready(x, lengths, None)
        wanted, count = inputs.targets(self.model, self.loss, target, *x.shape[:2], lengths)
        settings = self.settings
        if self._moments is None:
            zeros = {name: jnp.zeros_like(value) for name, value in self._params.items()}
            self._moments = program.Moments(zeros, zeros)
        self._steps += 1
        rate = settings.learning_rate / (1 - settings.beta1**self._steps)
        spread = 1 / (1 - settings.beta2**self._steps)
        train = train_program(self.model, self.model.spec, self.loss, settings)
        done = train(self._params, self._moments, rate, spread, x, wanted, count, lengths)
        loss, self._params, self._moments = jax.block_until_ready(done)
        self._packed = None
        return float(loss)

    def parameters(self) -> Params:
        return {name: np.array(self._params[name]) for name in self.model.parameter_shapes()}

    def _ready(self, x: Array, lengths: Array | None, state: State | None) -> tuple[Array, Array | None, State | None]:
        x, lengths = inputs.sequence(self.model, x, lengths)
        return x, lengths, None if state is None else inputs.states(self.model, state, x.shape[1])

    def _run(self, x: Array, lengths: Array | None, state: State | None) -> tuple[Array, State]:
        if self._packed is None:  # training has moved the parameters
            self._packed = self._programs.pack(self._params)
        y, after = self._programs.run(self._packed, x, lengths, state)
        return np.asarray(y), tuple(np.asarray(value) for value in after)


class JaxBackend:
    """XLA for the CPU, with `threads` threads in the whole process."""

    version = jax.__version__

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise UsageError(f"threads must be at least 1; got {threads}")
        os.environ["NPROC"] = str(threads)  # XLA reads it when its client starts, which is below or has been already
        if threads == 1:
            flags = os.environ.get("XLA_FLAGS", "")
            os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_cpu_enable_async_dispatch", False)  # every call waits: handing over costs 15 us of 90
        jax.devices("cpu")
        if (running := pool_threads()) not in (None, threads):
            raise UsageError(f"XLA has started {running} threads here, not {threads}; use a process of its own")
        self._log = CompileLog()
        jax.monitoring.register_event_duration_secs_listener(self._log.listen)

    def unsupported(self, case: Case) -> str | None:
        if case.streaming and case.model.bidirectional:
            return "a bidirectional model needs the whole sequence"
        return None

    def session(self, model: Model, params: Params, loss: str = "mse", optimiser: Adam = DEFAULT_ADAM) -> JaxSession:
        return JaxSession(model, params, loss, optimiser)

    def compile_report(self) -> CompileReport:
        return CompileReport(self._log.seconds, "cold")


class CompileLog:
    """Adds up what JAX says it spent on compiling. Programs are kept in the process alone, so the cache is cold."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def listen(self, event: str, seconds: float, **_: Any) -> None:
        if event.startswith(COMPILING):
            self.seconds += seconds


def pool_threads() -> int | None:
    """How many threads XLA computes with in this process; None where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return None
    names = [entry.read_text().strip() for entry in Path("/proc/self/task").glob("*/comm")]
    return names.count(POOL)
