"""ONNX Runtime on the CPU, as a backend of rnnbench: inference with the graph that rnnbench writes.

A session holds one graph for each kind of call that was made (with or without lengths, with or without initial states):
an input that nobody gives costs nothing.
"""

from functools import cache
from typing import Any

import numpy as np

from rnnbench import BackendInfo, Case, CompileReport, Model, Requirement, Unsupported, hookimpl
from rnnbench.backends import inputs
from rnnbench.model import Array, Params, State
from rnnbench.training import DEFAULT_ADAM, Adam
from rnnbench.weights.onnx_layout import LAYOUTS
from rnnbench.weights.onnx_write import build

NO_TRAINING = "ONNX Runtime infers only"
NO_STEPS = "a bidirectional model needs the whole sequence"
ERRORS_ONLY = 3


class OnnxRuntimeBackend:
    """threads: of the pool that an operator is spread over; the calling thread is one of them."""

    def __init__(self, threads: int) -> None:
        import onnxruntime

        self.version = onnxruntime.__version__
        self._load = onnxruntime.InferenceSession
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        # Waiting threads spin, which is the default, and its fastest: a recurrent layer hands out work every step.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.log_severity_level = ERRORS_ONLY
        self._options = options

    def unsupported(self, case: Case) -> str | None:
        if case.training:
            return NO_TRAINING
        if case.model.cell not in LAYOUTS:
            return f"ONNX has no operator for the cell {case.model.cell}"
        if case.model.dtype != "float32":
            return f"its recurrent operators have no {case.model.dtype} kernel"
        if case.streaming and case.model.bidirectional:
            return NO_STEPS
        return None

    def session(
        self, model: Model, params: Params, loss: str = "mse", optimiser: Adam = DEFAULT_ADAM
    ) -> "OnnxRuntimeSession":
        if reason := self.unsupported(Case(model, 1, 1)):
            raise Unsupported(reason)
        return OnnxRuntimeSession(model, params, self._graph)

    def compile_report(self) -> CompileReport | None:
        return None

    def _graph(self, model: Model, params: Params, lengths: bool, states: bool) -> Any:
        graph = build(model, params, lengths, states).SerializeToString()
        return self._load(graph, self._options, providers=["CPUExecutionProvider"])


class OnnxRuntimeSession:
    """The session contract of rnnbench over `InferenceSession.run`."""

    def __init__(self, model: Model, params: Params, graph: Any) -> None:
        self.model = model
        self._params = {name: value.copy() for name, value in model.check_params(params).items()}
        self._graph = cache(lambda lengths, states: graph(model, self._params, lengths, states))
        self._starts = [f"{name}0" for name in model.spec.states]
        self._own: State | None = None

    def forward(self, x: Array, lengths: Array | None = None, state: State | None = None) -> tuple[Array, State]:
        ready, checked = inputs.sequence(self.model, x, lengths)
        return self._run(ready, checked, state)

    def step(self, x_t: Array, state: State | None) -> tuple[Array, State]:
        if self.model.bidirectional:
            raise Unsupported(NO_STEPS)
        y, self._own = self._run(inputs.one_step(self.model, x_t)[None], None, state)
        return (y if self.model.readout == "last" else y[0]), self._own

    def gradients(
        self, x: Array, target: Array, lengths: Array | None = None, state: State | None = None
    ) -> tuple[float, Params]:
        raise Unsupported(NO_TRAINING)

    def train_step(self, x: Array, target: Array, lengths: Array | None = None) -> float:
        raise Unsupported(NO_TRAINING)

    def parameters(self) -> Params:
        return {name: value.copy() for name, value in self._params.items()}

    def _run(self, x: Array, lengths: Array | None, state: State | None) -> tuple[Array, State]:
        feed = {"x": x}
        if lengths is not None:
            feed["lengths"] = lengths.astype(np.int32)
        if state is not None:  # what we gave ourselves needs no check, which would be a tenth of a short step
            fitting = state if state is self._own else inputs.states(self.model, state, x.shape[1])
            feed.update(zip(self._starts, fitting, strict=True))
        y, *after = self._graph(lengths is not None, state is not None).run(None, feed)
        return y, tuple(after)


@hookimpl
def rnnbench_backends() -> list[BackendInfo]:
    return [
        BackendInfo(
            id="onnxruntime",
            title="ONNX Runtime, CPU",
            factory="rnnbench_onnxruntime:OnnxRuntimeBackend",
            requires=(
                Requirement("onnxruntime", "pip install onnxruntime"),
                Requirement("onnx", "pip install onnx"),
            ),
            cells=tuple(LAYOUTS),
            dtypes=("float32",),
            trains=False,
        )
    ]
