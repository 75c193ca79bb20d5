"""Sessions over the CUDA kernels. Raises UsageError when imported where nobody provides CUDA.

Parameters, gradients and Adam's moments live on the device; what crosses is the input, the prediction with its gradient
(the loss is `training.py`'s, on the host), and states. Every call ends when the device has done its work; what the
copies took is kept apart in `copied`.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from rnnbench.backends import inputs
from rnnbench.backends.base import Case, CompileReport
from rnnbench.backends.turns import one_call_at_a_time
from rnnbench.kernels.cuda.layout import too_many_accumulators
from rnnbench.kernels.cuda.stack import CudaStack
from rnnbench.kernels.cuda.target import VERSION, Kernel, device, download, synchronise
from rnnbench.kernels.cuda.types import DeviceArray
from rnnbench.model import Array, Model, Params, State
from rnnbench.training import DEFAULT_ADAM, Adam, loss_and_gradient


@dataclass
class Copied:
    """What a session has copied between host and device so far."""

    seconds: float = 0.0
    bytes: int = 0


@one_call_at_a_time
class CudaSession:
    """The session contract of `base.py` over the CUDA kernels. Device memory is the session's."""

    def __init__(self, model: Model, params: Params, loss: str, optimiser: Adam) -> None:
        self.model, self.loss, self.optimiser = model, loss, optimiser
        self.copied = Copied()
        self.stack = CudaStack(model, model.check_params(params))
        self._steps = 0

    def forward(self, x: Array, lengths: Array | None = None, state: State | None = None) -> tuple[Array, State]:
        return self._infer(*inputs.sequence(self.model, x, lengths), state)

    def step(self, x_t: Array, state: State | None) -> tuple[Array, State]:
        prediction, after = self._infer(inputs.one_step(self.model, x_t)[None], None, state)
        return (prediction if self.model.readout == "last" else prediction[0]), after

    def gradients(
        self, x: Array, target: Array, lengths: Array | None = None, state: State | None = None
    ) -> tuple[float, Params]:
        loss = self._differentiate(x, target, lengths, state)
        return loss, self.stack.views(self._fetch(self.stack.gradient, (self.stack.size,)))

    def train_step(self, x: Array, target: Array, lengths: Array | None = None) -> float:
        loss, scale = self._differentiate(x, target, lengths, None), 1.0
        if self.optimiser.clip_norm is not None:
            parts = self.stack.squares()
            scale = self.optimiser.clip_scale(float(np.sqrt(self._fetch(parts, parts.shape).sum())))
        self.stack.update(self.optimiser, self._steps + 1, scale)
        self._steps += 1
        synchronise()
        return loss

    def parameters(self) -> Params:
        return self.stack.views(self._fetch(self.stack.theta, (self.stack.size,)))

    def _infer(self, x: Array, lengths: Array | None, state: State | None) -> tuple[Array, State]:
        T, B, _ = x.shape
        self._load(x, lengths, state)
        self.stack.forward(T, B, keep=False)
        return self._prediction(T, B, lengths), self._final(B)

    def _differentiate(self, x: Array, target: Array, lengths: Array | None, state: State | None) -> float:
        """Return the loss; leave its gradients on the device."""
        x, lengths = inputs.sequence(self.model, x, lengths)
        T, B, _ = x.shape
        self._load(x, lengths, state)
        self.stack.forward(T, B, keep=True)
        loss, dprediction = loss_and_gradient(self.loss, self._prediction(T, B, lengths), target, lengths)
        with self._copying(dprediction.nbytes):
            self.stack.memory.fill("dprediction", dprediction)
        self.stack.backward(T, B)
        return loss

    # --- copies -------------------------------------------------------------------------------------------------------

    @contextmanager
    def _copying(self, size: int) -> Iterator[None]:
        """Time a copy of `size` bytes apart: it begins when the kernels before are done, and ends."""
        synchronise()
        start = time.perf_counter()
        yield
        synchronise()
        self.copied.seconds += time.perf_counter() - start
        self.copied.bytes += size

    def _load(self, x: Array, lengths: Array | None, state: State | None) -> None:
        """Bring a call's inputs to the device: x [T, B, I] and lengths as `inputs.sequence` gives them."""
        (T, B, _), stack = x.shape, self.stack
        start = None if state is None else np.stack(inputs.states(self.model, state, B))
        spans = np.full(B, T, np.int64) if lengths is None else lengths
        with self._copying(x.nbytes + spans.nbytes + (0 if start is None else start.nbytes)):
            stack.memory.fill("x", x)
            stack.lengths.fill("lengths", spans)
            stack.set_state(start, B)

    def _fetch(self, memory: DeviceArray, shape: tuple[int, ...]) -> Array:
        with self._copying(int(np.prod(shape)) * memory.dtype.itemsize):
            return download(memory, shape)

    def _prediction(self, T: int, B: int, lengths: Array | None) -> Array:
        """Return the head's outputs, zero past a row's length; the features where there is no head."""
        model, stack = self.model, self.stack
        steps = (T, B) if model.readout == "all" else (B,)
        if model.output_size is None:
            found = stack.features(T, B)
            pieces = [self._fetch(piece.memory[piece.at :], (*steps, columns)) for piece, _, columns in found]
            return np.concatenate(pieces, axis=-1)
        prediction = self._fetch(stack.memory["prediction"], (*steps, model.output_size))
        if lengths is not None and model.readout == "all":
            prediction[np.arange(T)[:, None] >= lengths] = 0
        return prediction

    def _final(self, B: int) -> State:
        shape = (len(self.model.spec.states), B, self.model.hidden_size)
        finals = [self._fetch(side.workspace[side.final_at(B) :], shape) for side in self.stack.layers]
        return tuple(np.stack(finals, axis=1))


class CudaBackend:
    """Kernels compiled on first use. The CPU's threads play no part."""

    def __init__(self, threads: int) -> None:
        """Raise UsageError where no GPU can be used."""
        self.version, self.device = VERSION, device()

    def unsupported(self, case: Case) -> str | None:
        return case.refusal() or too_many_accumulators(case.model.spec)

    def session(self, model: Model, params: Params, loss: str = "mse", optimiser: Adam = DEFAULT_ADAM) -> CudaSession:
        return CudaSession(model, params, loss, optimiser)

    def compile_report(self) -> CompileReport | None:
        return CompileReport(Kernel.compile_seconds, "cold")
