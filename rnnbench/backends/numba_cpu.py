"""The `numba` backend: sessions over the compiled kernels.

The time loop is the kernels'; what stands outside it (the head, the loss, and training's products over all T * B
visits) is NumPy on BLAS.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnbench.backends import inputs
from rnnbench.backends.base import BackendInfo, Case, CompileReport
from rnnbench.errors import Unsupported, UsageError
from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array, Model, Params, State
from rnnbench.training import DEFAULT_ADAM, Adam, clip_scale, loss_and_gradient

if TYPE_CHECKING:
    from rnnbench.kernels.layer import Layer

NO_SEQUENCE = (0, 0, 0)
PLANS_KEPT = 16  # sizes of call whose plans and scratch memory stay
# Handing rows to a thread costs some tens of microseconds; below this much work one thread is faster.
OPERATIONS_WORTH_A_THREAD = 4_000_000
# Inputs this wide are multiplied by W for many steps at once when a batch alone would not fill the tile.
WIDE_INPUT, VISITS_AT_ONCE = 16, 24


@dataclass(frozen=True)
class Rows:
    """The rows one thread computes: order and length [N], by falling length, and active [T], how many still run."""

    order: Array
    length: Array
    active: Array

    @classmethod
    def split(cls, T: int, B: int, lengths: Array | None, parts: int) -> "list[Rows]":
        length = np.full(B, T, np.int64) if lengths is None else lengths
        order = np.argsort(-length, kind="stable").astype(np.int64)
        shares = [np.ascontiguousarray(order[part::parts]) for part in range(parts)]
        steps = np.arange(T)[:, None]
        return [cls(share, length[share], (steps < length[share]).sum(axis=1)) for share in shares]


@dataclass(frozen=True)
class Plan:
    """What stays the same from one call of a size to the next: the rows of each part (one a thread), and by layer and
    direction, for each part, the forward scan's last arguments."""

    rows: list[Rows]
    calls: list[list[tuple[Any, ...]]]


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
        self._plans: dict[tuple[int, int], Plan] = {}
        self._memory: dict[tuple[Any, ...], tuple[Array, Array]] = {}
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self._steps = 0
        self._stream: State = ()
        self._stream_states: Array = np.empty(0)
        self._no_sequence, self._no_tape = np.empty(NO_SEQUENCE, model.dtype), np.empty((0, 0, 0, 0), model.dtype)

    def _views(self, flat: Array) -> Params:
        """Canonical arrays over one flat vector."""
        return {name: flat[start:end].reshape(shape) for name, start, end, shape in self._spans}

    # --- inference ----------------------------------------------------------------------------------------------------

    def forward(self, x: Array, lengths: Array | None = None, state: State | None = None) -> tuple[Array, State]:
        x, lengths = inputs.sequence(self.model, x, lengths)
        start = self._start(state, x.shape[1])
        final = np.empty_like(start)
        features = self._run(x, lengths, start, final, keep=False)[-1]
        return self._head(features, lengths), tuple(final)

    def step(self, x_t: Array, state: State | None) -> tuple[Array, State]:
        """As in the contract; a state that the last step returned is updated in place, any other is copied first."""
        if self.model.bidirectional:
            raise Unsupported("a bidirectional model needs the whole sequence")
        x = inputs.one_step(self.model, x_t)[None]
        if state is None or state is not self._stream or state[0].shape[1] != x.shape[1]:
            self._stream_states = self._start(state, x.shape[1])
            self._stream = tuple(self._stream_states)
        features = self._run(x, None, self._stream_states, self._stream_states, keep=False)[-1]
        prediction = self._head(features, None)
        return (prediction if self.model.readout == "last" else prediction[0]), self._stream

    def _start(self, state: State | None, B: int) -> Array:
        """A new array [state, L*D, B, H]."""
        model = self.model
        if state is None:
            layers = model.layers * model.directions
            return np.zeros((len(model.spec.states), layers, B, model.hidden_size), model.dtype)
        return np.stack(inputs.states(model, state, B))

    def _plan(self, T: int, B: int, lengths: Array | None) -> Plan:
        if lengths is None and (T, B) in self._plans:
            return self._plans[T, B]
        model, H = self.model, self.model.hidden_size
        operations = 2 * T * B * H * H * max(1, len(model.spec.r_accumulators))
        rows = Rows.split(T, B, lengths, min(self.threads, B, max(1, operations // OPERATIONS_WORTH_A_THREAD)))
        plan = Plan(rows, [[self._call(side, part, r, T, B) for part, r in enumerate(rows)] for side in self.layers])
        if lengths is None:
            if len(self._plans) >= PLANS_KEPT:
                self._plans.clear()
            self._plans[T, B] = plan
        return plan

    def _call(self, side: "Layer", part: int, rows: Rows, T: int, B: int) -> tuple[Any, ...]:
        """The last arguments of the forward scan of one layer and direction for one part of the rows."""
        model, H, N = self.model, side.H, len(rows.order)
        narrow = self._tile_rows > N and side.inputs >= WIDE_INPUT and T > 1
        chunk = min(T, VISITS_AT_ONCE // N) if narrow else 0
        work, index = self._space("forward", part, N, chunk)
        states = (len(self.layers) * B * H, side.number * B * H)
        last = side.number >= len(self.layers) - model.directions
        y_stride = 0 if last and model.readout == "last" else model.features
        by_row = (rows.order, rows.length, rows.active, side.reverse)
        return (*states, y_stride, side.column, *by_row, work, index, chunk, T, B, side.inputs, H)

    def _run(self, x: Array, lengths: Array | None, start: Array, final: Array, keep: bool) -> list[Array]:
        """Each layer's input, and last the features: of every step [T, B, D*H], or of the last [B, D*H]."""
        model = self.model
        T, B, _ = x.shape
        calls = self._plan(T, B, lengths).calls
        handed = [x]
        for layer in range(model.layers):
            wanted = layer < model.layers - 1 or model.readout == "all"
            y = self._output(T, B, lengths) if wanted else self._no_sequence
            for side in self.layers[layer * model.directions : (layer + 1) * model.directions]:
                if keep:
                    side.keep(T, B)
                tape, before = (side.tape, side.before) if keep else (self._no_tape, self._no_tape)
                scan = partial(side.kernels.forward, handed[-1], start, final, y, side.packed, tape, before)
                self._in_parallel(scan, calls[side.number])
            handed.append(y)
        if model.readout == "last":
            tops = final[0, -model.directions :]
            handed[-1] = tops[0] if model.directions == 1 else np.concatenate(list(tops), axis=-1)
        return handed

    def _output(self, T: int, B: int, lengths: Array | None) -> Array:
        shape, dtype = (T, B, self.model.features), self.model.dtype
        return np.empty(shape, dtype) if lengths is None else np.zeros(shape, dtype)

    @cached_property
    def _tile_rows(self) -> int:
        """Rows that fill the registers of the tile of the cell's widest stage."""
        from rnnbench.kernels.tile import tile_rows

        layout = self.kernels.layout
        return tile_rows(layout.vector, max(stage.accumulators for stage in layout.stages))[0]

    def _in_parallel(self, kernel: Callable[..., None], calls: list[tuple[Any, ...]]) -> None:
        """kernel(*call) for each: the first here, the rest on the session's threads (kernels release the GIL)."""
        others = [self._pool.submit(kernel, *call) for call in calls[1:]] if self._pool else []
        kernel(*calls[0])
        for other in others:
            other.result()

    def _space(self, purpose: str, part: int, N: int, chunk: int) -> tuple[Array, Array]:
        """Scratch for one call of a kernel, kept for the next of the same size."""
        from rnnbench.kernels.layout import aligned

        key = (purpose, part, N, chunk)
        if key not in self._memory:
            if len(self._memory) >= 2 * PLANS_KEPT * self.threads:
                self._memory.clear()
            if purpose == "forward":
                size, count = self.kernels.forward_workspace(N, self.model.hidden_size, chunk)
            else:
                size, count = self.kernels.backward_workspace(N, self.model.hidden_size), N
            self._memory[key] = (aligned(size, np.dtype(self.model.dtype)), np.zeros(count, np.int64))
        return self._memory[key]

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

    def parameters(self) -> Params:
        return {name: value.copy() for name, value in self._params.items()}

    def _differentiate(
        self, x: Array, target: Array, lengths: Array | None, state: State | None, gradients: Params
    ) -> float:
        """The loss; its gradients are written into `gradients`."""
        model = self.model
        x, lengths = inputs.sequence(model, x, lengths)
        start = self._start(state, x.shape[1])
        handed = self._run(x, lengths, start, np.empty_like(start), keep=True)
        features = handed.pop()
        loss, dprediction = loss_and_gradient(self.loss, self._head(features, lengths), target, lengths)
        dfeatures = dprediction
        if model.output_size is not None:
            two = dprediction.reshape(-1, model.output_size)
            np.dot(two.T, features.reshape(len(two), -1), out=gradients["head.W"])
            np.sum(two, axis=0, out=gradients["head.b"])
            dfeatures = dprediction @ self._params["head.W"]
        T, B, _ = x.shape
        rows = self._plan(T, B, lengths).rows
        no_final = np.empty((0, 0), model.dtype)
        dfeatures = np.ascontiguousarray(dfeatures)
        dy, dfinal = (dfeatures, no_final) if model.readout == "all" else (self._no_sequence, dfeatures)
        for layer in reversed(range(model.layers)):
            dx = np.zeros((T, B, model.features), model.dtype) if layer else None
            for side in self.layers[layer * model.directions : (layer + 1) * model.directions]:
                self._scan_backward(side, T, B, rows, dy, dfinal)
                side.products(handed[layer], gradients, dx)
            if dx is not None:
                dy, dfinal = dx, no_final
        return loss

    def _scan_backward(self, side: "Layer", T: int, B: int, rows: list[Rows], dy: Array, dfinal: Array) -> None:
        given = (dy, dy.shape[2], side.column, dfinal, dfinal.shape[1], side.column)
        calls = []
        for part, r in enumerate(rows):
            work, index = self._space("backward", part, len(r.order), 0)
            calls.append((r.order, r.length, r.active, side.reverse, work, index, T, B, side.H))
        scan = partial(side.kernels.backward, *given, side.transposed, side.tape, side.before)
        self._in_parallel(scan, calls)


class NumbaBackend:
    """Kernels compiled on first use. `threads` also limits the BLAS that NumPy calls in this process."""

    version = version("numba")

    def __init__(self, threads: int) -> None:
        from threadpoolctl import threadpool_limits

        if threads < 1:
            raise UsageError(f"threads must be at least 1; got {threads}")
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
