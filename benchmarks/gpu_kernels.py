"""What `gpu.py` has its processes do: look at the GPU, check a model on it, and time a layer of ours and of cuDNN's."""

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from rnnbench.backends.numpy_reference import NumpyBackend
from rnnbench.errors import UsageError
from rnnbench.model import Model
from rnnbench.verify import parity

WARM_UP = 3
TOLERANCES = {"float64": 1e-12, "float32": 5e-6}  # outputs, of the largest; gradients ten times that


def torch_device(dry: bool) -> tuple[str | None, str]:
    """Return where torch can run here, or None; and its version, or why not."""
    try:
        import torch
    except ImportError:
        return None, "not installed"
    if dry:
        return "cpu", torch.__version__
    return ("cuda", torch.__version__) if torch.cuda.is_available() else (None, f"{torch.__version__} without a GPU")


def about(dry: bool) -> dict[str, Any]:
    """Return the GPU, what runs on it, and where torch can; or why nothing can, under "error"."""
    try:
        from rnnbench.kernels.cuda import target

        device = target.device().name
    except UsageError as error:
        return {"error": str(error)}
    where, torch_version = torch_device(dry)
    versions = {"provider": target.VERSION, "torch": torch_version, "python": platform.python_version()}
    return {"device": device, "versions": versions, "torch_device": where}


def check(cell: str, dtype: str, shape: tuple[int, int, int, int, bool]) -> dict[str, Any]:
    """Compare outputs, states and gradients of one model with the float64 reference. Raises ValueError for NaN."""
    from rnnbench.backends.numba_cuda.session import CudaBackend

    T, B, I, H, hard = shape
    model = Model(cell, I, H, 2, 2 if hard else 1, hard, "all" if hard else "last", dtype)
    params, rng = model.init(0), np.random.default_rng(1)
    x = rng.standard_normal((T, B, I)).astype(dtype)
    lengths = rng.integers(1, T + 1, B) if hard else None
    target = rng.standard_normal((T, B, 2) if hard else (B, 2)).astype(dtype)
    wide = NumpyBackend(1).session(replace(model, dtype="float64"), {n: v.astype("float64") for n, v in params.items()})
    session = CudaBackend(1).session(model, params)
    outputs, expected = (
        {"y": y, **dict(enumerate(state))} for y, state in (s.forward(x, lengths) for s in (session, wide))
    )
    gradients, expected_gradients = (s.gradients(x, target, lengths)[1] for s in (session, wide))
    for values, references in ((outputs, expected), (gradients, expected_gradients)):
        if odd := parity.malformed(values, references, dtype):
            raise ValueError(odd)
    output = parity.deviation(outputs, expected).error
    gradient = parity.gradient_deviation(gradients, expected_gradients).error
    return {
        "cell": cell, "dtype": dtype, "T": T, "B": B, "I": I, "H": H, "hard": hard,
        "output_error": output, "gradient_error": gradient,
        "ok": output <= TOLERANCES[dtype] and gradient <= 10 * TOLERANCES[dtype],
    }  # fmt: skip


class Ours:
    """One layer of our kernels, its inputs on the device."""

    def __init__(self, cell: str, T: int, B: int, H: int) -> None:
        from rnnbench.kernels.cuda import target
        from rnnbench.kernels.cuda.stack import CudaStack

        self.model = Model(cell, H, H, readout="all")
        self.params, self.T, self.B, self._target = self.model.init(0), T, B, target
        rng = np.random.default_rng(2)
        self.x, self.dy = (rng.standard_normal((T, B, H)).astype("float32") for _ in range(2))
        self.stack = CudaStack(self.model, self.params)
        self.synchronise = target.synchronise
        self.stack.memory.fill("x", self.x)
        self.stack.memory.fill("dprediction", self.dy)
        self.stack.lengths.fill("lengths", np.full(B, T, np.int64))
        self.stack.set_state(None, B)

    def copy_in(self) -> float:
        return seconds(lambda: self.stack.memory.fill("x", self.x), self.synchronise)

    def infer(self) -> None:
        self.stack.forward(self.T, self.B, keep=False)

    def train(self) -> None:
        self.stack.forward(self.T, self.B, keep=True)
        self.stack.backward(self.T, self.B)

    def outputs(self) -> Any:
        return self._target.download(self.stack.memory["y0"], (self.T, self.B, self.model.features))

    def copy_out(self) -> float:
        return seconds(self.outputs, self.synchronise)

    def gradients(self) -> dict[str, Any]:
        return self.stack.views(self._target.download(self.stack.gradient, (self.stack.size,)))

    def compile(self) -> float:
        """Compile the scans' kernels, both ways, without the GPU; return the seconds it took."""
        begun = time.perf_counter()
        for backward in (False, True):
            for kernel in self.stack.layers[0].scan(self.B, backward).kernels:
                kernel.compile()
        return time.perf_counter() - begun

    def plan(self, backward: bool) -> str:
        plan = self.stack.layers[0].scan(self.B, backward).plan
        where = "resident" if plan.resident else "streamed" if plan.looped else "stepped"
        return f"{where} {plan.unit_blocks}x{plan.row_blocks}"


class CuDNN:
    """The same layer of torch's, with the same weights and inputs. On a CPU in a dry run."""

    def __init__(self, ours: Ours, device: str) -> None:
        import torch

        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        H, lstm = ours.model.hidden_size, ours.model.cell == "lstm"
        layer = (torch.nn.LSTM if lstm else torch.nn.GRU)(H, H).to(device)
        p = {name.rpartition(".")[2]: value for name, value in ours.params.items()}
        W, R, b = p["W"].reshape(-1, H), p["R"].reshape(-1, H), p["b"]
        b_ih, b_hh = (b, np.zeros_like(b)) if lstm else (b[:3], np.stack([0 * b[0], 0 * b[0], b[3]]))
        with torch.no_grad():
            for name, value in (("weight_ih", W), ("weight_hh", R), ("bias_ih", b_ih), ("bias_hh", b_hh)):
                getattr(layer, name + "_l0").copy_(torch.from_numpy(value.reshape(getattr(layer, name + "_l0").shape)))
        self._torch, self.layer, self._cuda = torch, layer, device == "cuda"
        self.x, self.dy = (torch.from_numpy(value).to(device) for value in (ours.x, ours.dy))
        self.y, self.slopes = self.x, ()

    def synchronise(self) -> None:
        if self._cuda:
            self._torch.cuda.synchronize()

    def infer(self) -> None:
        with self._torch.inference_mode():
            self.y = self.layer(self.x)[0]

    def train(self) -> None:
        y = self.layer(self.x)[0]
        self.slopes = self._torch.autograd.grad(y, list(self.layer.parameters()), self.dy)

    def outputs(self) -> Any:
        return self.y.cpu().numpy()

    def weight_gradients(self) -> tuple[Any, Any]:
        """Return those of W and R, canonical shapes but for the gates' axis, which is joined to the units'."""
        return self.slopes[0].cpu().numpy(), self.slopes[1].cpu().numpy()


def seconds(call: Callable[[], Any], synchronise: Callable[[], None]) -> float:
    """Time one call, from an idle device to an idle device."""
    synchronise()
    start = time.perf_counter()
    call()
    synchronise()
    return time.perf_counter() - start


def interleaved(parties: list[Any], what: str, rounds: int) -> list[float]:
    """Return each party's median time of `what`; who begins changes from round to round."""
    for party in parties:
        for _ in range(WARM_UP):
            seconds(getattr(party, what), party.synchronise)
    samples: list[list[float]] = [[] for _ in parties]
    for number in range(rounds):
        order = range(len(parties)) if number % 2 == 0 else reversed(range(len(parties)))
        for index in order:
            samples[index].append(seconds(getattr(parties[index], what), parties[index].synchronise))
    return [statistics.median(found) for found in samples]


def storable(error: float) -> float:
    """Return the error, 1e300 where it is not finite: JSON holds no NaN."""
    return error if np.isfinite(error) else 1e300


def row(
    cell: str, B: int, H: int, steps: int, rounds: int, torch_device: str | None, turn: Callable[[], None]
) -> dict[str, Any]:
    """Time one row. What differs from cuDNN's result is not timed against it. turn: returns when the GPU is free."""
    ours = Ours(cell, steps, B, H)
    found: dict[str, Any] = {"cell": cell, "B": B, "H": H, "plan": ours.plan(False), "plan_back": ours.plan(True)}
    found["compile_seconds"] = ours.compile()
    turn()
    ours.train()
    parties: list[Any] = [ours]
    if torch_device is not None:
        peer = CuDNN(ours, torch_device)
        peer.infer()
        peer.train()
        gradients = ours.gradients()
        pairs = [(gradients[f"layers.0.forward.{n}"], g) for n, g in zip("WR", peer.weight_gradients(), strict=True)]
        errors = [parity.error(mine.reshape(g.shape), g) for mine, g in pairs]
        found["output_difference"] = storable(parity.error(ours.outputs(), peer.outputs()))
        found["gradient_difference"] = storable(float(np.max(errors)))
        found["ok"] = found["output_difference"] <= 1e-4 and found["gradient_difference"] <= 1e-3
        parties += [peer] if found["ok"] else []
    for what in ("infer", "train"):
        medians = interleaved(parties, what, rounds)
        found[f"{what}_seconds"] = medians[0]
        if len(medians) > 1:
            found[f"cudnn_{what}_seconds"] = medians[1]
    found |= {"copy_in_seconds": ours.copy_in(), "copy_out_seconds": ours.copy_out()}
    return found
