"""The kernels against every installed runtime, on a grid of shapes: python benchmarks/peers.py

Inference of a whole sequence and training steps (forward, backward and Adam) of LSTM and GRU, on one thread and two,
and single steps of a stream. Every backend has a process of its own, is checked against the float64 reference before it
is timed, and is interleaved with the others; who waits is stopped. The tables go to results/reference/peers.md, and
what was measured to results/reference/peers.json. About ten minutes.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import perf_counter

import numpy as np

import rnnbench
from rnnbench import atomic, clock
from rnnbench.backends.base import Backend, Case, Session
from rnnbench.comparison.backend_run import BackendRun
from rnnbench.model import Array, Model
from rnnbench.registry import registry
from rnnbench.report import markdown
from rnnbench.roofline.limits import MachineLimits, case_limit, limits
from rnnbench.verify import parity
from rnnbench.workers.failure import Failure
from rnnbench.workers.messages import MaybeNaN
from rnnbench.workers.sandbox import Sandbox, parent_cores
from rnnbench.workers.serve import BackendLoader
from rnnbench.workers.worker import WorkerLimits

OUT = Path(__file__).resolve().parent.parent / "results" / "reference"
CELLS = ("lstm", "gru")
OURS, NOT_TIMED = "numba", ("numpy", "keras")  # Keras has no kernels: its time is that of torch or JAX, and more
CHECKED_STEPS = 8  # of a sequence, against the reference: what goes wrong does so in the first steps
SECONDS, FEWEST = 1.0, 5  # a case's rounds: as many as take so long, and never fewer
TRAINING, INFERENCE, STREAMING = "training", "inference", "streaming"
STREAMED = 500  # steps of a stream in one sample
# What a ratio should at least be: 0.97 counts as a tie.
BAR = {INFERENCE: 0.97, TRAINING: 1.2, STREAMING: 3.0}
OVERVIEW = "## Overview"


@dataclass(frozen=True)
class Shape:
    B: int
    T: int
    I: int
    H: int

    def __str__(self) -> str:
        return f"{self.B}, {self.T}, {self.I}, {self.H}"


# The first eleven are round; the others lie between them, with nothing that divides by a vector's width.
SHAPES = [
    Shape(*sizes)
    for sizes in (
        (1, 100, 1, 50),
        (1, 100, 64, 128),
        (1, 100, 128, 256),
        (1, 50, 256, 512),
        (1, 50, 1024, 1024),
        (32, 100, 1, 50),
        (32, 100, 64, 128),
        (32, 50, 256, 512),
        (128, 50, 64, 128),
        (64, 25, 1024, 1024),
        (256, 30, 128, 256),
        (3, 61, 7, 96),
        (17, 60, 33, 200),
        (48, 41, 100, 384),
    )
]
STREAM = Shape(1, 1, 8, 64)


def problem(cell: str, shape: Shape) -> tuple[Model, dict[str, Array], Array, Array]:
    """Return the model, its weights, x [T, B, I] and a target [T, B, H], the same in every process."""
    model = Model(cell, shape.I, shape.H, readout="all")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((shape.T, shape.B, shape.I)).astype(np.float32)
    return model, model.init(0), x, rng.standard_normal((shape.T, shape.B, shape.H)).astype(np.float32)


class PeerActions:
    """What a worker does: `open` a case, then `calibrate` one of its calls, and `sample` it."""

    def __init__(self, backend: Backend, threads: int) -> None:
        self.backend, self.threads = backend, threads
        self.session: Session
        self.calls: dict[str, Callable[[], object]] = {}

    def open(self, cell: str, shape: Shape, reference: str, trains: bool) -> list[MaybeNaN]:
        """Make sessions; return the errors of their outputs and, where the case trains, of their gradients.

        reference: a file of the right ones over a case's first steps.
        """
        model, params, x, target = problem(cell, shape)
        if reason := self.backend.unsupported(Case(model, shape.B, shape.T, self.threads)):
            raise Failure("unsupported", reason)
        with np.load(reference, allow_pickle=False) as file:
            right = {name: file[name] for name in file.files}
        steps = len(right["y"])
        self.session = self.backend.session(model, params)
        errors = [parity.deviation({"y": self.session.forward(x[:steps])[0]}, {"y": right.pop("y")}).error]
        self.calls = {INFERENCE: lambda: self.session.forward(x), STREAMING: self._stream(x)}
        if trains:
            found = self.session.gradients(x[:steps], target[:steps])[1]
            errors.append(parity.gradient_deviation(found, right).error)
            learner = self.backend.session(model, params)
            self.calls[TRAINING] = lambda: learner.train_step(x, target)
        return errors

    def calibrate(self, what: str) -> clock.Calibration:
        """Find how many calls make a sample."""
        self._calibration = clock.calibrated(self.calls[what])
        return self._calibration

    def sample(self, what: str) -> float:
        """Time one sample of what was calibrated: the seconds of a call."""
        return clock.sample(self.calls[what], self._calibration)

    def _stream(self, x: Array) -> Callable[[], None]:
        """Return what takes the steps of a stream."""
        x_t = np.ascontiguousarray(x[0])

        def steps() -> None:
            state = None
            for _ in range(STREAMED):
                _, state = self.session.step(x_t, state)

        return steps


@dataclass
class Row:
    """One case: medians over the rounds in milliseconds (of a step in microseconds), by backend, and our standing: the
    fastest peer's time over ours, the median of the rounds' ratios."""

    what: str
    threads: int
    cell: str
    shape: Shape
    times: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    limit: str = ""
    limit_share: float | None = None

    @property
    def behind(self) -> bool:
        """Tell whether the ratio is below its bar."""
        return self.ratio is not None and self.ratio < BAR[self.what]


def reference(path: Path, cell: str, shape: Shape, trains: bool) -> None:
    """Write the float64 reference's outputs, and gradients, over the first steps of a case."""
    _, params, x, target = problem(cell, shape)
    wide = Model(cell, shape.I, shape.H, readout="all", dtype="float64")
    oracle = rnnbench.session("numpy", wide, {name: value.astype(np.float64) for name, value in params.items()})
    x, target = x[:CHECKED_STEPS].astype(np.float64), target[:CHECKED_STEPS].astype(np.float64)
    right = oracle.gradients(x, target)[1] if trains else {}
    np.savez(path, allow_pickle=False, y=oracle.forward(x)[0], **right)


def interleaved(runs: Sequence[BackendRun], what: str, random: Random) -> dict[str, list[float]]:
    """Return the seconds of a call of every run, a value a round."""
    longest = 0.0
    for run in runs:
        with run.guarded():
            longest = max(longest, run.ask(PeerActions.calibrate, what).seconds)
    timed = [run for run in runs if run.ok]
    seconds: dict[str, list[float]] = {run.name: [] for run in timed}
    for run in clock.interleaved(timed, clock.count(longest * len(timed), SECONDS, FEWEST), random):
        with run.guarded():
            seconds[run.name].append(run.ask(PeerActions.sample, what))
    return {run.name: seconds[run.name] for run in timed if run.ok}


def standing(row: Row, seconds: dict[str, list[float]]) -> None:
    """Fill in times and the ratio to the fastest peer, the one with the smallest median."""
    unit = 1e6 / STREAMED if row.what == STREAMING else 1e3
    row.times = {name: float(np.median(values)) * unit for name, values in seconds.items()}
    peers = [name for name in row.times if name != OURS]
    if peers and OURS in row.times:
        fastest = min(peers, key=row.times.__getitem__)
        ratios = np.array(seconds[fastest]) / np.array(seconds[OURS])
        row.ratio, row.ratio_low, row.ratio_high = (float(np.quantile(ratios, q)) for q in (0.5, 0.25, 0.75))


@dataclass(frozen=True)
class Peers:
    """The backends' workers on so many threads, alive for all cases."""

    runs: Sequence[BackendRun]
    threads: int
    folder: Path
    random: Random

    def measured(self, cell: str, shape: Shape, wanted: Sequence[str]) -> Iterator[Row]:
        """Yield the rows of one case: those of `wanted` that the backends can do."""
        path = self.folder / "reference.npz"
        reference(path, cell, shape, TRAINING in wanted)
        opened = [BackendRun(run.name, run.info, worker=run.worker) for run in self.runs]
        trainers = {run.name for run in opened if run.info.trains and TRAINING in wanted}
        allowed = (parity.FORWARD_TOLERANCE["float32"], parity.GRADIENT_TOLERANCE["float32"])
        for run in opened:
            with run.guarded():
                errors = run.ask(PeerActions.open, cell, shape, str(path), run.name in trainers)
                for kind, error, most in zip(("outputs", "gradients"), errors, allowed, strict=False):
                    if not error <= most:
                        raise Failure("mismatch", f"{kind} are off by {error:.1e}; {most:g} is allowed")
        for what in wanted:
            able = [run for run in opened if run.ok and (what != TRAINING or run.name in trainers)]
            row = Row(what, self.threads, cell, shape)
            standing(row, interleaved(able, what, self.random))
            row.failures = {run.name: f"{run.status}: {run.reason}" for run in opened if not run.ok}
            yield row


def place_under_limit(row: Row, machine: MachineLimits) -> None:
    """Fill in how much of a row's time is the least that the machine's arithmetic and bandwidth allow."""
    if row.what == INFERENCE and OURS in row.times:
        model = Model(row.cell, row.shape.I, row.shape.H, readout="all")
        seconds, row.limit = case_limit(machine, model, row.shape.B, row.shape.T)
        row.limit_share = seconds * 1e3 / row.times[OURS]


def table(rows: Sequence[Row]) -> str:
    """Return rows that differ in cell and shape as Markdown."""
    names = sorted({name for row in rows for name in row.times}, key=lambda name: (name != OURS, name))
    limited = any(row.limit for row in rows)
    unit = "µs a step" if rows[0].what == STREAMING else "ms"
    heads = ["cell", "B, T, I, H", *(f"{name} ({unit})" for name in names), "fastest peer / numba"]
    heads += ["limit", "of it"] if limited else []
    lines = []
    for row in rows:
        cells = [row.cell, str(row.shape)]
        cells += [f"{row.times[name]:.3g}" if name in row.times else "–" for name in names]
        cells.append("–" if row.ratio is None else f"**{row.ratio:.2f}** behind" if row.behind else f"{row.ratio:.2f}")
        if limited:
            cells += [row.limit, "" if row.limit_share is None else f"{row.limit_share:.0%}"]
        lines.append(cells)
    return markdown.table(heads, lines, left=(0, 1))


def overview(rows: Sequence[Row]) -> str:
    """Return a line for each kind of work, thread count and cell: the mean, the least and the most of the ratios."""
    heads = ["work", "threads", "cell", "fastest peer / numba, mean", "least", "most", "at the bar"]
    lines = []
    kinds = [
        (what, threads) for what in (INFERENCE, TRAINING, STREAMING) for threads in sorted({r.threads for r in rows})
    ]
    for what, threads in kinds:
        for cell in CELLS:
            some = [row for row in rows if (row.what, row.threads, row.cell) == (what, threads, cell)]
            ratios = [row.ratio for row in some if row.ratio is not None]
            if ratios:
                mean = float(np.exp(np.mean(np.log(ratios))))
                bar = f"{sum(not row.behind for row in some)} of {len(ratios)} (≥ {BAR[what]:g})"
                figures = [f"{ratio:.2f}" for ratio in (mean, min(ratios), max(ratios))]
                lines.append([what, str(threads), cell, *figures, bar])
    return markdown.table(heads, lines, left=(0, 2))


def document(rows: Sequence[Row], about: dict[str, str]) -> str:
    """Return all tables as a page."""
    parts = [
        "# Kernels against their peers",
        "Written by `python benchmarks/peers.py`. Medians over interleaved rounds, a process for each backend; the "
        "ratio is the median of the rounds' ratios of the fastest peer's time to numba's. **behind**: below "
        f"{BAR[INFERENCE]} (training: {BAR[TRAINING]}, streaming: {BAR[STREAMING]:g}). limit: what bounds the case on "
        "this machine, and the part of that bound which numba reaches.",
        "\n".join(f"- {name}: {value}" for name, value in about.items()),
    ]
    parts += [OVERVIEW, overview(rows)]
    for threads in sorted({row.threads for row in rows}):
        for what in (INFERENCE, TRAINING, STREAMING):
            some = [row for row in rows if row.threads == threads and row.what == what]
            if some:
                count = "one thread" if threads == 1 else f"{threads} threads"
                parts += [f"## {what.capitalize()}, {count}", table(some)]
    failures = sorted({f"{name}: {why}" for row in rows for name, why in row.failures.items()})
    return "\n\n".join(parts + ([f"- {line}" for line in failures] if failures else [])) + "\n"


def described(machine: MachineLimits) -> str:
    """Return the machine's limits as a line."""
    levels = ", ".join(f"{level.name} {level.bandwidth / 1e9:.0f} GB/s" for level in machine.levels)
    return f"{machine.flops_peak / 1e9:.0f} GFLOP/s; read {levels}"


def run(threads: int, backends: Sequence[str], shapes: Sequence[Shape], about: dict[str, str]) -> Iterator[Row]:
    """Yield the rows of every case on so many threads."""
    found, machine = registry(), limits("float32", threads)
    about[f"limits, threads: {threads}"] = described(machine)
    with Sandbox(WorkerLimits()) as sandbox, parent_cores(sandbox.cores, threads):
        infos = [found.backend(name) for name in backends]
        workers = [sandbox.start(info, threads, n, work="peers:PeerActions") for n, info in enumerate(infos)]
        for info, worker in zip(infos, workers, strict=True):
            about[info.id] = worker.receive(BackendLoader.load, worker.limits.load_seconds)
            worker.pause()
        runs = [BackendRun(info.id, info, worker=worker) for info, worker in zip(infos, workers, strict=True)]
        peers = Peers(runs, threads, sandbox.folder, Random(0))
        cases: list[tuple[str, Shape, tuple[str, ...]]] = [
            (cell, shape, (INFERENCE, TRAINING)) for cell in CELLS for shape in shapes
        ]
        if threads == 1:
            cases += [(cell, STREAM, (STREAMING,)) for cell in CELLS]
        for cell, shape, wanted in cases:
            for row in peers.measured(cell, shape, wanted):
                place_under_limit(row, machine)
                yield row


def save(rows: Sequence[Row], about: dict[str, str], out: Path) -> None:
    """Write both files, after every case, so that an interrupt costs one."""
    kept = [{**vars(row), "shape": [row.shape.B, row.shape.T, row.shape.I, row.shape.H]} for row in rows]
    out.mkdir(parents=True, exist_ok=True)
    atomic.write(out / "peers.json", json.dumps({"about": about, "rows": kept}, indent=1) + "\n")
    atomic.write(out / "peers.md", document(rows, about))


def main() -> None:
    """Measure what was asked for, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", default="", help="comma-separated; all installed but numpy and keras by default")
    parser.add_argument("--threads", default="1,2", help="comma-separated")
    parser.add_argument("--shapes", default="", help="B,T,I,H separated by spaces; the grid by default")
    parser.add_argument("--out", type=Path, default=OUT, help="the folder to write to")
    arguments = parser.parse_args()
    names = [name for name in arguments.backends.split(",") if name] or [
        info.id for info in registry().backends.values() if info.missing() is None and info.id not in NOT_TIMED
    ]
    shapes = [Shape(*map(int, sizes.split(","))) for sizes in arguments.shapes.split()] or SHAPES
    rows: list[Row] = []
    about: dict[str, str] = {}
    start = perf_counter()
    for threads in map(int, arguments.threads.split(",")):
        for row in run(threads, names, shapes, about):
            rows.append(row)
            save(rows, about, arguments.out)
            print(table([row]).splitlines()[-1], row.what, threads, *row.failures.items(), flush=True)  # noqa: T201
    sys.stderr.write(f"{perf_counter() - start:.0f} s\n")


if __name__ == "__main__":
    main()
