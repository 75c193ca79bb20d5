"""The `numba` backend: sessions over the compiled kernels.

The time loop, training's products over all T * B visits, the losses and Adam are the kernels'; the head and the
gradient of a lower layer's output are NumPy's.
"""

from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from rnnbench.backends import inputs
from rnnbench.backends.base import BackendInfo, Case, CompileReport
from rnnbench.backends.numba_crew import Crew
from rnnbench.backends.numba_plan import Plan, Planner
from rnnbench.errors import Unsupported, UsageError
from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array, Model, Params, State
from rnnbench.training import (
    DEFAULT_ADAM,
    Adam,
    class_target,
    clip_scale,
    loss_and_gradient,
    squared_error_target,
    unknown_loss,
)

if TYPE_CHECKING:
    from rnnbench.kernels.layer import Layer

TARGETS = {"mse": squared_error_target, "cross-entropy": class_target}
NO_SEQUENCE, NO_TAPE = (0, 0, 0), (0, 0, 0, 0)


class Stream:
    """Stepping made ready: the states of every layer [state, L, B, H], and for each layer its kernel's calls.

    A layer reads its input where the layer below has just left its h.
    """

    def __init__(self, layers: "list[Layer]", planner: Planner, states: Array) -> None:
        self.states, self.state = states, tuple(states)
        self.top: Array = states[0, -1]
        self.batch_size = states.shape[2]
        plan = planner.plan(1, self.batch_size, None)
        self._plan = plan
        self.above = [
            (side.kernels.forward, states[0, side.number - 1][None], _without_output(calls))
            for side, calls in zip(layers, plan.forward, strict=True)
        ]


def _without_output(calls: list[Array]) -> list[Array]:
    copies = [call.copy() for call in calls]
    for call in copies:
        call["y_stride"] = 0
    return copies


class NumbaSession:
    """The session contract of `base.py` over the kernels. One caller at a time: scratch memory is the session's."""

    def __init__(self, model: Model, params: Params, threads: int, loss: str, optimiser: Adam) -> None:
        self.model, self.threads, self.loss, self.optimiser = model, threads, loss, optimiser
        checked = model.check_params(params)
        self._theta = np.concatenate([value.ravel() for value in checked.values()])
        ends = [int(end) for end in np.cumsum([value.size for value in checked.values()])]
        names_and_shapes = [(name, value.shape) for name, value in checked.items()]
        self._spans = [
            (name, start, end, shape)
            for (name, shape), start, end in zip(names_and_shapes, [0, *ends], ends, strict=False)
        ]
        self._params = self._views(self._theta)
        from rnnbench.kernels.layer import Layer

        self.layers = [
            Layer(model, number, layer, reverse, prefix, self._params)
            for number, (layer, reverse, prefix) in enumerate(model.prefixes())
        ]
        self.kernels = self.layers[0].kernels
        self._crew = Crew(threads)
        self._planner = Planner(model, self.layers, threads, self._crew.barrier)
        self._steps = 0
        self._rooms: dict[str, Array] = {}
        self._all_steps: Array = np.empty(0, np.int64)
        self._stream: Stream | None = None
        self._no_sequence, self._no_tape = np.empty(NO_SEQUENCE, model.dtype), np.empty(NO_TAPE, model.dtype)

    def _views(self, flat: Array) -> Params:
        """Canonical arrays over one flat vector."""
        return {name: flat[start:end].reshape(shape) for name, start, end, shape in self._spans}

    # --- inference ----------------------------------------------------------------------------------------------------

    def forward(self, x: Array, lengths: Array | None = None, state: State | None = None) -> tuple[Array, State]:
        x, lengths = inputs.sequence(self.model, x, lengths)
        start = self._start(state, x.shape[1])
        final = np.empty_like(start)
        plan = self._planner.plan(x.shape[0], x.shape[1], lengths)
        features = self._run(plan, x, lengths, start, final, keep=False)[-1]
        return self._head(features, lengths), tuple(final)

    def step(self, x_t: Array, state: State | None) -> tuple[Array, State]:
        """As in the contract; a state that the last step returned is updated in place, any other is copied first."""
        if self.model.bidirectional:
            raise Unsupported("a bidirectional model needs the whole sequence")
        x = inputs.one_step(self.model, x_t)[None]
        stream = self._stream
        if stream is None or state is not stream.state or stream.batch_size != x.shape[1]:
            stream = self._stream = Stream(self.layers, self._planner, self._start(state, x.shape[1]))
        states, nothing = stream.states, self._no_tape
        for side, (kernel, below, calls) in zip(self.layers, stream.above, strict=True):
            side.pack()
            x = below if side.number else x
            self._crew.run(kernel, (x, states, states, self._no_sequence, nothing, nothing), calls)
        y = stream.top.copy() if self.model.output_size is None else self._head(stream.top, None)
        return y, stream.state

    def _start(self, state: State | None, B: int) -> Array:
        """A new array [state, L*D, B, H]."""
        model = self.model
        if state is None:
            layers = model.layers * model.directions
            return np.zeros((len(model.spec.states), layers, B, model.hidden_size), model.dtype)
        return np.stack(inputs.states(model, state, B))

    def _run(self, plan: Plan, x: Array, lengths: Array | None, start: Array, final: Array, keep: bool) -> list[Array]:
        """The features, of every step [T, B, D*H] or the last [B, D*H]; before them, if kept, each layer's input."""
        model = self.model
        T, B, _ = x.shape
        handed = [x]
        for layer in range(model.layers):
            wanted = layer < model.layers - 1 or model.readout == "all"
            y = self._output(T, B, lengths, layer if keep else None) if wanted else self._no_sequence
            for side in self.layers[layer * model.directions : (layer + 1) * model.directions]:
                if keep:
                    side.keep(T, B)
                tape, before = (side.tape, side.before) if keep else (self._no_tape, self._no_tape)
                side.pack()
                kernel, calls = side.kernels.forward, plan.forward[side.number]
                self._crew.run(kernel, (handed[-1], start, final, y, tape, before), calls)
            handed = [*handed, y] if keep else [y]
        if model.readout == "last":
            tops = final[0, -model.directions :]
            handed[-1] = tops[0] if model.directions == 1 else np.concatenate(list(tops), axis=-1)
        return handed

    def _output(self, T: int, B: int, lengths: Array | None, layer: int | None) -> Array:
        """Room for a layer's features; where a layer is named, its room of the last training step."""
        shape = (T, B, self.model.features)
        y: Array = np.empty(shape, self.model.dtype) if layer is None else self._room(f"y.{layer}", shape)
        if lengths is not None:
            y.fill(0)
        return y

    def _head(self, features: Array, lengths: Array | None) -> Array:
        if self.model.output_size is None:
            return features.copy() if self.model.readout == "last" else features
        prediction: Array = features @ self._params["head.W"].T
        prediction += self._params["head.b"]
        if lengths is not None and self.model.readout == "all":
            prediction[np.arange(len(prediction))[:, None] >= lengths] = 0
        return prediction

    # --- training -----------------------------------------------------------------------------------------------------

    def gradients(
        self, x: Array, target: Array, lengths: Array | None = None, state: State | None = None
    ) -> tuple[float, Params]:
        gradients = self._views(np.empty_like(self._theta))
        return self._differentiate(x, target, lengths, state, gradients), gradients

    def train_step(self, x: Array, target: Array, lengths: Array | None = None) -> float:
        from rnnbench.kernels.library import adam

        gradient, views, mean, square = self._training
        loss = self._differentiate(x, target, lengths, None, views)
        settings = self.optimiser
        self._steps += 1
        scale = clip_scale(settings, float(np.sqrt(np.dot(gradient, gradient))))
        rate = settings.learning_rate / (1 - settings.beta1**self._steps)
        spread = 1 / (1 - settings.beta2**self._steps)
        adam(self.model.dtype)(
            self._theta, gradient, mean, square, scale, settings.beta1, settings.beta2, rate, spread, settings.epsilon
        )
        for side in self.layers:
            side.changed()
        return loss

    @cached_property
    def _training(self) -> tuple[Array, Params, Array, Array]:
        """What training steps share: the gradient, flat and as views, and Adam's two moments."""
        gradient = np.empty_like(self._theta)
        return gradient, self._views(gradient), np.zeros_like(self._theta), np.zeros_like(self._theta)

    def _room(self, name: str, shape: tuple[int, ...]) -> Array:
        """Memory that training steps of one shape share: fresh pages cost more than what is written to them."""
        have = self._rooms.get(name)
        if have is None or have.shape != shape:
            have = self._rooms[name] = np.empty(shape, self.model.dtype)
        return have

    def _loss(self, prediction: Array, target: Array, lengths: Array | None) -> tuple[float, Array]:
        """The loss, and its gradient by the prediction, which the next training step overwrites."""
        from rnnbench.kernels.library import loss

        if self.loss not in TARGETS:
            raise unknown_loss(self.loss)
        target = TARGETS[self.loss](prediction, target)
        gradient = self._room("dprediction", prediction.shape)
        counted = self._all_steps if lengths is None or self.model.readout == "last" else lengths
        flat = (prediction.ravel(), target.ravel(), counted, prediction.shape[-1], gradient.ravel())
        value = loss(self.loss, self.model.dtype)(*flat)
        if value < 0:  # a target is no class: the reference says which
            loss_and_gradient(self.loss, prediction, target, lengths)
        return value, gradient

    def parameters(self) -> Params:
        return {name: value.copy() for name, value in self._params.items()}

    def _differentiate(
        self, x: Array, target: Array, lengths: Array | None, state: State | None, gradients: Params
    ) -> float:
        """The loss; its gradients are written into `gradients`."""
        from rnnbench.kernels.library import products

        model = self.model
        x, lengths = inputs.sequence(model, x, lengths)
        start = self._start(state, x.shape[1])
        plan = self._planner.plan(x.shape[0], x.shape[1], lengths)
        handed = self._run(plan, x, lengths, start, np.empty_like(start), keep=True)
        features = handed.pop()
        loss, dprediction = self._loss(self._head(features, lengths), target, lengths)
        dfeatures = dprediction
        if model.output_size is not None:
            two = dprediction.reshape(-1, model.output_size)
            np.dot(two.T, features.reshape(len(two), -1), out=gradients["head.W"])
            np.sum(two, axis=0, out=gradients["head.b"])
            dfeatures = dprediction @ self._params["head.W"]
        T, B, _ = x.shape
        no_final = np.empty((0, 0), model.dtype)
        dfeatures = np.ascontiguousarray(dfeatures)
        dy, dfinal = (dfeatures, no_final) if model.readout == "all" else (self._no_sequence, dfeatures)
        for layer in reversed(range(model.layers)):
            dx = np.zeros((T, B, model.features), model.dtype) if layer else None
            for side in self.layers[layer * model.directions : (layer + 1) * model.directions]:
                side.pack_transposed()
                arrays = (dy, dfinal, side.tape, side.before)
                self._crew.run(side.kernels.backward, arrays, plan.backward[side.number])
                for share, calls in zip(side.shares, plan.products[side.number], strict=True):
                    self._crew.run(products(model.dtype), side.product(share, handed[layer], gradients), calls)
                if dx is not None:
                    side.add_input_gradient(dx)
            if dx is not None:
                dy, dfinal = dx, no_final
        return loss


class NumbaBackend:
    """Kernels compiled on first use. `threads` also limits the BLAS that NumPy calls in this process."""

    version = version("numba")

    def __init__(self, threads: int) -> None:
        from threadpoolctl import threadpool_limits

        from rnnbench.kernels.library import prepare

        if threads < 1:
            raise UsageError(f"threads must be at least 1; got {threads}")
        prepare()  # while workers load side by side, and before any clock runs
        self.threads = threads
        self._limits = threadpool_limits(limits=threads, user_api="blas")

    def unsupported(self, case: Case) -> str | None:
        if case.streaming and case.model.bidirectional:
            return "a bidirectional model needs the whole sequence"
        return None

    def session(self, model: Model, params: Params, loss: str = "mse", optimiser: Adam = DEFAULT_ADAM) -> NumbaSession:
        return NumbaSession(model, params, self.threads, loss, optimiser)

    def compile_report(self) -> CompileReport | None:
        from rnnbench.kernels.library import LOG

        return CompileReport(LOG.seconds, "cold" if LOG.compiled else "warm")


@hookimpl
def rnnbench_backends() -> list[BackendInfo]:
    return [BackendInfo(id="numba", title="Numba kernels", factory="rnnbench.backends.numba_cpu:NumbaBackend")]
