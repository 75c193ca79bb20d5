"""A session over the compiled kernels, and the backend that makes them.

All arithmetic is the kernels': a call checks its inputs here, says where its arrays lie, and runs one program (in
inference, one for each layer of a stack).
"""

from collections.abc import Callable
from functools import cached_property
from importlib.metadata import version

import numpy as np

from rnnbench.backends import inputs
from rnnbench.backends.base import Case, CompileReport
from rnnbench.backends.numba_cpu.launches import Context, Optimiser, pack, program
from rnnbench.backends.numba_cpu.plan import CallPlan, Planner
from rnnbench.backends.numba_cpu.thread_team import Program, ThreadTeam
from rnnbench.backends.numba_cpu.workspace import Workspace
from rnnbench.backends.turns import one_call_at_a_time
from rnnbench.errors import UsageError
from rnnbench.kernels.compiled import LOG, prepare
from rnnbench.kernels.layer import PackedHead, PackedLayer
from rnnbench.kernels.target import check_settings
from rnnbench.model import Array, Model, Params, State
from rnnbench.training import DEFAULT_ADAM, Adam, fitting_target, loss_and_gradient


class Stream:
    """Stepping made ready: a workspace and a program of its own, over arrays that stay where they are.

    x [B, I] and y [B, O] or [B, H]: what a step reads and leaves; states [state, L, B, H] are changed in place. A layer
    reads its input where the layer below has just left its h.
    """

    def __init__(self, session: "NumbaSession", states: Array) -> None:
        model = session.model
        B = self.batch_size = states.shape[2]
        workspace = self._workspace = Workspace(model.dtype, len(session.layers))
        context = session.context(workspace)
        self.x = workspace.buffer("sequence.0", (B, model.input_size))
        self.restart(states)
        if session.head:
            workspace.buffer(context.features, (B, model.features))
        self.y = workspace.buffer(context.outputs, (B, model.output_size or model.features))
        self.program: Program = Planner(context, session.threads).plan(1, B, None).all_layers()

    def restart(self, states: Array) -> None:
        """Go on from other states; those of before stay as they are, with whoever has them."""
        self.state = tuple(states)
        self._workspace.bind("start", states)
        self._workspace.bind("final", states)
        for layer in range(1, states.shape[1]):
            self._workspace.bind(f"sequence.{layer}", states[0, layer - 1])


@one_call_at_a_time
class NumbaSession:
    """The session contract of `base.py` over the kernels. Scratch memory is the session's."""

    def __init__(self, model: Model, params: Params, threads: int, loss: str, optimiser: Adam) -> None:
        self.model, self.threads, self.loss, self.optimiser = model, threads, loss, optimiser
        checked = model.check_params(params)
        self._theta = np.concatenate([value.ravel() for value in checked.values()])
        ends = np.cumsum([value.size for value in checked.values()]).tolist()
        self._spans = [(name, end - v.size, end, v.shape) for (name, v), end in zip(checked.items(), ends, strict=True)]
        self._params = self._views(self._theta)
        self.layers: list[PackedLayer] = [
            PackedLayer(model, number, layer, reverse, prefix, self._params)
            for number, (layer, reverse, prefix) in enumerate(model.prefixes())
        ]
        head = model.output_size is not None
        self.head = PackedHead(self._params["head.W"], self._params["head.b"]) if head else None
        self._team = ThreadTeam(threads)
        moments = np.zeros_like(self._theta), np.zeros_like(self._theta)
        self._adam = Optimiser(optimiser, self._theta, *moments, np.zeros(2), np.zeros(1, np.int64))
        self._context = self.context(Workspace(model.dtype, len(self.layers)))
        self._workspace, self._planner = self._context.workspace, Planner(self._context, threads)
        self._sequences = [f"sequence.{layer}" for layer in range(model.layers + 1)]
        self._packed = False
        self._stream: Stream | None = None

    def context(self, workspace: Workspace) -> Context:
        """Return what plans over a workspace are made of."""
        places = {name: start for name, start, _, _ in self._spans}
        return Context(self.model, self.layers, self.head, workspace, self._team, places, self.loss, self._adam)

    def _views(self, flat: Array) -> Params:
        """Return canonical arrays over one flat vector."""
        return {name: flat[start:end].reshape(shape) for name, start, end, shape in self._spans}

    # --- inference ----------------------------------------------------------------------------------------------------

    def forward(self, x: Array, lengths: Array | None = None, state: State | None = None) -> tuple[Array, State]:
        model, bind = self.model, self._workspace.bind
        self._workspace.buffers_of = None  # slots of buffers are given to arrays of this call
        x, lengths = inputs.sequence(model, x, lengths)
        (T, B, _), top, sequences = x.shape, model.layers - 1, self._sequences
        plan = self._planner.plan(T, B, lengths)
        self._pack()
        start = self._start(state, B)
        final = np.empty_like(start)
        bind("start", start)
        bind("final", final)
        result = np.empty(plan.output_shape, model.dtype)
        sequence: Array = x
        for layer in range(model.layers):
            above: Array | None = None  # of the last step alone there is no sequence
            if layer < top or (model.readout == "all" and self.head):
                above = np.empty((T, B, model.features), model.dtype)
            bind(sequences[layer], sequence)
            if above is not None:
                bind(sequences[layer + 1], above)
            if layer == top:
                if self.head and above is None:
                    last = np.empty((B, model.features), model.dtype)
                    bind("last", last)
                bind(self._context.outputs, result)
            self._team.run(plan.layer(layer))
            if above is not None:
                sequence = above
        if self.head and lengths is not None and model.readout == "all":
            result[np.arange(T)[:, None] >= lengths] = 0
        return result, tuple(final)

    def step(self, x_t: Array, state: State | None) -> tuple[Array, State]:
        """Take one step, as in the contract; a state that the last step returned is updated in place, any other is
        copied first."""
        x = inputs.one_step(self.model, x_t)
        stream = self._stream
        if stream is None or stream.batch_size != len(x):
            stream = self._stream = Stream(self, self._start(state, len(x)))
        elif state is not stream.state:
            stream.restart(self._start(state, len(x)))
        self._pack()
        stream.x[...] = x
        self._team.run(stream.program)
        return stream.y.copy(), stream.state

    def _start(self, state: State | None, B: int) -> Array:
        """Return a new array [state, L*D, B, H]: a copy of the state, or zeros."""
        model = self.model
        if state is None:
            layers = model.layers * model.directions
            return np.zeros((len(model.spec.states), layers, B, model.hidden_size), model.dtype)
        return np.stack(inputs.states(model, state, B))

    def _pack(self) -> None:
        """Put the weights where the forward scans read them, unless they are there."""
        if not self._packed:
            self._team.run(self._packing)
            self._packed = True

    @cached_property
    def _packing(self) -> Program:
        context = self._context
        return program(self._team, [pack(context, context.weights_of_inference(), 1)])

    # --- training -----------------------------------------------------------------------------------------------------

    def gradients(
        self, x: Array, target: Array, lengths: Array | None = None, state: State | None = None
    ) -> tuple[float, Params]:
        gradient = np.empty_like(self._theta)
        return self._run(CallPlan.gradients, x, target, lengths, state, gradient), self._views(gradient)

    def train_step(self, x: Array, target: Array, lengths: Array | None = None) -> float:
        # The kernel counts the step as it changes the weights: whatever ends a call, both have happened or neither.
        scales, self._packed = self._adam.scales, False  # beforehand: an interrupt is raised when the step is done
        scales[0], scales[1] = self.optimiser.scales(self._adam.steps.item(0) + 1)
        return self._run(CallPlan.training, x, target, lengths, None, self._gradient)

    @cached_property
    def _gradient(self) -> Array:
        """Return the gradient that training steps share."""
        return np.empty_like(self._theta)

    def _run(
        self,
        wanted: Callable[[CallPlan], Program],
        x: Array,
        target: Array,
        lengths: Array | None,
        state: State | None,
        gradient: Array,
    ) -> float:
        """Return the loss, by a program of the plan that leaves its gradient in `gradient`, flat."""
        model, workspace = self.model, self._workspace
        x, lengths = inputs.sequence(model, x, lengths)
        plan = self._planner.plan(x.shape[0], x.shape[1], lengths)
        target = fitting_target(self.loss, plan.output_shape, model.dtype, target)
        plan.allocate()
        start = self._start(state, x.shape[1])
        for name, array in (("sequence.0", x), ("start", start), ("target", target), ("gradient", gradient)):
            workspace.bind(name, array)
        self._team.run(wanted(plan))
        loss = float(plan.launches.value[0])
        if loss < 0:  # a target is no class, and the program has ended there: the reference says which
            prediction = workspace.buffer(self._context.outputs, plan.output_shape)
            loss_and_gradient(self.loss, prediction, target, lengths)
        return loss

    def parameters(self) -> Params:
        return {name: value.copy() for name, value in self._params.items()}


class NumbaBackend:
    """Kernels compiled on first use. `threads` is the team's size; NumPy's BLAS is not called."""

    version = version("numba")

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise UsageError(f"threads must be at least 1; got {threads}")
        check_settings()
        prepare()  # while workers load side by side, and before any clock runs
        self.threads = threads

    def unsupported(self, case: Case) -> str | None:
        return case.refusal()

    def session(self, model: Model, params: Params, loss: str = "mse", optimiser: Adam = DEFAULT_ADAM) -> NumbaSession:
        return NumbaSession(model, params, self.threads, loss, optimiser)

    def compile_report(self) -> CompileReport | None:
        return CompileReport(LOG.seconds, "cold" if LOG.compiled else "warm")
