"""The heavy half: Keras on the framework that is set, and sessions over it."""

import os

import numpy as np

from rnnbench import Adam, Case, CompileReport, Model, Unsupported, UsageError
from rnnbench.backends import inputs
from rnnbench.backends.turns import one_call_at_a_time
from rnnbench.training import DEFAULT_ADAM
from rnnbench_keras import LAYERS, framework
from rnnbench_keras.weights import canonical, to_weights_list

os.environ["KERAS_BACKEND"] = framework()  # before Keras is imported: it takes its file's word otherwise
import keras

UNDER = keras.backend.backend()  # somebody else may have imported it before
if UNDER == "jax":
    from rnnbench_keras import on_jax as under
elif UNDER == "torch":
    from rnnbench_keras import on_torch as under
else:
    raise UsageError(f"Keras is set to {UNDER}, which this backend does not drive; set KERAS_BACKEND to jax or torch")

Array = np.ndarray
Params = dict[str, Array]
State = tuple[Array, ...]


@one_call_at_a_time
class KerasSession:
    """The session contract over an engine."""

    def __init__(self, model: Model, params: Params, loss: str, optimiser: Adam) -> None:
        self.model, self.loss, self.settings = model, loss, optimiser
        self._engine = under.Engine(model, to_weights_list(model, params), loss, optimiser)
        self._steps = 0

    def forward(self, x: Array, lengths: Array | None = None, state: State | None = None) -> tuple[Array, State]:
        return self._engine.run(*self._ready(x, lengths, state))

    def step(self, x_t: Array, state: State | None) -> tuple[Array, State]:
        x = inputs.one_step(self.model, x_t)[None]
        start = None if state is None else inputs.states(self.model, state, x.shape[1])
        y, after = self._engine.run(x, None, start)
        return (y if self.model.readout == "last" else y[0]), after

    def gradients(
        self, x: Array, target: Array, lengths: Array | None = None, state: State | None = None
    ) -> tuple[float, Params]:
        x, lengths, start = self._ready(x, lengths, state)
        wanted, count = inputs.targets(self.model, self.loss, target, *x.shape[:2], lengths)
        loss, found = self._engine.gradients(x, wanted, count, lengths, start)
        return loss, canonical(self.model, found)

    def train_step(self, x: Array, target: Array, lengths: Array | None = None) -> float:
        x, lengths, _ = self._ready(x, lengths, None)
        wanted, count = inputs.targets(self.model, self.loss, target, *x.shape[:2], lengths)
        self._steps += 1
        rate, spread = self.settings.scales(self._steps)
        return self._engine.train(rate, spread, x, wanted, count, lengths)

    def parameters(self) -> Params:
        return canonical(self.model, self._engine.weights())

    def _ready(self, x: Array, lengths: Array | None, state: State | None) -> tuple[Array, Array | None, State | None]:
        x, lengths = inputs.sequence(self.model, x, lengths)
        return x, lengths, None if state is None else inputs.states(self.model, state, x.shape[1])


class KerasBackend:
    """Keras on JAX or torch, with `threads` threads in the whole process."""

    version = f"{keras.__version__} on {UNDER} {under.VERSION}"

    def __init__(self, threads: int) -> None:
        self._compiled = under.start(threads)

    def unsupported(self, case: Case) -> str | None:
        return case.refusal() or _refusal(case.model)

    def session(self, model: Model, params: Params, loss: str = "mse", optimiser: Adam = DEFAULT_ADAM) -> KerasSession:
        if reason := _refusal(model):
            raise Unsupported(reason)
        return KerasSession(model, params, loss, optimiser)

    def compile_report(self) -> CompileReport | None:
        return self._compiled()


def _refusal(model: Model) -> str | None:
    if model.cell not in LAYERS:
        return f"Keras has no layer that computes {model.cell}"
    if model.dtype != "float32":  # its rules of promotion turn float64 into float32 on both frameworks
        return "Keras rounds products of float64 to float32, whatever a layer's dtype"
    return None
