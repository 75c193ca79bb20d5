"""The CUDA kernels on this machine's GPU: checked, then timed against cuDNN: python benchmarks/gpu.py

Needs numba-cuda, and torch with CUDA for the comparison; installs nothing, and begins no row after --minutes. Every
cell is first held against the float64 reference on shapes that take each way over the GPU. Then LSTM and GRU are timed
against torch's cuDNN in float32 with TF32 off, and the cells that cuDNN lacks alone: one call from a synchronised
device to a synchronised device, the two by turns, medians over rounds. Copies to and from the host are timed apart.

What was found goes to results/reference/gpu.json after every row, so that a run that is cut short leaves what it had,
and as a table to gpu.md. --dry runs the same code in the simulator (NUMBA_ENABLE_CUDASIM=1) on tiny shapes.
"""

import argparse
import datetime
import faulthandler
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for a machine on which the package is not installed

import numpy as np  # noqa: E402

Shape = tuple[int, int, int, int, bool]

SCHEMA = 1
STEPS = 100
ROUNDS, WARM_UP = 15, 3
TOLERANCES = {"float64": 1e-12, "float32": 5e-6}  # outputs, of the largest; gradients ten times that
BATCHES, HIDDEN = (1, 8, 32, 256), (64, 256, 512, 1024, 2048)
TWINS = ("lstm", "gru")  # cells that cuDNN has
ALONE = ("gru-before", "ugrnn", "mingru")
ALONE_SHAPES = ((1, 256), (32, 256), (32, 512), (256, 1024))
# T, B, I, H, and whether two layers go both ways with lengths. In turn: one block alone, blocks that meet, such layers;
# the last takes more blocks than the GPU holds. Compiling is most of the time, so float64 has one shape.
CHECKS = {
    "float32": ((7, 5, 3, 33, True), (6, 16, 20, 256, False), (5, 3, 8, 640, True)),
    "float64": ((6, 16, 20, 256, False),),
}
LARGE_CHECK = (2, 256, 8, 2048, False)


@dataclass(frozen=True)
class Sizes:
    """What a run covers."""

    steps: int = STEPS
    rounds: int = ROUNDS
    checks: dict[str, tuple[Shape, ...]] = field(default_factory=lambda: CHECKS)
    large: Shape | None = LARGE_CHECK
    shapes: tuple[tuple[int, int], ...] = tuple((B, H) for H in HIDDEN for B in BATCHES)
    alone: tuple[tuple[int, int], ...] = ALONE_SHAPES


DRY = Sizes(steps=2, rounds=1, checks={"float32": ((2, 2, 2, 3, True),)}, large=None, shapes=((1, 3),), alone=((2, 3),))


@dataclass
class Findings:
    """Everything found, in the form in which it is stored. Times in seconds, errors relative."""

    schema: int
    device: str
    versions: dict[str, str]
    started: str
    steps: int
    checks: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "gpu.json").write_text(json.dumps(asdict(self), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        (folder / "gpu.md").write_text(table(self), encoding="utf-8")


def relative(value: Any, reference: Any) -> float:
    """max |Δ| / max |reference|; 1e300 where something is not finite, so that JSON can hold it."""
    error = np.abs(value - reference).max() / (np.abs(reference).max() or 1.0)
    return float(error) if np.isfinite(error) else 1e300


# ---- checking --------------------------------------------------------------------------------------------------------


def check(cell: str, dtype: str, shape: Shape) -> dict[str, Any]:
    """Outputs, states and gradients of one model against the float64 reference."""
    from dataclasses import replace

    from rnnbench.backends.numba_cuda import CudaBackend
    from rnnbench.backends.numpy_reference import NumpyBackend
    from rnnbench.model import Model

    T, B, I, H, hard = shape
    model = Model(cell, I, H, 2, 2 if hard else 1, hard, "all" if hard else "last", dtype)
    params, rng = model.init(0), np.random.default_rng(1)
    x = rng.standard_normal((T, B, I)).astype(dtype)
    lengths = rng.integers(1, T + 1, B) if hard else None
    target = rng.standard_normal((T, B, 2) if hard else (B, 2)).astype(dtype)
    wide = NumpyBackend(1).session(replace(model, dtype="float64"), {n: v.astype("float64") for n, v in params.items()})
    session = CudaBackend(1).session(model, params)
    y, state = session.forward(x, lengths)
    expected, expected_state = wide.forward(x, lengths)
    _, gradients = session.gradients(x, target, lengths)
    _, expected_gradients = wide.gradients(x, target, lengths)
    least = 1e-3 * max(float(np.abs(g).max()) for g in expected_gradients.values())
    slopes = [
        float(np.abs(gradients[n] - g).max()) / max(float(np.abs(g).max()), least)
        for n, g in expected_gradients.items()
    ]
    output = max(relative(y, expected), *(relative(a, b) for a, b in zip(state, expected_state, strict=True)))
    gradient = max(slopes) if np.isfinite(slopes).all() else 1e300
    return {
        "cell": cell, "dtype": dtype, "T": T, "B": B, "I": I, "H": H, "hard": hard,
        "output_error": output, "gradient_error": gradient,
        "ok": output <= TOLERANCES[dtype] and gradient <= 10 * TOLERANCES[dtype],
    }  # fmt: skip


def checks(sizes: Sizes) -> Iterator[Callable[[], dict[str, Any]]]:
    from rnnbench.plugins import registry

    for cell in sorted(registry().cells):
        for dtype, shapes in sizes.checks.items():
            for shape in shapes:
                yield lambda cell=cell, dtype=dtype, shape=shape: check(cell, dtype, shape)
    if sizes.large is not None:
        yield lambda: check("lstm", "float32", sizes.large)


# ---- what is timed ---------------------------------------------------------------------------------------------------


class Ours:
    """One layer of our kernels, its inputs on the device."""

    def __init__(self, cell: str, T: int, B: int, H: int) -> None:
        from rnnbench.kernels.cuda import target
        from rnnbench.kernels.cuda.stack import Stack
        from rnnbench.model import Model

        self.model = Model(cell, H, H, readout="all")
        self.params, self.T, self.B, self._target = self.model.init(0), T, B, target
        rng = np.random.default_rng(2)
        self.x, self.dy = (rng.standard_normal((T, B, H)).astype("float32") for _ in range(2))
        self.stack = Stack(self.model, self.params)
        self.synchronise = target.synchronise
        self.copy_in_seconds = self._copy_in()
        self.stack.memory.fill("dprediction", self.dy)
        self.stack.lengths.fill("lengths", np.full(B, T, np.int64))
        self.stack.begin(None, B)

    def _copy_in(self) -> float:
        self.stack.memory.fill("x", self.x)  # the first takes the memory too
        self.synchronise()
        return seconds(lambda: self.stack.memory.fill("x", self.x), self.synchronise)

    def infer(self) -> None:
        self.stack.run(self.T, self.B, keep=False)

    def train(self) -> None:
        self.stack.run(self.T, self.B, keep=True)
        self.stack.run_back(self.T, self.B)

    def outputs(self) -> Any:
        return self._target.download(self.stack.memory["y0"], (self.T, self.B, self.model.features))

    def copy_out_seconds(self) -> float:
        return seconds(self.outputs, self.synchronise)

    def gradients(self) -> dict[str, Any]:
        return self.stack.views(self._target.download(self.stack.gradient, (self.stack.size,)))

    def plan(self, backward: bool) -> str:
        plan = self.stack.layers[0]._scan(self.B, backward).plan
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
        """Those of W and R, canonical shapes but for the gates' axis, which is joined to the units'."""
        return self.slopes[0].cpu().numpy(), self.slopes[1].cpu().numpy()


def seconds(call: Callable[[], Any], synchronise: Callable[[], None]) -> float:
    """One call, from an idle device to an idle device."""
    synchronise()
    start = time.perf_counter()
    call()
    synchronise()
    return time.perf_counter() - start


def by_turns(parties: list[Any], what: str, rounds: int) -> list[float]:
    """Each party's median time of `what`; who begins changes from round to round."""
    for party in parties:
        for _ in range(WARM_UP):
            seconds(getattr(party, what), party.synchronise)
    samples: list[list[float]] = [[] for _ in parties]
    for number in range(rounds):
        order = range(len(parties)) if number % 2 == 0 else reversed(range(len(parties)))
        for index in order:
            samples[index].append(seconds(getattr(parties[index], what), parties[index].synchronise))
    return [statistics.median(found) for found in samples]


def measure(cell: str, B: int, H: int, sizes: Sizes, torch_device: str | None) -> dict[str, Any]:
    """One row. What differs from cuDNN's result is not timed against it."""
    ours = Ours(cell, sizes.steps, B, H)
    row: dict[str, Any] = {"cell": cell, "B": B, "H": H, "plan": ours.plan(False), "plan_back": ours.plan(True)}
    begun = time.perf_counter()
    ours.train()
    ours.synchronise()
    row["first_call_seconds"] = time.perf_counter() - begun
    parties: list[Any] = [ours]
    if torch_device is not None and cell in TWINS:
        peer = CuDNN(ours, torch_device)
        peer.infer()
        peer.train()
        gradients = ours.gradients()
        pairs = [(gradients[f"layers.0.forward.{n}"], g) for n, g in zip("WR", peer.weight_gradients(), strict=True)]
        row["output_difference"] = relative(ours.outputs(), peer.outputs())
        row["gradient_difference"] = max(relative(mine.reshape(g.shape), g) for mine, g in pairs)
        row["ok"] = row["output_difference"] <= 1e-4 and row["gradient_difference"] <= 1e-3
        parties += [peer] if row["ok"] else []
    for what in ("infer", "train"):
        medians = by_turns(parties, what, sizes.rounds)
        row[f"{what}_seconds"] = medians[0]
        if len(medians) > 1:
            row[f"cudnn_{what}_seconds"] = medians[1]
    row |= {"copy_in_seconds": ours.copy_in_seconds, "copy_out_seconds": ours.copy_out_seconds()}
    return row


# ---- the report ------------------------------------------------------------------------------------------------------


def table(found: Findings) -> str:
    failed = [c for c in found.checks if not c.get("ok")]
    worst: dict[str, float] = {}
    for each in found.checks:
        if "gradient_error" in each:
            worst[each["dtype"]] = max(worst.get(each["dtype"], 0.0), each["gradient_error"])
    passed = len(found.checks) - len(failed)
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    lines = [
        f"# {found.device}, {found.started}",
        "",
        f"{versions}; {found.steps} steps, float32.",
        "",
        f"{passed} of {len(found.checks)} checks against the float64 reference passed; largest gradient errors: "
        + ", ".join(f"{dtype} {error:.2g}" for dtype, error in worst.items()),
        *(f"- failed: {json.dumps(c)}" for c in failed),
        *(f"- {note}" for note in found.notes),
        "",
        "| cell | B | H | plan | infer (ms) | cuDNN (ms) | times faster | train (ms) | cuDNN (ms) | times faster |",
        "|:--|--:|--:|:--|--:|--:|--:|--:|--:|--:|",
    ]
    for row in found.rows:
        cells = [row["cell"], str(row["B"]), str(row["H"]), row.get("plan", row.get("error", ""))]
        for what in ("infer", "train"):
            mine, peer = row.get(f"{what}_seconds"), row.get(f"cudnn_{what}_seconds")
            cells += [f"{mine * 1e3:.3f}" if mine else "–", f"{peer * 1e3:.3f}" if peer else "–"]
            cells.append(f"{peer / mine:.2f}" if mine and peer else "–")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def guarded(call: Callable[[], dict[str, Any]], what: dict[str, Any]) -> dict[str, Any]:
    """Its result, or what it raised: one failure does not cost the run."""
    try:
        return call()
    except Exception as fault:
        return what | {
            "error": f"{type(fault).__name__}: {str(fault).splitlines()[0] if str(fault) else ''}",
            "ok": False,
        }


def torch_device(dry: bool) -> tuple[str | None, str]:
    """Where torch can run here, or None; and its version, or why not."""
    try:
        import torch
    except ImportError:
        return None, "not installed"
    if dry:
        return "cpu", torch.__version__
    return ("cuda", torch.__version__) if torch.cuda.is_available() else (None, f"{torch.__version__} without a GPU")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dry", action="store_true", help="tiny shapes, in the simulator")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "reference")
    parser.add_argument("--minutes", type=float, default=9.0, help="no row is begun after this long")
    options = parser.parse_args()
    if options.dry:
        os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
    from rnnbench.errors import UsageError

    limit = options.minutes * 60
    # A barrier that nobody reaches would wait for ever: then say where, and leave what has been written.
    faulthandler.dump_traceback_later(limit + 45, exit=True)
    begun, sizes = time.monotonic(), DRY if options.dry else Sizes()
    where, torch_version = torch_device(options.dry)
    try:
        from rnnbench.kernels.cuda import target

        device = target.device().name
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    versions = {"provider": target.VERSION, "torch": torch_version, "python": platform.python_version()}
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")
    found = Findings(SCHEMA, device, versions, now, sizes.steps)
    for call in checks(sizes):
        found.checks.append(guarded(call, {}))
        found.write(options.out)
        print(json.dumps(found.checks[-1]), flush=True)
    wanted = [(cell, B, H) for B, H in sizes.shapes for cell in TWINS]
    wanted += [(cell, B, H) for B, H in sizes.alone for cell in ALONE]
    for done, (cell, B, H) in enumerate(wanted):
        if time.monotonic() - begun > limit:
            found.notes.append(f"out of time: {len(wanted) - done} of {len(wanted)} rows were not measured")
            break
        name = {"cell": cell, "B": B, "H": H}
        found.rows.append(guarded(lambda cell=cell, B=B, H=H: measure(cell, B, H, sizes, where), name))
        found.write(options.out)
        print(json.dumps(found.rows[-1]), flush=True)
    found.write(options.out)
    print(table(found))
    return 0 if all(each.get("ok", True) for each in (*found.checks, *found.rows)) else 1


if __name__ == "__main__":
    sys.exit(main())
