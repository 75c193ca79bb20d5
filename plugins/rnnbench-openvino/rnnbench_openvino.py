"""OpenVINO's CPU plugin, as a backend of rnnbench: inference with the graph that rnnbench writes.

Every shape gets a model of its own, reshaped to it before it is compiled: with free dimensions OpenVINO 2026.4 takes a
forward layer's final state from the last step, whatever the lengths, without a word.
"""

from functools import lru_cache
from time import perf_counter
from typing import Any

import numpy as np

from rnnbench import BackendInfo, Case, CompileReport, Model, Requirement, Unsupported, hookimpl
from rnnbench.backends import inputs
from rnnbench.model import Array, Params, State
from rnnbench.training import DEFAULT_ADAM, Adam
from rnnbench.weights.onnx_layout import LAYOUTS
from rnnbench.weights.onnx_write import build

NO_TRAINING = "OpenVINO infers only"
NO_STEPS = "a bidirectional model needs the whole sequence"
COMPILED_SHAPES = 32  # of a session, the ones used last: each holds a copy of the weights


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
        if case.streaming and case.model.bidirectional:
            return NO_STEPS
        return None

    def session(
        self, model: Model, params: Params, loss: str = "mse", optimiser: Adam = DEFAULT_ADAM
    ) -> "OpenVinoSession":
        if reason := self.unsupported(Case(model, 1, 1)):
            raise Unsupported(reason)
        return OpenVinoSession(model, params, self._request)

    def compile_report(self) -> CompileReport:
        """Nothing is kept between processes."""
        return CompileReport(self._compile_seconds, "cold")

    def _request(self, graph: bytes, shapes: dict[str, list[int]]) -> Any:
        """Something to infer with, for inputs of exactly these shapes."""
        start = perf_counter()
        network = self._core.read_model(graph)
        network.reshape(shapes)
        request = self._core.compile_model(network, "CPU", self._settings).create_infer_request()
        self._compile_seconds += perf_counter() - start
        return request


class OpenVinoSession:
    """The session contract of rnnbench over `InferRequest.infer`."""

    def __init__(self, model: Model, params: Params, request: Any) -> None:
        self.model = model
        self._params = {name: value.copy() for name, value in model.check_params(params).items()}
        self._compile = request
        self._request = lru_cache(COMPILED_SHAPES)(self._request_of)
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
        T, B, _ = x.shape
        feed = {"x": x}
        if lengths is not None:
            feed["lengths"] = lengths.astype(np.int32)
        if state is not None:  # what we gave ourselves needs no check, which would be a tenth of a short step
            fitting = state if state is self._own else inputs.states(self.model, state, B)
            feed.update(zip(self._starts, fitting, strict=True))
        request = self._request(T, B, lengths is not None, state is not None)
        # Inputs are read where they lie; outputs are copied, or the next call would overwrite them.
        y, *after = request.infer(feed, share_inputs=True, share_outputs=False).values()
        return y, tuple(after)

    def _request_of(self, T: int, B: int, lengths: bool, states: bool) -> Any:
        model = self.model
        shapes = {"x": [T, B, model.input_size]}
        if lengths:
            shapes["lengths"] = [B]
        if states:
            shapes |= {name: [model.layers * model.directions, B, model.hidden_size] for name in self._starts}
        graph = build(model, self._params, lengths, states)
        return self._compile(graph.SerializeToString(), shapes)


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
