"""The CUDA kernels on this machine's GPU: checked, then timed against cuDNN: python benchmarks/gpu.py

Needs numba-cuda, and torch with CUDA for the comparison; installs nothing, and begins nothing after --minutes. Every
cell is first held against the float64 reference on shapes that take each way over the GPU. Then LSTM and GRU are timed
against torch's cuDNN in float32 with TF32 off, and the cells that cuDNN lacks alone: one call from a synchronised
device to a synchronised device, the two by turns, medians over rounds. Copies to and from the host are timed apart.

Compiling is most of the time, so several processes share the work; one at a time uses the GPU while a row is timed. A
case that crashes, or waits at a barrier for ever, costs its process and nothing else.

What was found goes to results/reference/gpu.json after every case, so that a run that is cut short leaves what it had,
and as a table to gpu.md. --dry runs the same code in the simulator (NUMBA_ENABLE_CUDASIM=1) on tiny shapes.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for a machine on which the package is not installed

import numpy as np  # noqa: E402

Shape = tuple[int, int, int, int, bool]
Case = dict[str, Any]

SCHEMA = 1
STEPS = 100
ROUNDS, WARM_UP = 15, 3
PATIENCE_SECONDS = 100.0  # for what takes a few: two kernels compiled, or a row timed
MOST_WORKERS = 8
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

    def rows(self, torch_device: str | None) -> Iterator[Case]:
        """What the kernels were made for first: small batches and layers that stay on chip."""
        wanted = [(cell, B, H) for B, H in self.shapes for cell in TWINS]
        wanted += [(cell, B, H) for B, H in self.alone for cell in ALONE]
        for cell, B, H in sorted(wanted, key=lambda row: row[1] > 32 or row[2] > 512):
            yield {
                "what": "row", "cell": cell, "B": B, "H": H,
                "steps": self.steps, "rounds": self.rounds, "torch_device": torch_device,
            }  # fmt: skip


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

    def add(self, what: str, found: dict[str, Any], folder: Path) -> None:
        if what == "row":
            self.rows.append(found)
            self.rows.sort(key=lambda row: ((*TWINS, *ALONE).index(row["cell"]), row["H"], row["B"]))
        else:
            self.checks.append(found)
        self.write(folder)

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "gpu.json").write_text(json.dumps(asdict(self), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        (folder / "gpu.md").write_text(table(self), encoding="utf-8")


def relative(value: Any, reference: Any) -> float:
    """max |Δ| / max |reference|; 1e300 where something is not finite, so that JSON can hold it."""
    error = np.abs(value - reference).max() / (np.abs(reference).max() or 1.0)
    return float(error) if np.isfinite(error) else 1e300


def torch_device(dry: bool) -> tuple[str | None, str]:
    """Where torch can run here, or None; and its version, or why not."""
    try:
        import torch
    except ImportError:
        return None, "not installed"
    if dry:
        return "cpu", torch.__version__
    return ("cuda", torch.__version__) if torch.cuda.is_available() else (None, f"{torch.__version__} without a GPU")


def about(dry: bool) -> dict[str, Any]:
    """The GPU, what runs on it, and where torch can; or why nothing can, under "error"."""
    from rnnbench.errors import UsageError

    try:
        from rnnbench.kernels.cuda import target

        device = target.device().name
    except UsageError as error:
        return {"error": str(error)}
    where, torch_version = torch_device(dry)
    versions = {"provider": target.VERSION, "torch": torch_version, "python": platform.python_version()}
    return {"device": device, "versions": versions, "torch_device": where}


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


def checks(sizes: Sizes) -> Iterator[Case]:
    from rnnbench.registry import registry

    for cell in sorted(registry().cells):
        for dtype, shapes in sizes.checks.items():
            for shape in shapes:
                yield {"what": "check", "cell": cell, "dtype": dtype, "shape": shape}
    if sizes.large is not None:
        yield {"what": "check", "cell": "lstm", "dtype": "float32", "shape": sizes.large}


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
        self.stack.memory.fill("x", self.x)
        self.stack.memory.fill("dprediction", self.dy)
        self.stack.lengths.fill("lengths", np.full(B, T, np.int64))
        self.stack.begin(None, B)

    def copy_in(self) -> float:
        return seconds(lambda: self.stack.memory.fill("x", self.x), self.synchronise)

    def infer(self) -> None:
        self.stack.run(self.T, self.B, keep=False)

    def train(self) -> None:
        self.stack.run(self.T, self.B, keep=True)
        self.stack.run_back(self.T, self.B)

    def outputs(self) -> Any:
        return self._target.download(self.stack.memory["y0"], (self.T, self.B, self.model.features))

    def copy_out(self) -> float:
        return seconds(self.outputs, self.synchronise)

    def gradients(self) -> dict[str, Any]:
        return self.stack.views(self._target.download(self.stack.gradient, (self.stack.size,)))

    def compile(self) -> float:
        """The scans' kernels, both ways, without the GPU; the seconds it took."""
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


def measure(
    cell: str, B: int, H: int, steps: int, rounds: int, torch_device: str | None, turn: Callable[[], None]
) -> dict[str, Any]:
    """One row. What differs from cuDNN's result is not timed against it. turn: returns when the GPU is free for it."""
    ours = Ours(cell, steps, B, H)
    row: dict[str, Any] = {"cell": cell, "B": B, "H": H, "plan": ours.plan(False), "plan_back": ours.plan(True)}
    row["compile_seconds"] = ours.compile()
    turn()
    ours.train()
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
        medians = by_turns(parties, what, rounds)
        row[f"{what}_seconds"] = medians[0]
        if len(medians) > 1:
            row[f"cudnn_{what}_seconds"] = medians[1]
    row |= {"copy_in_seconds": ours.copy_in(), "copy_out_seconds": ours.copy_out()}
    return row


# ---- processes -------------------------------------------------------------------------------------------------------


def serve() -> None:
    """Cases from stdin, a line each, and their results to stdout, where nothing else goes. An empty line asks for the
    turn on the GPU, and the next from stdin gives it."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(line: str) -> None:
        out.write(line + "\n")
        out.flush()

    def turn() -> None:
        say("")
        sys.stdin.readline()

    jobs: dict[str, Callable[..., dict[str, Any]]] = {
        "about": about,
        "check": check,
        "row": partial(measure, turn=turn),
    }
    for line in iter(sys.stdin.readline, ""):
        case = json.loads(line)
        job = jobs[case.pop("what")]
        try:
            found = job(**case)
        except Exception as fault:
            traceback.print_exc()
            found = failed(case, f"{type(fault).__name__}: {(str(fault).splitlines() or [''])[0]}")
        say(json.dumps(found))


def failed(case: Case, why: str) -> dict[str, Any]:
    return case | {"error": why, "ok": False}


class Worker:
    """A process that does one case after another. After a failure, which may have broken its CUDA context, it is
    replaced."""

    gpu = threading.Lock()  # whose turn it is

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None

    def ask(self, case: Case) -> dict[str, Any]:
        if self._child is None:
            flags = [f"-W{option}" for option in sys.warnoptions]
            self._child = subprocess.Popen(
                [sys.executable, *flags, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        line = self._exchange(self._child, json.dumps(case))
        if line == "\n":
            with self.gpu:
                line = self._exchange(self._child, "")
        whole = line.endswith("}\n")
        found: dict[str, Any] = (
            json.loads(line) if whole else failed(case, f"died, or took more than {PATIENCE_SECONDS:g} s")
        )
        if "error" in found:
            self.stop()
        return found

    def _exchange(self, child: "subprocess.Popen[str]", line: str) -> str:
        """What it answers; "" when it died, or is killed because it takes too long."""
        assert child.stdin is not None
        assert child.stdout is not None
        timer = threading.Timer(PATIENCE_SECONDS, child.kill)
        timer.start()
        try:
            child.stdin.write(line + "\n")
            child.stdin.flush()
            return child.stdout.readline()
        except BrokenPipeError:
            return ""
        finally:
            timer.cancel()

    def stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None


def spread(cases: list[Case], workers: list[Worker], over: float, keep: Callable[[str, dict[str, Any]], None]) -> int:
    """Each to the next free worker, what came of it to keep(what, found); returns how many were not begun by `over`."""
    waiting, keeping = deque(cases), threading.Lock()

    def run(worker: Worker) -> None:
        while waiting and time.monotonic() < over:
            try:
                case = waiting.popleft()
            except IndexError:  # another was faster
                return
            found = worker.ask(case)
            with keeping:
                keep(case["what"], found)

    with ThreadPoolExecutor(len(workers)) as pool:
        list(pool.map(run, workers))
    return len(waiting)


# ---- the report ------------------------------------------------------------------------------------------------------


def table(found: Findings) -> str:
    wrong = [c for c in found.checks if not c.get("ok")]
    worst: dict[str, float] = {}
    for each in found.checks:
        if "gradient_error" in each:
            worst[each["dtype"]] = max(worst.get(each["dtype"], 0.0), each["gradient_error"])
    passed = len(found.checks) - len(wrong)
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    lines = [
        f"# {found.device}, {found.started}",
        "",
        f"{versions}; {found.steps} steps, float32.",
        "",
        f"{passed} of {len(found.checks)} checks against the float64 reference passed; largest gradient errors: "
        + ", ".join(f"{dtype} {error:.2g}" for dtype, error in worst.items()),
        *(f"- failed: {json.dumps(c)}" for c in wrong),
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


def run(
    sizes: Sizes, torch_device: str | None, workers: list[Worker], over: float, found: Findings, folder: Path
) -> None:
    """All checks, then all rows; each goes to the files in `folder` and to stdout as it comes."""

    def keep(what: str, each: dict[str, Any]) -> None:
        found.add(what, each, folder)
        print(json.dumps(each), flush=True)

    for cases in (list(checks(sizes)), list(sizes.rows(torch_device))):
        left = spread(cases, workers, over, keep)
        if left:
            found.notes.append(f"out of time: {left} of {len(cases)} {cases[0]['what']}s were not begun")
    found.write(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dry", action="store_true", help="tiny shapes, in the simulator")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "reference")
    parser.add_argument("--minutes", type=float, default=8.0, help="nothing is begun after this long")
    parser.add_argument("--workers", type=int, help="processes; 1 leaves the machine to what is timed")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return 0
    if options.dry:
        os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
    over, sizes = time.monotonic() + options.minutes * 60, DRY if options.dry else Sizes()
    count = options.workers or (1 if options.dry else max(1, min(MOST_WORKERS, (os.cpu_count() or 1) // 2)))
    workers = [Worker() for _ in range(count)]
    try:
        # This process leaves the GPU alone: there are machines that give it to one process only.
        here = workers[0].ask({"what": "about", "dry": options.dry})
        if "error" in here:
            print(f"error: {here['error']}", file=sys.stderr)
            return 2
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")
        found = Findings(SCHEMA, here["device"], here["versions"], now, sizes.steps)
        run(sizes, here["torch_device"], workers, over, found, options.out)
    finally:
        for worker in workers:
            worker.stop()
    print(table(found))
    return 0 if all(each.get("ok", True) for each in (*found.checks, *found.rows)) else 1


if __name__ == "__main__":
    sys.exit(main())
