"""ONNX Runtime on the CPU, as a backend of rnnbench: inference with the graph that rnnbench writes.

A session holds one graph for each kind of call that was made (with or without lengths, with or without initial states):
an input that nobody gives costs nothing.
"""

from collections.abc import Mapping
from functools import cache, partial
from typing import Any

from rnnbench import BackendInfo, Case, CompileReport, Model, Requirement, Unsupported, hookimpl
from rnnbench.backends.graph_session import GraphSession
from rnnbench.model import Array, Params
from rnnbench.training import DEFAULT_ADAM, Adam
from rnnbench.weights.onnx_layout import LAYOUTS
from rnnbench.weights.onnx_write import build

NO_TRAINING = "ONNX Runtime infers only"
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
        return case.refusal()

    def session(self, model: Model, params: Params, loss: str = "mse", optimiser: Adam = DEFAULT_ADAM) -> GraphSession:
        if reason := self.unsupported(Case(model, 1, 1)):
            raise Unsupported(reason)
        own = {name: value.copy() for name, value in model.check_params(params).items()}
        graph = cache(partial(self._graph, model, own))

        def infer(feed: Mapping[str, Array]) -> list[Array]:
            return graph("lengths" in feed, "h0" in feed).run(None, feed)

        return GraphSession(model, own, infer, NO_TRAINING)

    def compile_report(self) -> CompileReport | None:
        return None

    def _graph(self, model: Model, params: Params, lengths: bool, states: bool) -> Any:
        graph = build(model, params, lengths, states).SerializeToString()
        return self._load(graph, self._options, providers=["CPUExecutionProvider"])


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
