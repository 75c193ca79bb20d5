"""OpenVINO's CPU plugin, as a backend of rnnbench: inference with the graph that rnnbench writes.

Every shape gets a model of its own, reshaped to it before it is compiled: with free dimensions OpenVINO 2026.4 takes a
forward layer's final state from the last step, whatever the lengths, without a word.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from time import perf_counter
from typing import TYPE_CHECKING

from rnnbench import BackendInfo, CompileReport, Model, hookimpl
from rnnbench.backends.graph_session import GraphBackend, Infer, graph_backend
from rnnbench.model import Array, Params
from rnnbench.weights.onnx_write import build

if TYPE_CHECKING:
    import openvino

COMPILED_SHAPES = 32  # of a session, the ones used last: each holds a copy of the weights
Shapes = tuple[tuple[str, tuple[int, ...]], ...]  # of the inputs, by name


class OpenVinoBackend(GraphBackend):
    """threads: of the pool that an operator is spread over."""

    runtime = "OpenVINO"

    def __init__(self, threads: int) -> None:
        import openvino

        self.version = openvino.__version__.partition("-")[0]
        self._core = openvino.Core()
        self._settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 wherever the processor has it
            "ENABLE_CPU_PINNING": False,  # which cores to use is the process's affinity to say
        }
        self._compile_seconds = 0.0

    def inference(self, model: Model, params: Params) -> Infer:
        requests = lru_cache(COMPILED_SHAPES)(partial(self.request, model, params))

        def infer(feed: Mapping[str, Array]) -> Iterable[Array]:
            request = requests(tuple((name, value.shape) for name, value in feed.items()))
            # Inputs are read where they lie; outputs are copied, or the next call would overwrite them.
            return request.infer(feed, share_inputs=True, share_outputs=False).values()

        return infer

    def compile_report(self) -> CompileReport:
        """Report the seconds of this process; nothing is kept between processes."""
        return CompileReport(self._compile_seconds, "cold")

    def request(self, model: Model, params: Params, shapes: Shapes) -> "openvino.InferRequest":
        """Compile something to infer with, for inputs of exactly these names and shapes."""
        given = dict(shapes)
        graph = build(model, params, lengths="lengths" in given, states="h0" in given)
        start = perf_counter()
        network = self._core.read_model(graph.SerializeToString())
        network.reshape({name: list(shape) for name, shape in shapes})
        request = self._core.compile_model(network, "CPU", self._settings).create_infer_request()
        self._compile_seconds += perf_counter() - start
        return request


@hookimpl
def rnnbench_backends() -> list[BackendInfo]:
    return [graph_backend("openvino", "OpenVINO, CPU", "rnnbench_openvino:OpenVinoBackend")]
