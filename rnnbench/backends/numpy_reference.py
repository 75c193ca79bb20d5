"""The reference: forward and backpropagation through time in NumPy, written for reading.

In float64 it is the oracle of every other backend; in a table it runs in the row's dtype. It is itself checked by the
complex step through the same `forward_layer`, so everything here lets complex arrays pass.
"""

from dataclasses import dataclass

import numpy as np

from rnnbench.backends import inputs
from rnnbench.backends.base import Backend, BackendInfo
from rnnbench.backends.turns import one_call_at_a_time
from rnnbench.cells.maths import numpy_maths
from rnnbench.cells.spec import H_STATE, STAGE_RESULT, Accumulator, Cell, Values
from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array, Model, Params, State
from rnnbench.training import DEFAULT_ADAM, Adam, AdamState, loss_and_gradient


@dataclass(frozen=True)
class Times:
    """Which time index each row visits at each step of the loop, and whether the step is within its length.

    index int [T, B]: a permutation of time per row (the identity forward; within the length backwards in reverse).
    valid bool [T, B]: rows past their length keep their state.
    """

    index: Array
    valid: Array

    @classmethod
    def of(cls, T: int, B: int, lengths: Array | None, reverse: bool) -> "Times":
        step = np.arange(T)[:, None]
        length = np.full(B, T) if lengths is None else lengths
        valid = step < length
        index = np.where(valid & reverse, length - 1 - step, step)
        return cls(index, valid)

    def gather(self, by_time: Array) -> Array:
        """Reorder [T, B, ...] from the order of time to that of visits."""
        return np.take_along_axis(by_time, self.index[:, :, None], axis=0)

    def scatter(self, by_visit: Array) -> Array:
        """Reorder [T, B, ...] from the order of visits to that of time, zero past the lengths."""
        by_time = np.empty_like(by_visit)
        kept = np.where(self.valid[:, :, None], by_visit, 0)  # not a product: 0 · NaN is NaN
        np.put_along_axis(by_time, self.index[:, :, None], kept, axis=0)
        return by_time


@dataclass(frozen=True)
class Visit:
    """What backward needs of one step: the states before it, and per stage the operand and the saved values."""

    prev: State
    operands: list[dict[str, Array]]
    saved: list[Values]


@dataclass(frozen=True)
class LayerWeights:
    """One layer and direction, by accumulator name. W[name] [H, I], R[name] [H, H], b[name] [H]."""

    W: dict[str, Array]
    R: dict[str, Array]
    b: dict[str, Array]

    @classmethod
    def of(cls, cell: Cell, params: Params, prefix: str) -> "LayerWeights":
        def named(accumulators: tuple[Accumulator, ...], kind: str) -> dict[str, Array]:
            rows = params.get(prefix + kind, ())
            return {a.name: row for a, row in zip(accumulators, rows, strict=True)}

        return cls(named(cell.w_accumulators, "W"), named(cell.r_accumulators, "R"), named(cell.accumulators, "b"))


def forward_layer(
    cell: Cell, weights: LayerWeights, x: Array, state: State, times: Times
) -> tuple[Array, State, list[Visit]]:
    """Run a layer over x [T, B, I] from a state of [B, H] each; return (y [T, B, H], final state, the tape of
    visits)."""
    m = numpy_maths(x.dtype)
    pairs = [stage.pair(m)[0] for stage in cell.stages]
    x = times.gather(x)
    projected = {name: x @ W.T for name, W in weights.W.items()}
    outputs, tape = [], []
    for step, valid in enumerate(times.valid[:, :, None]):
        operands, saved = [], []
        operand = {H_STATE: state[0]}
        result: Values = ()
        for stage, forward in zip(cell.stages, pairs, strict=True):
            pre = []
            for a in stage.accumulators:
                value = np.broadcast_to(weights.b[a.name], state[0].shape)
                value = value + projected[a.name][step] if a.sees_x else value
                value = value + operand[a.operand] @ weights.R[a.name].T if a.operand else value
                pre.append(value)
            result, kept = forward(tuple(pre), state)
            operands.append(operand)
            saved.append(kept)
            operand = {H_STATE: state[0], STAGE_RESULT: result[0]}
        tape.append(Visit(state, operands, saved))
        state = tuple(np.where(valid, new, old) for new, old in zip(result, state, strict=True))
        outputs.append(state[0])
    return times.scatter(np.stack(outputs)), state, tape


def backward_layer(
    cell: Cell, weights: LayerWeights, x: Array, times: Times, tape: list[Visit], dy: Array, dstate: State
) -> tuple[Array, dict[str, Array], State]:
    """Return (dx [T, B, I], {"W", "R", "b"}, the initial state's gradient) from dy [T, B, H] and the final state's."""
    m = numpy_maths(x.dtype)
    pairs = [stage.pair(m)[1] for stage in cell.stages]
    x, dy = times.gather(x), times.gather(dy)
    dx = np.zeros_like(x)
    dW = {name: np.zeros_like(value) for name, value in weights.W.items()}
    dR = {name: np.zeros_like(value) for name, value in weights.R.items()}
    db = {name: np.zeros_like(value) for name, value in weights.b.items()}
    for step in reversed(range(len(tape))):
        visit, valid = tape[step], times.valid[step][:, None]
        dstate = (dstate[0] + np.where(valid, dy[step], 0), *dstate[1:])
        dresult = tuple(np.where(valid, d, 0) for d in dstate)
        dprev = tuple(np.where(valid, 0, d) for d in dstate)
        for number in reversed(range(len(cell.stages))):
            dpre, direct = pairs[number](visit.saved[number], visit.prev, dresult)
            doperand = {H_STATE: np.zeros_like(dprev[0]), STAGE_RESULT: np.zeros_like(dprev[0])}
            for a, d in zip(cell.stages[number].accumulators, dpre, strict=True):
                db[a.name] += d.sum(axis=0)
                if a.sees_x:
                    dW[a.name] += d.T @ x[step]
                    dx[step] += d @ weights.W[a.name]
                if a.operand:
                    dR[a.name] += d.T @ visit.operands[number][a.operand]
                    doperand[a.operand] += d @ weights.R[a.name]
            dprev = tuple(total + part for total, part in zip(dprev, direct, strict=True))
            dprev = (dprev[0] + doperand[H_STATE], *dprev[1:])
            dresult = (doperand[STAGE_RESULT],)
        dstate = dprev
    stacked = {kind: np.stack(list(named.values())) for kind, named in (("W", dW), ("R", dR), ("b", db)) if named}
    return times.scatter(dx), stacked, dstate


Trace = tuple[LayerWeights, Times, list[Visit]]  # of one layer and direction


@dataclass(frozen=True)
class ForwardPass:
    """A whole forward pass: the prediction, the final states, and what backward needs."""

    prediction: Array
    state: State
    features: Array
    layers: list[tuple[Array, list[Trace]]]


def forward_model(model: Model, params: Params, x: Array, lengths: Array | None, state: State) -> ForwardPass:
    """Run the stack and its head on arrays that `inputs` has prepared."""
    T, B, _ = x.shape
    layers: list[tuple[Array, list[Trace]]] = []
    finals: list[State] = []
    for layer in range(model.layers):
        outputs, traces = [], []
        for _, reverse, prefix in [p for p in model.prefixes() if p[0] == layer]:
            weights, times = LayerWeights.of(model.spec, params, prefix), Times.of(T, B, lengths, reverse)
            start = tuple(s[len(finals)] for s in state)
            y, final, tape = forward_layer(model.spec, weights, x, start, times)
            outputs.append(y)
            finals.append(final)
            traces.append((weights, times, tape))
        layers.append((x, traces))
        x = np.concatenate(outputs, axis=-1)
    last = [final[0] for final in finals[-model.directions :]]
    features = np.concatenate(last, axis=-1) if model.readout == "last" else x
    prediction = features
    if model.output_size is not None:
        prediction = features @ params["head.W"].T + params["head.b"]
        if lengths is not None and model.readout == "all":
            prediction = np.where((np.arange(T)[:, None] < lengths)[:, :, None], prediction, 0)
    return ForwardPass(prediction, tuple(np.stack(s) for s in zip(*finals, strict=True)), features, layers)


def backward_model(model: Model, params: Params, done: ForwardPass, dprediction: Array) -> tuple[Params, State]:
    """Return the gradients of all parameters, and of the initial states, from that of the prediction."""
    gradients: Params = {}
    dfeatures = dprediction
    if model.output_size is not None:
        flat = dprediction.reshape(-1, model.output_size)
        gradients["head.W"] = flat.T @ done.features.reshape(len(flat), -1)
        gradients["head.b"] = flat.sum(axis=0)
        dfeatures = dprediction @ params["head.W"]
    (T, B), H = done.layers[0][0].shape[:2], model.hidden_size
    dtype = done.features.dtype
    dy = dfeatures if model.readout == "all" else np.zeros((T, B, model.features), dtype)
    dstates: list[State] = []
    for layer in reversed(range(model.layers)):
        x, traces = done.layers[layer]
        dx = np.zeros_like(x)
        before: list[State] = []
        for side, (weights, times, tape) in enumerate(traces):
            prefix = model.prefixes()[layer * model.directions + side][2]
            columns = slice(side * H, (side + 1) * H)
            dfinal = np.zeros((len(model.spec.states), B, H), dtype)
            if model.readout == "last" and layer == model.layers - 1:
                dfinal[0] = dfeatures[:, columns]
            part, stacked, dstart = backward_layer(
                model.spec, weights, x, times, tape, dy[:, :, columns], tuple(dfinal)
            )
            dx += part
            gradients |= {prefix + kind: value for kind, value in stacked.items()}
            before.append(dstart)
        dy = dx
        dstates = before + dstates
    ordered = {name: gradients[name] for name in model.parameter_shapes()}
    return ordered, tuple(np.stack(s) for s in zip(*dstates, strict=True))


@one_call_at_a_time
class NumpySession:
    """The session contract of `base.py` over the functions above."""

    def __init__(self, model: Model, params: Params, loss: str, optimiser: Adam) -> None:
        self.model, self.loss = model, loss
        self._params = {name: value.copy() for name, value in model.check_params(params).items()}
        self._adam = AdamState(optimiser, self._params)

    def forward(self, x: Array, lengths: Array | None = None, state: State | None = None) -> tuple[Array, State]:
        done, _ = self._pass(x, lengths, state)
        return done.prediction, done.state

    def step(self, x_t: Array, state: State | None) -> tuple[Array, State]:
        done, _ = self._pass(inputs.one_step(self.model, x_t)[None], None, state)
        return (done.prediction if self.model.readout == "last" else done.prediction[0]), done.state

    def gradients(
        self, x: Array, target: Array, lengths: Array | None = None, state: State | None = None
    ) -> tuple[float, Params]:
        return self._differentiate(x, target, lengths, state)

    def train_step(self, x: Array, target: Array, lengths: Array | None = None) -> float:
        loss, gradients = self._differentiate(x, target, lengths, None)
        self._adam.update(self._params, gradients)
        return loss

    def parameters(self) -> Params:
        return {name: value.copy() for name, value in self._params.items()}

    def _differentiate(
        self, x: Array, target: Array, lengths: Array | None, state: State | None
    ) -> tuple[float, Params]:
        done, lengths = self._pass(x, lengths, state)
        loss, dprediction = loss_and_gradient(self.loss, done.prediction, target, lengths)
        return loss, backward_model(self.model, self._params, done, dprediction)[0]

    def _pass(self, x: Array, lengths: Array | None, state: State | None) -> tuple[ForwardPass, Array | None]:
        ready, checked = inputs.sequence(self.model, x, lengths)
        start = inputs.states(self.model, state, ready.shape[1])
        return forward_model(self.model, self._params, ready, checked, start), checked


class NumpyBackend(Backend):
    """One BLAS underneath; the number of threads is the environment's."""

    version = np.__version__

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def session(self, model: Model, params: Params, loss: str = "mse", optimiser: Adam = DEFAULT_ADAM) -> NumpySession:
        return NumpySession(model, params, loss, optimiser)


@hookimpl
def rnnbench_backends() -> list[BackendInfo]:
    return [
        BackendInfo(
            id="numpy",
            title="NumPy reference",
            factory="rnnbench.backends.numpy_reference:NumpyBackend",
            trains=False,  # it can, in minutes; a table's row is scored with weights that `numba` trained
        )
    ]
