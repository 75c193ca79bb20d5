"""ONNX Runtime on the CPU, as a backend of rnnbench: inference with the graph that rnnbench writes.

A session holds one graph for each kind of call that was made (with or without lengths, with or without initial states):
an input that nobody gives costs nothing.
"""

from collections.abc import Mapping
from functools import cache, partial
from typing import TYPE_CHECKING

from rnnbench import BackendInfo, Model, hookimpl
from rnnbench.backends.graph_session import GraphBackend, Infer, graph_backend
from rnnbench.model import Array, Params
from rnnbench.weights.onnx_write import build

if TYPE_CHECKING:
    import onnxruntime

ERRORS_ONLY = 3


class OnnxRuntimeBackend(GraphBackend):
    """threads: of the pool that an operator is spread over; the calling thread is one of them."""

    runtime = "ONNX Runtime"
    scans = True

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

    def inference(self, model: Model, params: Params) -> Infer:
        graph = cache(partial(self._graph, model, params))

        def infer(feed: Mapping[str, Array]) -> list[Array]:
            return graph("lengths" in feed, "h0" in feed).run(None, feed)

        return infer

    def _graph(self, model: Model, params: Params, lengths: bool, states: bool) -> "onnxruntime.InferenceSession":
        graph = build(model, params, lengths, states).SerializeToString()
        return self._load(graph, self._options, providers=["CPUExecutionProvider"])


@hookimpl
def rnnbench_backends() -> list[BackendInfo]:
    return [graph_backend("onnxruntime", "ONNX Runtime, CPU", "rnnbench_onnxruntime:OnnxRuntimeBackend", scans=True)]
