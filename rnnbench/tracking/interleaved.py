"""Measures two commits by turns, so that whatever the machine does meanwhile happens to both.

For each of several processes a side, three of them live at the same time: one of the base commit, its twin, and one of
the candidate. They take turns on the same core, one running while the others are stopped. The twin gives the machine's
A/A noise under the very conditions of the comparison.
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
from typing import Any

from rnnbench.measure import rounds
from rnnbench.measure.failure import Failure
from rnnbench.measure.process import Limits, Worker
from rnnbench.measure.workplace import Workplace, parent_cores, termination_as_interrupt, worker_cores
from rnnbench.plugins import requests
from rnnbench.records.statistics import PROCESSES_FOR_A_VERDICT

BASE, TWIN, CANDIDATE = "base", "twin", "candidate"
LANES = (BASE, TWIN, CANDIDATE)
TIMED = ("infer", "step", "train")
ROUNDS = 9
SIDE = Path(__file__).with_name("side.py")


@dataclass(frozen=True)
class Sizes:
    """Of the timed model: large enough that the kernels, not what calls them, take the time."""

    batch: int = 16
    steps: int = 32
    input_size: int = 16
    hidden_size: int = 96
    output_size: int = 4


@dataclass(frozen=True)
class Plan:
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
class Samples:
    """times: (lane, cell, figure) -> for each process its rounds, in seconds. scores: (lane, cell) -> by seed.
    facts: (lane, cell) -> what `open` answered. memory: lane -> bytes of each process. failures: (lane, cell) -> why.
    better: "lower" or "higher", of the scores."""

    times: dict[tuple[str, str, str], list[list[float]]] = field(default_factory=dict)
    scores: dict[tuple[str, str], dict[int, float]] = field(default_factory=dict)
    facts: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    memory: dict[str, list[int]] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    better: str = "lower"

    def failed(self, cell: str) -> bool:
        return any((lane, cell) in self.failures for lane in LANES)


Said = Callable[[str], None]


def measure(base: Checkout, candidate: Checkout, plan: Plan, said: Said, limits: Limits | None = None) -> Samples:
    """said: told, in a few words, where the measurement is."""
    checkouts = {BASE: base, TWIN: base, CANDIDATE: candidate}
    samples = Samples()
    with termination_as_interrupt(), Workplace(limits or Limits()) as place:
        said("compiling or loading kernels")
        warm(place, (base, candidate), plan)
        with parent_cores(place.cores, 1):
            for number in range(plan.processes):
                said(f"process {number + 1} of {plan.processes}")
                Trio(place, checkouts, plan, number, samples).run()
    return samples


def warm(place: Workplace, sides: Sequence[Checkout], plan: Plan) -> None:
    """Fills the kernel cache, both sides at once, so that no process that is measured has to compile: that would show
    in its memory. What fails here fails again where it is noted."""
    workers = [started(place, side, plan, position) for position, side in enumerate(sides)]
    for worker in workers:
        with suppress(Failure):
            worker.receive(worker.limits.load_seconds)
    for cell in plan.cells:
        for number, worker in enumerate(workers):
            given = str(place.folder / f"warm-{number}-{cell}.npz")
            with suppress(Failure):
                worker.send({"do": "open", "cell": cell, "sizes": vars(plan.sizes), "given": given, "make": True})
        for worker in workers:
            with suppress(Failure):
                worker.receive()
    for worker in workers:
        place.dismiss(worker)


def started(place: Workplace, checkout: Checkout, plan: Plan, position: int = 0) -> Worker:
    """A process that is loading a side's package; position: as in `Workplace.start`."""
    worker = place.launch([checkout.python, "-P", str(SIDE)], environment(checkout), threads=1)
    cores = worker_cores(place.cores, 1, position)
    worker.send({"do": "load", "cores": cores, "plugins": list(requests()), "backend": plan.backend})
    return worker


class Trio:
    """Three processes, one a lane, through all cells. A lane that fails a cell leaves it out from then on."""

    def __init__(
        self, place: Workplace, checkouts: Mapping[str, Checkout], plan: Plan, number: int, samples: Samples
    ) -> None:
        self.place, self.checkouts, self.plan, self.number, self.samples = place, checkouts, plan, number, samples
        self.random = Random(number)
        self.workers: dict[str, Worker] = {}

    def run(self) -> None:
        self.workers = {lane: started(self.place, self.checkouts[lane], self.plan) for lane in LANES}
        for lane, worker in self.workers.items():
            try:
                self._settle(lane, worker)
            except Failure as failure:
                for cell in self.plan.cells:
                    self._note(lane, cell, failure)
        for cell in self.plan.cells:
            self._measure(cell)
        for lane, worker in self.workers.items():
            with suppress(Failure):
                self.samples.memory.setdefault(lane, []).append(self._ask(lane, "memory")["bytes"])
            self.place.dismiss(worker)

    def _settle(self, lane: str, worker: Worker) -> None:
        """Waits until the worker has loaded its package. Raises Failure, also where that is another than it should."""
        package = worker.receive(worker.limits.load_seconds)["package"]
        if Path(package).parent != self.checkouts[lane].root.resolve():
            raise Failure("load_error", f"its process imported rnnbench from {package}, not from the commit")
        worker.pause()

    def _measure(self, cell: str) -> None:
        for lane in LANES:
            self._try(lane, cell, partial(self._open, lane, cell))
        for figure in TIMED:
            if figure in self.plan.figures and not self.samples.failed(cell):
                self._time(cell, figure)

    def _open(self, lane: str, cell: str) -> None:
        if not self.workers[lane].alive:
            self.place.dismiss(self.workers[lane])
            self.workers[lane] = started(self.place, self.checkouts[lane], self.plan)
            self._settle(lane, self.workers[lane])
        given = self.place.folder / f"{cell}.npz"
        make = lane == BASE and not given.exists()
        facts = self._ask(lane, "open", cell=cell, sizes=vars(self.plan.sizes), given=str(given), make=make)
        if facts["error"] is not None and not isfinite(facts["error"]):
            raise Failure("bad_output", "its output holds NaN or infinity")
        self.samples.facts[lane, cell] = facts
        if "score" in self.plan.figures:
            self._learn(lane, cell)

    def _learn(self, lane: str, cell: str) -> None:
        done = self._ask(lane, "learn", cell=cell, task=self.plan.task, seed=self.number)
        if done["score"] is not None:
            if not isfinite(done["score"]):
                raise Failure("diverged", f"its score on {self.plan.task} is {done['score']}")
            self.samples.scores.setdefault((lane, cell), {})[self.number] = done["score"]
            self.samples.better = done["better"]

    def _time(self, cell: str, figure: str) -> None:
        """Rounds of every lane, all with the base's number of calls; where all can do it."""
        if not all(figure in self.samples.facts[lane, cell]["timed"] for lane in LANES):
            return
        calls: list[int] = []
        taken: dict[str, list[float]] = {lane: [] for lane in LANES}

        def calibrate() -> None:
            calls.append(self._ask(BASE, "calibrate", figure=figure)["calls"])

        def sample(lane: str) -> None:
            taken[lane].append(self._ask(lane, "time", figure=figure, calls=calls[0])["seconds"])

        self._try(BASE, cell, calibrate)
        for _, lane in rounds.turns(LANES, ROUNDS, self.random):
            self._try(lane, cell, partial(sample, lane))
        if not self.samples.failed(cell):
            for lane, seconds in taken.items():
                self.samples.times.setdefault((lane, cell, figure), []).append(seconds)

    def _ask(self, lane: str, do: str, **arguments: Any) -> dict[str, Any]:
        """The reply, while no other lane runs. Raises Failure."""
        worker = self.workers[lane]
        worker.resume()
        try:
            return worker.ask({"do": do, **arguments})
        finally:
            worker.pause()

    def _try(self, lane: str, cell: str, do: Callable[[], None]) -> None:
        """Does it, unless a lane has failed this cell before; a failure is noted."""
        if not self.samples.failed(cell):
            try:
                do()
            except Failure as failure:
                self._note(lane, cell, failure)

    def _note(self, lane: str, cell: str, failure: Failure) -> None:
        self.samples.failures.setdefault((lane, cell), f"{failure.status}: {failure.reason}")


def environment(checkout: Checkout) -> dict[str, str]:
    """Ours, with the checkout's package before any other; folders that hold another `rnnbench` are left out."""
    others: Sequence[str] = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    kept = [path for path in others if not (Path(path) / "rnnbench").is_dir()]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(checkout.root), *kept])}
