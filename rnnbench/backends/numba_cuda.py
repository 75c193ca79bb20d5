"""The `numba-cuda` backend: sessions over the CUDA kernels.

Parameters, gradients and Adam's moments live on the device; what crosses is the input, the prediction with its gradient
(the loss is `training.py`'s, on the host), and states. Every call ends when the device has done its work; what the
copies took is kept apart in `copied`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnbench.backends import inputs
from rnnbench.backends.base import BackendInfo, Case, CompileReport, Requirement
from rnnbench.errors import Unsupported
from rnnbench.hookspecs import hookimpl
from rnnbench.kernels.cuda.provider import PROVIDER, SIMULATED
from rnnbench.model import Array, Model, Params, State
from rnnbench.training import DEFAULT_ADAM, Adam, clip_scale, loss_and_gradient


@dataclass
class Copied:
    """What a session has copied between host and device so far."""

    seconds: float = 0.0
    bytes: int = 0


class CudaSession:
    """The session contract of `base.py` over the CUDA kernels. One caller at a time: device memory is the session's."""

    def __init__(self, model: Model, params: Params, loss: str, optimiser: Adam) -> None:
        from rnnbench.kernels.cuda.stack import Stack

        self.model, self.loss, self.optimiser = model, loss, optimiser
        self.copied = Copied()
        self.stack = Stack(model, model.check_params(params))
        self._steps = 0

    def forward(self, x: Array, lengths: Array | None = None, state: State | None = None) -> tuple[Array, State]:
        x, lengths = inputs.sequence(self.model, x, lengths)
        T, B, _ = x.shape
        self._load(x, lengths, state)
        self.stack.run(T, B, keep=False)
        return self._prediction(T, B, lengths), self._final(B)

    def step(self, x_t: Array, state: State | None) -> tuple[Array, State]:
        if self.model.bidirectional:
            raise Unsupported("a bidirectional model needs the whole sequence")
        prediction, after = self.forward(inputs.one_step(self.model, x_t)[None], state=state)
        return (prediction if self.model.readout == "last" else prediction[0]), after

    def gradients(
        self, x: Array, target: Array, lengths: Array | None = None, state: State | None = None
    ) -> tuple[float, Params]:
        loss = self._differentiate(x, target, lengths, state)
        return loss, self.stack.views(self._fetch(self.stack.gradient, (self.stack.size,)))

    def train_step(self, x: Array, target: Array, lengths: Array | None = None) -> float:
        from rnnbench.kernels.cuda.target import synchronise

        loss, scale = self._differentiate(x, target, lengths, None), 1.0
        if self.optimiser.clip_norm is not None:
            parts = self.stack.squares()
            scale = clip_scale(self.optimiser, float(np.sqrt(self._fetch(parts, parts.shape).sum())))
        self._steps += 1
        self.stack.update(self.optimiser, self._steps, scale)
        synchronise()
        return loss

    def parameters(self) -> Params:
        return self.stack.views(self._fetch(self.stack.theta, (self.stack.size,)))

    def _differentiate(self, x: Array, target: Array, lengths: Array | None, state: State | None) -> float:
        """The loss; its gradients are left on the device."""
        x, lengths = inputs.sequence(self.model, x, lengths)
        T, B, _ = x.shape
        self._load(x, lengths, state)
        self.stack.run(T, B, keep=True)
        loss, dprediction = loss_and_gradient(self.loss, self._prediction(T, B, lengths), target, lengths)
        self._move(lambda: self.stack.memory.fill("dprediction", dprediction), dprediction.nbytes)
        self.stack.run_back(T, B)
        return loss

    # --- copies -------------------------------------------------------------------------------------------------------

    def _move(self, copy: Callable[[], Any], size: int) -> Any:
        """copy(), of `size` bytes, timed apart: begun when the kernels before it are done, and waited for."""
        from rnnbench.kernels.cuda.target import synchronise

        synchronise()
        start = time.perf_counter()
        moved = copy()
        synchronise()
        self.copied.seconds += time.perf_counter() - start
        self.copied.bytes += size
        return moved

    def _load(self, x: Array, lengths: Array | None, state: State | None) -> None:
        """Brings a call's inputs to the device: x [T, B, I] and lengths as `inputs.sequence` gives them."""
        (T, B, _), stack = x.shape, self.stack
        start = None if state is None else np.stack(inputs.states(self.model, state, B))
        spans = np.full(B, T, np.int64) if lengths is None else lengths

        def copy() -> None:
            stack.memory.fill("x", x)
            stack.lengths.fill("lengths", spans)
            stack.begin(start, B)

        self._move(copy, x.nbytes + spans.nbytes + (0 if start is None else start.nbytes))

    def _fetch(self, memory: Any, shape: tuple[int, ...]) -> Array:
        from rnnbench.kernels.cuda.target import download

        size = int(np.prod(shape)) * memory.dtype.itemsize
        fetched: Array = self._move(lambda: download(memory, shape), size)
        return fetched

    def _prediction(self, T: int, B: int, lengths: Array | None) -> Array:
        """The head's outputs, zero past a row's length; the features where there is no head."""
        model, stack = self.model, self.stack
        steps = (T, B) if model.readout == "all" else (B,)
        if model.output_size is None:
            pieces = [
                self._fetch(piece.memory[piece.at :], (*steps, columns)) for piece, _, columns in stack.features(T, B)
            ]
            return np.concatenate(pieces, axis=-1)
        prediction = self._fetch(stack.memory["prediction"], (*steps, model.output_size))
        if lengths is not None and model.readout == "all":
            prediction[np.arange(T)[:, None] >= lengths] = 0
        return prediction

    def _final(self, B: int) -> State:
        shape = (len(self.model.spec.states), B, self.model.hidden_size)
        finals = [self._fetch(side.work[side.final_at(B) :], shape) for side in self.stack.layers]
        return tuple(np.stack(finals, axis=1))


class CudaBackend:
    """Kernels compiled on first use. The CPU's threads play no part."""

    def __init__(self, threads: int) -> None:
        """Raises UsageError where no GPU can be used."""
        from rnnbench.kernels.cuda.target import VERSION, device

        self.version, self.device = VERSION, device()

    def unsupported(self, case: Case) -> str | None:
        from rnnbench.kernels.cuda.layout import MOST_ACCUMULATORS

        if case.streaming and case.model.bidirectional:
            return "a bidirectional model needs the whole sequence"
        if len(case.model.spec.accumulators) > MOST_ACCUMULATORS:
            return f"the CUDA kernels take cells of at most {MOST_ACCUMULATORS} accumulators"
        return None

    def session(self, model: Model, params: Params, loss: str = "mse", optimiser: Adam = DEFAULT_ADAM) -> CudaSession:
        return CudaSession(model, params, loss, optimiser)

    def compile_report(self) -> CompileReport | None:
        from rnnbench.kernels.cuda.target import LOG

        return CompileReport(LOG.seconds, "cold")


class Driver(Requirement):
    """NVIDIA's driver, without which no kernel can run; the simulator needs none."""

    def met(self) -> bool:
        import ctypes
        import sys

        if SIMULATED:
            return True
        try:
            ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        except OSError:
            return False
        return True


class Package(Requirement):
    """Who provides `numba.cuda`; the simulator is Numba's own."""

    def met(self) -> bool:
        return SIMULATED or super().met()


@hookimpl
def rnnbench_backends() -> list[BackendInfo]:
    package, remedy = "numba_cuda", "pip install 'rnnbench[cuda12]', or [cuda13]"
    if PROVIDER == "numba-cuda-mlir":
        package, remedy = "numba_cuda_mlir", "pip install 'numba-cuda-mlir[cu12]', or [cu13]"
    return [
        BackendInfo(
            id="numba-cuda",
            title="CUDA kernels",
            factory="rnnbench.backends.numba_cuda:CudaBackend",
            requires=(Package(package, remedy), Driver("NVIDIA's driver", "see docs/gpu.md")),
            devices=("cuda",),
        )
    ]
