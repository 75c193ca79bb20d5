"""Measures two commits, interleaved, so that whatever the machine does meanwhile happens to both.

For each of several processes a side, three of them live at the same time: one of the base commit, its control, and one
of the candidate. One runs while the others are stopped, on the same core. The control, a second process of the base,
gives the machine's A/A noise under the very conditions of the comparison.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import isfinite
from pathlib import Path
from random import Random
from typing import TypeVar

from rnnbench import clock
from rnnbench.records.statistics import PROCESSES_FOR_A_VERDICT
from rnnbench.registry import requests
from rnnbench.tracking.checkout_worker import CheckoutActions, ModelFacts, Sizes
from rnnbench.workers.failure import Failure
from rnnbench.workers.sandbox import Sandbox, parent_cores, termination_as_interrupt, worker_cores
from rnnbench.workers.worker import Worker, WorkerLimits

T = TypeVar("T")
BASE, CONTROL, CANDIDATE = "base", "control", "candidate"
SIDES = (BASE, CONTROL, CANDIDATE)
TIMED = ("infer", "step", "train")
ROUNDS = 9
CHECKOUT_WORKER = Path(__file__).with_name("checkout_worker.py")


@dataclass(frozen=True)
class GatePlan:
    """What to measure. figures: of `TIMED`, and "score"; a second measurement may want only some."""

    cells: tuple[str, ...] = ("rnn-tanh", "lstm", "gru")
    backend: str = "numba"
    task: str = "sunspots"
    figures: frozenset[str] = frozenset((*TIMED, "score"))
    processes: int = PROCESSES_FOR_A_VERDICT
    sizes: Sizes = field(default_factory=Sizes)


@dataclass(frozen=True)
class Checkout:
    """A commit's files, and the Python to run them with."""

    root: Path
    python: str = sys.executable


@dataclass
class ABSamples:
    """times: (side, cell, figure) -> for each process its rounds, in seconds. scores: (side, cell) -> by seed.
    facts: by (side, cell). memory: side -> bytes of each process. failures: (side, cell) -> why.
    better: "lower" or "higher", of the scores."""

    times: dict[tuple[str, str, str], list[list[float]]] = field(default_factory=dict)
    scores: dict[tuple[str, str], dict[int, float]] = field(default_factory=dict)
    facts: dict[tuple[str, str], ModelFacts] = field(default_factory=dict)
    memory: dict[str, list[int]] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    better: str = "lower"

    def failed(self, cell: str) -> bool:
        """Tell whether some side failed the cell."""
        return any((side, cell) in self.failures for side in SIDES)


OnProgress = Callable[[str], None]


def measure(
    base: Checkout, candidate: Checkout, plan: GatePlan, on_progress: OnProgress, limits: WorkerLimits | None = None
) -> ABSamples:
    """Measure base and candidate, process by process. on_progress: told, in a few words, where the measurement is."""
    checkouts = {BASE: base, CONTROL: base, CANDIDATE: candidate}
    samples = ABSamples()
    with termination_as_interrupt(), Sandbox(limits or WorkerLimits()) as sandbox:
        on_progress("compiling or loading kernels")
        warm(sandbox, (base, candidate), plan)
        with parent_cores(sandbox.cores, 1):
            for number in range(plan.processes):
                on_progress(f"process {number + 1} of {plan.processes}")
                SideProcesses(sandbox, checkouts, plan, number, samples).run()
    return samples


def warm(sandbox: Sandbox, sides: Sequence[Checkout], plan: GatePlan) -> None:
    """Fill the kernel cache, both sides at once, so that no process that is measured has to compile: that would show
    in its memory. What fails here fails again where it is noted."""
    workers = [started(sandbox, side, plan, position) for position, side in enumerate(sides)]
    for worker in workers:
        with suppress(Failure):
            worker.receive(CheckoutActions.load, worker.limits.load_seconds)
    for cell in plan.cells:
        for number, worker in enumerate(workers):
            given = str(sandbox.folder / f"warm-{number}-{cell}.npz")
            with suppress(Failure):
                worker.send(CheckoutActions.open, cell, plan.sizes, given, make=True)
        for worker in workers:
            with suppress(Failure):
                worker.receive(CheckoutActions.open)
    for worker in workers:
        sandbox.dismiss(worker)


def started(sandbox: Sandbox, checkout: Checkout, plan: GatePlan, position: int = 0) -> Worker:
    """Start a process that loads a side's package; position: as in `Sandbox.start`."""
    worker = sandbox.launch([checkout.python, "-P", str(CHECKOUT_WORKER)], environment(checkout), threads=1)
    cores = worker_cores(sandbox.cores, 1, position)
    worker.send(CheckoutActions.load, cores, list(requests()), plan.backend)
    return worker


class SideProcesses:
    """Three processes, one a side, through all cells. A side that fails a cell leaves it out from then on."""

    def __init__(
        self, sandbox: Sandbox, checkouts: Mapping[str, Checkout], plan: GatePlan, number: int, samples: ABSamples
    ) -> None:
        self.sandbox, self.checkouts, self.plan, self.number, self.samples = sandbox, checkouts, plan, number, samples
        self.random = Random(number)
        self.workers: dict[str, Worker] = {}

    def run(self) -> None:
        """Take all three through all cells, and end them."""
        self.workers = {side: started(self.sandbox, self.checkouts[side], self.plan) for side in SIDES}
        for side, worker in self.workers.items():
            try:
                self._settle(side, worker)
            except Failure as failure:
                for cell in self.plan.cells:
                    self._note(side, cell, failure)
        for cell in self.plan.cells:
            self._measure(cell)
        for side, worker in self.workers.items():
            with suppress(Failure):
                self.samples.memory.setdefault(side, []).append(worker.ask_alone(CheckoutActions.memory))
            self.sandbox.dismiss(worker)

    def _settle(self, side: str, worker: Worker) -> None:
        """Wait until the worker has loaded its package. Raises Failure, also where that is another than it should."""
        package = worker.receive(CheckoutActions.load, worker.limits.load_seconds)
        if Path(package).parent != self.checkouts[side].root.resolve():
            raise Failure("load_error", f"its process imported rnnbench from {package}, not from the commit")
        worker.pause()

    def _measure(self, cell: str) -> None:
        """Open the cell on every side, and time it where all have."""
        for side in SIDES:
            self._try(side, cell, partial(self._open, side, cell))
        for figure in TIMED:
            if figure in self.plan.figures and not self.samples.failed(cell):
                self._time(cell, figure)

    def _open(self, side: str, cell: str) -> None:
        """Open the cell on one side, in a fresh process where the last has died. Raises Failure."""
        if not self.workers[side].alive:
            self.sandbox.dismiss(self.workers[side])
            self.workers[side] = started(self.sandbox, self.checkouts[side], self.plan)
            self._settle(side, self.workers[side])
        given = self.sandbox.folder / f"{cell}.npz"
        make = side == BASE and not given.exists()
        facts = self.workers[side].ask_alone(CheckoutActions.open, cell, self.plan.sizes, str(given), make)
        if facts.error is not None and not isfinite(facts.error):
            raise Failure("bad_output", "its output holds NaN or infinity")
        self.samples.facts[side, cell] = facts
        if "score" in self.plan.figures:
            self._learn(side, cell)

    def _learn(self, side: str, cell: str) -> None:
        """Train and score. Raises Failure where the score is not finite."""
        done = self.workers[side].ask_alone(CheckoutActions.learn, cell, self.plan.task, self.number)
        if done.score is not None:
            if not isfinite(done.score):
                raise Failure("diverged", f"its score on {self.plan.task} is {done.score}")
            self.samples.scores.setdefault((side, cell), {})[self.number] = done.score
            self.samples.better = done.better

    def _time(self, cell: str, figure: str) -> None:
        """Take rounds of every side, all with the base's number of calls; where all can do it."""
        if not all(figure in self.samples.facts[side, cell].timed for side in SIDES):
            return
        taken: dict[str, list[float]] = {side: [] for side in SIDES}
        found = self._try(BASE, cell, partial(self.workers[BASE].ask_alone, CheckoutActions.calibrate, figure))
        if found is None:
            return
        for side in clock.interleaved(SIDES, ROUNDS, self.random):
            ask = partial(self.workers[side].ask_alone, CheckoutActions.sample, figure, found)
            if (sample := self._try(side, cell, ask)) is not None:
                taken[side].append(sample)
        if not self.samples.failed(cell):
            for side, seconds in taken.items():
                self.samples.times.setdefault((side, cell, figure), []).append(seconds)

    def _try(self, side: str, cell: str, do: Callable[[], T]) -> T | None:
        """Do it, unless a side has failed this cell before; note a failure."""
        if not self.samples.failed(cell):
            try:
                return do()
            except Failure as failure:
                self._note(side, cell, failure)
        return None

    def _note(self, side: str, cell: str, failure: Failure) -> None:
        self.samples.failures.setdefault((side, cell), f"{failure.status}: {failure.reason}")


def environment(checkout: Checkout) -> dict[str, str]:
    """Return ours, with the checkout's package before any other; leave out folders that hold another `rnnbench`."""
    others: Sequence[str] = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    kept = [path for path in others if not (Path(path) / "rnnbench").is_dir()]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(checkout.root), *kept])}
