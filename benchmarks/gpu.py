"""The CUDA kernels on this machine's GPU: checked, then timed against cuDNN: python benchmarks/gpu.py

Needs numba-cuda, and torch with CUDA for the comparison; installs nothing, and begins nothing after --minutes. Every
cell is first held against the float64 reference on shapes that take each way over the GPU. Then LSTM and GRU are timed
against torch's cuDNN in float32 with TF32 off, and the cells that cuDNN lacks alone: one call from a synchronised
device to a synchronised device, the two interleaved, medians over rounds. Copies to and from the host are timed apart.

Compiling is most of the time, so several processes share the work; one at a time uses the GPU while a row is timed. A
case that crashes, or waits at a barrier for ever, costs its process and nothing else.

What was found goes to results/reference/gpu.json after every case, so that a run that is cut short leaves what it had,
and as a table to gpu.md. --dry runs the same code in the simulator (NUMBA_ENABLE_CUDASIM=1) on tiny shapes.
"""

import argparse
import datetime
import json
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for a machine on which the package is not installed

from rnnbench import atomic  # noqa: E402
from rnnbench.registry import registry  # noqa: E402

Shape = tuple[int, int, int, int, bool]
Case = dict[str, Any]
Found = dict[str, Any]  # as JSON stores it
SPAWN = get_context("spawn")  # a CUDA context outlives no fork

SCHEMA = 1
STEPS = 100
ROUNDS = 15
PATIENCE_SECONDS = 100.0  # for what takes a few: two kernels compiled, or a row timed
MOST_WORKERS = 8
BATCHES, HIDDEN = (1, 8, 32, 256), (64, 256, 512, 1024, 2048)
IN_CUDNN, ALONE = ("lstm", "gru"), ("gru-before", "ugrnn", "mingru")
ALONE_SHAPES = ((1, 256), (32, 256), (32, 512), (256, 1024))
# T, B, I, H, and whether two layers go both ways with lengths. In turn: one block alone, blocks with a barrier, such
# layers; the last takes more blocks than the GPU holds. Compiling is most of the time, so float64 has one shape.
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
        """Yield what the kernels were made for first: small batches and layers that stay on chip."""
        wanted = [(cell, B, H) for B, H in self.shapes for cell in IN_CUDNN]
        wanted += [(cell, B, H) for B, H in self.alone for cell in ALONE]
        for cell, B, H in sorted(wanted, key=lambda row: row[1] > 32 or row[2] > 512):
            peer = torch_device if cell in IN_CUDNN else None
            row = {"cell": cell, "B": B, "H": H, "steps": self.steps, "rounds": self.rounds, "torch_device": peer}
            yield {"what": "row", **row}

    def every_check(self) -> Iterator[Case]:
        for cell in sorted(registry().cells):
            for dtype, shapes in self.checks.items():
                for shape in shapes:
                    yield {"what": "check", "cell": cell, "dtype": dtype, "shape": shape}
        if self.large is not None:
            yield {"what": "check", "cell": "lstm", "dtype": "float32", "shape": self.large}


DRY = Sizes(steps=2, rounds=1, checks={"float32": ((2, 2, 2, 3, True),)}, large=None, shapes=((1, 3),), alone=((2, 3),))


@dataclass
class Findings:
    """Everything found, in the form in which it is stored. Times in seconds, errors relative."""

    schema: int
    device: str
    versions: dict[str, str]
    started: str
    steps: int
    checks: list[Found] = field(default_factory=list)
    rows: list[Found] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, what: str, found: Found, folder: Path) -> None:
        if what == "row":
            self.rows.append(found)
            self.rows.sort(key=lambda row: ((*IN_CUDNN, *ALONE).index(row["cell"]), row["H"], row["B"]))
        else:
            self.checks.append(found)
        self.write(folder)

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        atomic.write(folder / "gpu.json", json.dumps(asdict(self), indent=1, allow_nan=False) + "\n")
        atomic.write(folder / "gpu.md", table(self))


# ---- processes -------------------------------------------------------------------------------------------------------


def serve(pipe: Connection) -> None:
    """Answer cases from the pipe until it closes. None asks for the turn on the GPU, and the next message gives it."""
    import gpu_kernels

    def turn() -> None:
        pipe.send(None)
        pipe.recv()

    while True:
        try:
            case = pipe.recv()
        except EOFError:
            return
        what = case.pop("what")
        try:
            found = gpu_kernels.row(**case, turn=turn) if what == "row" else getattr(gpu_kernels, what)(**case)
        except Exception as fault:
            traceback.print_exc()
            found = failed(case, f"{type(fault).__name__}: {(str(fault).splitlines() or [''])[0]}")
        pipe.send(found)


def failed(case: Case, why: str) -> Found:
    return case | {"error": why, "ok": False}


class Worker:
    """A process that does one case after another. After a failure, which may have broken its CUDA context, it is
    replaced."""

    gpu = threading.Lock()  # whose turn it is

    def __init__(self) -> None:
        self._child: tuple[SpawnProcess, Connection] | None = None

    def ask(self, case: Case) -> Found:
        """Return what came of a case; an error when the process died, or is killed because it takes too long."""
        if self._child is None:
            pipe, other = SPAWN.Pipe()
            self._child = SPAWN.Process(target=serve, args=(other,), daemon=True), pipe
            self._child[0].start()
            other.close()
        pipe = self._child[1]
        try:
            found = self._exchange(pipe, case)
            if found is None:
                with self.gpu:
                    found = self._exchange(pipe, None)
        except (EOFError, OSError):  # a TimeoutError too
            found = failed(case, f"died, or took more than {PATIENCE_SECONDS:g} s")
        if "error" in found:
            self.stop()
        return found

    @staticmethod
    def _exchange(pipe: Connection, message: Case | None) -> Any:
        pipe.send(message)
        if not pipe.poll(PATIENCE_SECONDS):
            raise TimeoutError
        return pipe.recv()

    def stop(self) -> None:
        if self._child is not None:
            process, pipe = self._child
            process.kill()
            process.join()
            process.close()
            pipe.close()
            self._child = None


def spread(cases: list[Case], workers: list[Worker], over: float, keep: Callable[[str, Found], None]) -> int:
    """Give each to the next free worker, what came of it to keep(what, found); count those not begun by `over`."""
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
    """Do all checks, then all rows; each goes to the files in `folder` and to stdout as it comes."""

    def keep(what: str, each: Found) -> None:
        found.add(what, each, folder)
        print(json.dumps(each), flush=True)

    for cases in (list(sizes.every_check()), list(sizes.rows(torch_device))):
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
    options = parser.parse_args()
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
