"""OpenVINO's CPU plugin, as a backend of rnnbench: inference with the graph that rnnbench writes.

Every shape gets a model of its own, reshaped to it before it is compiled: with free dimensions OpenVINO 2026.4 takes a
forward layer's final state from the last step, whatever the lengths, without a word.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from time import perf_counter
from typing import Any

from rnnbench import BackendInfo, Case, CompileReport, Model, Requirement, Unsupported, hookimpl
from rnnbench.backends.graph_session import GraphSession
from rnnbench.model import Array, Params
from rnnbench.training import DEFAULT_ADAM, Adam
from rnnbench.weights.onnx_layout import LAYOUTS
from rnnbench.weights.onnx_write import build

NO_TRAINING = "OpenVINO infers only"
COMPILED_SHAPES = 32  # of a session, the ones used last: each holds a copy of the weights
Shapes = tuple[tuple[str, tuple[int, ...]], ...]  # of the inputs, by name


class OpenVinoBackend:
    """threads: of the pool that an operator is spread over."""

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

    def unsupported(self, case: Case) -> str | None:
        if case.training:
            return NO_TRAINING
        if case.model.cell not in LAYOUTS:
            return f"ONNX has no operator for the cell {case.model.cell}"
        if case.model.dtype != "float32":
            return f"its recurrent operators compute in float32, not in {case.model.dtype}"
        return case.refusal()

    def session(self, model: Model, params: Params, loss: str = "mse", optimiser: Adam = DEFAULT_ADAM) -> GraphSession:
        if reason := self.unsupported(Case(model, 1, 1)):
            raise Unsupported(reason)
        own = {name: value.copy() for name, value in model.check_params(params).items()}
        requests = lru_cache(COMPILED_SHAPES)(partial(self.request, model, own))

        def infer(feed: Mapping[str, Array]) -> Iterable[Array]:
            request = requests(tuple((name, value.shape) for name, value in feed.items()))
            # Inputs are read where they lie; outputs are copied, or the next call would overwrite them.
            return request.infer(feed, share_inputs=True, share_outputs=False).values()

        return GraphSession(model, own, infer, NO_TRAINING)

    def compile_report(self) -> CompileReport:
        """Nothing is kept between processes."""
        return CompileReport(self._compile_seconds, "cold")

    def request(self, model: Model, params: Params, shapes: Shapes) -> Any:
        """Something to infer with, for inputs of exactly these names and shapes."""
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
    return [
        BackendInfo(
            id="openvino",
            title="OpenVINO, CPU",
            factory="rnnbench_openvino:OpenVinoBackend",
            requires=(Requirement("openvino", "pip install openvino"), Requirement("onnx", "pip install onnx")),
            cells=tuple(LAYOUTS),
            dtypes=("float32",),
            trains=False,
        )
    ]
