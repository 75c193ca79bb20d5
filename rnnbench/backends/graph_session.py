"""A backend and its session over an inference graph: all that a runtime which only reads ONNX needs but to run it."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from rnnbench.backends import inputs
from rnnbench.backends.base import Backend, BackendInfo, Case, Requirement
from rnnbench.backends.turns import one_call_at_a_time
from rnnbench.errors import Unsupported
from rnnbench.model import Array, Model, Params, State
from rnnbench.training import DEFAULT_ADAM, Adam
from rnnbench.weights.onnx_layout import LAYOUTS

Infer = Callable[[Mapping[str, Array]], Iterable[Array]]


def graph_backend(name: str, title: str, factory: str, scans: bool = False) -> BackendInfo:
    """Return what a `GraphBackend` says of itself; `name` is its id, its module's and its distribution's. scans: as the
    backend has it."""
    return BackendInfo(
        id=name,
        title=title,
        factory=factory,
        requires=tuple(Requirement(module, f"pip install {module}") for module in (name, "onnx")),
        cells=None if scans else tuple(LAYOUTS),
        dtypes=("float32",),
        trains=False,
    )


class GraphBackend(Backend):
    """The backend contract over a runtime that reads ONNX, infers only, and has float32 kernels of its operators.

    A subclass sets `version` and says in `inference` how a graph is run. runtime: what it is called in a reason. scans:
    whether it runs ONNX's `Scan`, as which every cell is written that has no operator.
    """

    runtime: str
    scans = False

    def inference(self, model: Model, params: Params) -> Infer:
        """Return what `GraphSession` calls; params are the session's own."""
        raise NotImplementedError

    def unsupported(self, case: Case) -> str | None:
        if case.training:
            return f"{self.runtime} infers only"
        if case.model.cell not in LAYOUTS and not self.scans:
            return f"ONNX has no operator for the cell {case.model.cell}"
        if case.model.dtype != "float32":
            return f"its recurrent operators compute in float32, not in {case.model.dtype}"
        return case.refusal()

    def session(
        self, model: Model, params: Params, loss: str = "mse", optimiser: Adam = DEFAULT_ADAM
    ) -> "GraphSession":
        if reason := self.unsupported(Case(model, 1, 1)):
            raise Unsupported(reason)
        own = {name: value.copy() for name, value in model.check_params(params).items()}
        return GraphSession(model, own, self.inference(model, own), f"{self.runtime} infers only")


@one_call_at_a_time
class GraphSession:
    """The session contract over `infer`.

    infer: takes the inputs of the graph that `weights.onnx_write.build` writes, those of this call alone: x [T, B, I],
    lengths int32 [B], the initial states [L*D, B, H] as h0 and c0; gives y and then the final states, in arrays that no
    later call writes to. params: the session's own, as `Model.check_params` gives them. no_training: the reason.
    """

    def __init__(self, model: Model, params: Params, infer: Infer, no_training: str) -> None:
        self.model, self.no_training = model, no_training
        self._params, self._infer = params, infer
        self._starts = [f"{name}0" for name in model.spec.states]
        self._own: State | None = None

    def forward(self, x: Array, lengths: Array | None = None, state: State | None = None) -> tuple[Array, State]:
        ready, checked = inputs.sequence(self.model, x, lengths)
        return self._run(ready, checked, state)

    def step(self, x_t: Array, state: State | None) -> tuple[Array, State]:
        y, self._own = self._run(inputs.one_step(self.model, x_t)[None], None, state)
        return (y if self.model.readout == "last" else y[0]), self._own

    def gradients(
        self, x: Array, target: Array, lengths: Array | None = None, state: State | None = None
    ) -> tuple[float, Params]:
        raise Unsupported(self.no_training)

    def train_step(self, x: Array, target: Array, lengths: Array | None = None) -> float:
        raise Unsupported(self.no_training)

    def parameters(self) -> Params:
        return {name: value.copy() for name, value in self._params.items()}

    def _run(self, x: Array, lengths: Array | None, state: State | None) -> tuple[Array, State]:
        feed = {"x": x}
        if lengths is not None:
            feed["lengths"] = lengths.astype(np.int32)
        if state is not None:  # what we gave ourselves needs no check, which would be a tenth of a short step
            fitting = state if state is self._own else inputs.states(self.model, state, x.shape[1])
            feed.update(zip(self._starts, fitting, strict=True))
        y, *after = self._infer(feed)
        return y, tuple(after)
