"""The `numba` backend: sessions over the compiled kernels.

All arithmetic is the kernels': a call checks its inputs here, says where its arrays lie, and runs one program (in
inference, one for each layer of a stack).
"""

import math
from collections.abc import Callable
from functools import cached_property
from importlib.metadata import version

import numpy as np

from rnnbench.backends import inputs
from rnnbench.backends.base import BackendInfo, Case, CompileReport
from rnnbench.backends.numba_crew import Crew, Program
from rnnbench.backends.numba_plan import Plan, Planner, packing
from rnnbench.backends.numba_steps import Optimiser, Parts
from rnnbench.backends.numba_table import Table
from rnnbench.errors import Unsupported, UsageError
from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array, Model, Params, State
from rnnbench.training import (
    DEFAULT_ADAM,
    Adam,
    class_target,
    loss_and_gradient,
    squared_error_target,
    unknown_loss,
)

TARGETS = {"mse": squared_error_target, "cross-entropy": class_target}


class Stream:
    """Stepping made ready: a table and a program of its own, over arrays that stay where they are.

    x [B, I] and y [B, O] or [B, H]: what a step reads and leaves; states [state, L, B, H] are changed in place. A layer
    reads its input where the layer below has just left its h.
    """

    def __init__(self, session: "NumbaSession", states: Array) -> None:
        model = session.model
        self.state = tuple(states)
        B = self.batch_size = states.shape[2]
        table = self._table = Table(model.dtype, len(session.layers))
        parts = session.parts(table)
        table.put("start", states)
        table.put("final", states)
        self.x = table.room("sequence.0", (B, model.input_size))
        for layer in range(1, model.layers):
            table.put(f"sequence.{layer}", states[0, layer - 1])
        if session.head:
            table.room(parts.features, (B, model.features))
        self.y = table.room(parts.outputs, (B, model.output_size or model.features))
        self.program: Program = Planner(parts, session.threads).plan(1, B, None).through()


class NumbaSession:
    """The session contract of `base.py` over the kernels. One caller at a time: scratch memory is the session's."""

    def __init__(self, model: Model, params: Params, threads: int, loss: str, optimiser: Adam) -> None:
        from rnnbench.kernels.layer import Head, Layer

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
        self.layers: list[Layer] = [
            Layer(model, number, layer, reverse, prefix, self._params)
            for number, (layer, reverse, prefix) in enumerate(model.prefixes())
        ]
        self.head: Head | None = None
        if model.output_size is not None:
            self.head = Head(self._params["head.W"], self._params["head.b"])
        self._crew = Crew(threads)
        clip = math.inf if optimiser.clip_norm is None else optimiser.clip_norm
        settings = {"clip": clip} | {name: getattr(optimiser, name) for name in ("beta1", "beta2", "epsilon")}
        moments = np.zeros_like(self._theta), np.zeros_like(self._theta)
        self._adam = Optimiser(self._theta, *moments, settings, np.zeros(2))
        self._parts = self.parts(Table(model.dtype, len(self.layers)))
        self._table, self._planner = self._parts.table, Planner(self._parts, threads)
        self._sequences = [f"sequence.{layer}" for layer in range(model.layers + 1)]
        self._steps = 0
        self._packed = False
        self._stream: Stream | None = None

    def parts(self, table: Table) -> Parts:
        """What plans over a table are made of."""
        places = {name: start for name, start, _, _ in self._spans}
        shared = (self.model, self.layers, self.head, table, self._crew, places, self.loss)
        return Parts(*shared, self._adam)

    def _views(self, flat: Array) -> Params:
        """Canonical arrays over one flat vector."""
        return {name: flat[start:end].reshape(shape) for name, start, end, shape in self._spans}

    # --- inference ----------------------------------------------------------------------------------------------------

    def forward(self, x: Array, lengths: Array | None = None, state: State | None = None) -> tuple[Array, State]:
        model, put = self.model, self._table.put
        self._table.rooms_of = None  # slots of rooms are given to arrays of this call
        x, lengths = inputs.sequence(model, x, lengths)
        (T, B, _), top, sequences = x.shape, model.layers - 1, self._sequences
        plan = self._planner.plan(T, B, lengths)
        self._pack()
        start = self._start(state, B)
        final = np.empty_like(start)
        put("start", start)
        put("final", final)
        result = np.empty(plan.output_shape, model.dtype)
        sequence: Array = x
        for layer in range(model.layers):
            above: Array | None = None  # of the last step alone there is no sequence
            if layer < top or (model.readout == "all" and self.head):
                above = np.empty((T, B, model.features), model.dtype)
            put(sequences[layer], sequence)
            if above is not None:
                put(sequences[layer + 1], above)
            if layer == top:
                if self.head and above is None:
                    last = np.empty((B, model.features), model.dtype)
                    put("last", last)
                put(self._parts.outputs, result)
            self._crew.run(plan.layer(layer))
            if above is not None:
                sequence = above
        if self.head and lengths is not None and model.readout == "all":
            result[np.arange(T)[:, None] >= lengths] = 0
        return result, tuple(final)

    def step(self, x_t: Array, state: State | None) -> tuple[Array, State]:
        """As in the contract; a state that the last step returned is updated in place, any other is copied first."""
        if self.model.bidirectional:
            raise Unsupported("a bidirectional model needs the whole sequence")
        x = inputs.one_step(self.model, x_t)
        stream = self._stream
        if stream is None or state is not stream.state or stream.batch_size != len(x):
            stream = self._stream = Stream(self, self._start(state, len(x)))
        self._pack()
        stream.x[...] = x
        self._crew.run(stream.program)
        return stream.y.copy(), stream.state

    def _start(self, state: State | None, B: int) -> Array:
        """A new array [state, L*D, B, H]."""
        model = self.model
        if state is None:
            layers = model.layers * model.directions
            return np.zeros((len(model.spec.states), layers, B, model.hidden_size), model.dtype)
        return np.stack(inputs.states(model, state, B))

    def _pack(self) -> None:
        """Puts the weights where the forward scans read them, unless they are there."""
        if not self._packed:
            self._crew.run(self._packing)
            self._packed = True

    @cached_property
    def _packing(self) -> Program:
        return packing(self._parts)

    # --- training -----------------------------------------------------------------------------------------------------

    def gradients(
        self, x: Array, target: Array, lengths: Array | None = None, state: State | None = None
    ) -> tuple[float, Params]:
        gradient = np.empty_like(self._theta)
        return self._run(Plan.gradients, x, target, lengths, state, gradient), self._views(gradient)

    def train_step(self, x: Array, target: Array, lengths: Array | None = None) -> float:
        settings, pace = self.optimiser, self._adam.pace
        # Beforehand: an interrupt is raised when the step is done.
        self._steps, self._packed = self._steps + 1, False
        pace[0] = settings.learning_rate / (1 - settings.beta1**self._steps)
        pace[1] = 1 / (1 - settings.beta2**self._steps)
        try:
            return self._run(Plan.training, x, target, lengths, None, self._gradient)
        except UsageError:  # nothing was done
            self._steps -= 1
            raise

    @cached_property
    def _gradient(self) -> Array:
        """What training steps share."""
        return np.empty_like(self._theta)

    def _run(
        self,
        wanted: Callable[[Plan], Program],
        x: Array,
        target: Array,
        lengths: Array | None,
        state: State | None,
        gradient: Array,
    ) -> float:
        """The loss, by a program of the plan that leaves its gradient in `gradient`, flat."""
        model, table = self.model, self._table
        x, lengths = inputs.sequence(model, x, lengths)
        plan = self._planner.plan(x.shape[0], x.shape[1], lengths)
        if self.loss not in TARGETS:
            raise unknown_loss(self.loss)
        target = np.ascontiguousarray(TARGETS[self.loss](plan.output_shape, model.dtype, target))
        plan.make_room()
        start = self._start(state, x.shape[1])
        for name, array in (("sequence.0", x), ("start", start), ("target", target), ("gradient", gradient)):
            table.put(name, array)
        self._crew.run(wanted(plan))
        loss = float(plan.value[0])
        if loss < 0:  # a target is no class, and the program has ended there: the reference says which
            prediction = table.room(self._parts.outputs, plan.output_shape)
            loss_and_gradient(self.loss, prediction, target, lengths)
        return loss

    def parameters(self) -> Params:
        return {name: value.copy() for name, value in self._params.items()}


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
