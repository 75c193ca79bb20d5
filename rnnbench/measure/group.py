"""One group from start to end: every backend opened, checked, trained, scored and timed, by turns."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Protocol

from rnnbench.backends.base import BackendInfo
from rnnbench.measure import arrays, checking, learning, timing
from rnnbench.measure.assignment import Assignment, Desk
from rnnbench.measure.failure import Failure
from rnnbench.measure.lane import Lane
from rnnbench.measure.plan import Group, Training
from rnnbench.measure.team import Team
from rnnbench.model import Array
from rnnbench.records.comparisons import TWIN, TWINNED
from rnnbench.tasks.spec import Task

TRAINER = TWINNED  # whose weights a runtime that only infers is scored with
PEAK = "rnnbench.kernels.peak:measure_flops_peak"
PATIENCE = 2  # timeouts of one backend with one cell, after which it is not tried again in this run


class Observer(Protocol):
    """The part of `runner.Listener` that a group speaks to."""

    def stage(self, group: Group, backend: str, what: str) -> None: ...

    def clock(self, running: bool) -> None: ...


@dataclass
class Memory:
    """What one group leaves for the next: peaks by (dtype, threads), timeouts by (backend, cell)."""

    peaks: dict[tuple[str, int], float | None] = field(default_factory=dict)
    timeouts: dict[tuple[str, str], int] = field(default_factory=dict)


@dataclass
class GroupRun:
    """infos: the backends that get a row, those not installed too. helpers: a trainer nobody asked for, the twin."""

    group: Group
    task: Task
    training: Training
    infos: Sequence[BackendInfo]
    helpers: Sequence[Lane]
    team: Team
    desk: Desk
    observer: Observer
    memory: Memory

    def run(self) -> list[Lane]:
        """The lanes of `infos`, in their order, and then the helpers that took part. Never raises Failure."""
        lanes = [Lane(info.id, info) for info in self.infos]
        everybody = [*lanes, *self.helpers]
        if self.task.params is not None:  # they are to be timed as they are
            for lane in everybody:
                lane.info = replace(lane.info, trains=False)
        for lane in everybody:
            with lane.guarded():
                self._admit(lane)
        if any(lane.ok for lane in everybody):
            try:
                assignment = self.desk.assignment(self.group, self.task, self.training)
            except Failure as failure:
                for lane in self._running(everybody):
                    lane.fail(failure)
            else:
                self._measure(everybody, assignment)
        for lane in everybody:
            if lane.status == "timeout":
                key = (lane.info.id, self.group.cell)
                self.memory.timeouts[key] = self.memory.timeouts.get(key, 0) + 1
        return everybody

    def _admit(self, lane: Lane) -> None:
        """Reasons to go no further that need no process; else the process. Raises Failure."""
        info, group = lane.info, self.group
        if absent := info.missing():
            raise Failure("load_error", f"needs {absent.module}, which is not installed", absent.remedy)
        if info.cells is not None and group.cell not in info.cells:
            raise Failure("unsupported", f"runs {', '.join(info.cells)}; not {group.cell}")
        if group.dtype not in info.dtypes:
            raise Failure("unsupported", f"runs in {', '.join(info.dtypes)}; not in {group.dtype}")
        if self.memory.timeouts.get((info.id, group.cell), 0) >= PATIENCE:
            raise Failure("timeout", f"not tried again after {PATIENCE} timeouts with this cell")
        lane.worker = self.team.worker(lane.name)
        lane.put({"backend_version": self.team.versions[lane.name]})

    def _measure(self, lanes: Sequence[Lane], assignment: Assignment) -> None:
        random = Random(self.group.key)
        for lane in self._running(lanes, "checking"):
            with lane.guarded(), self._clock():
                checking.open_and_check(lane, assignment, self.desk)
                if lane.info.trains and lane.name != TWIN:
                    learning.rehearse(lane, assignment)
        self._train(lanes, assignment, random)
        self._adopt(lanes, assignment)
        timed = [lane for lane in self._running(lanes, "timing") if lane.listed or lane.name == TWIN]
        with self._clock():
            timing.time_inference(timed, assignment, random)
            for lane in self._running(timed):
                with lane.guarded():
                    if lane.streams and lane.listed:
                        timing.time_steps(lane)
        self._put_peak(lanes)
        for lane in self._running(lanes):
            with lane.guarded():
                self._close(lane)

    def _train(self, lanes: Sequence[Lane], assignment: Assignment, random: Random) -> None:
        training = [lane for lane in self._running(lanes) if lane.info.trains and lane.name != TWIN]
        for lane in training:
            self.observer.stage(self.group, lane.name, "training")
        with self._clock():
            learning.train(training, assignment, self.desk, random)
        for lane in self._running(training):
            with lane.guarded():
                learning.put_score(lane, assignment, learning.score(lane, assignment, self.desk))
                checking.check_trained(lane, assignment, self.desk)

    def _adopt(self, lanes: Sequence[Lane], assignment: Assignment) -> None:
        """Gives the trainer's weights to those that do not train, and scores them; the twin takes them too. Where the
        task brings its weights, nobody trains and everybody has them already."""
        trainer = next((lane for lane in lanes if lane.name == TRAINER), None)
        weights = trainer.weights if trainer and trainer.ok else None
        path = self.desk.path("trained.npz")
        if weights is not None:
            arrays.save(path, weights)
        for lane in self._running(lanes):
            if lane.info.trains and lane.name != TWIN:
                continue
            with lane.guarded():
                if self.task.params is not None:
                    lane.weights = assignment.params  # in force since the session was opened
                elif weights is None:
                    why = trainer.status if trainer else "it is not there"
                    lane.warnings.append(f"not scored: {TRAINER} gave no trained weights ({why})")
                else:
                    self._take(lane, weights, path, assignment)
                checking.check_trained(lane, assignment, self.desk)

    def _take(self, lane: Lane, weights: dict[str, Array], path: Path, assignment: Assignment) -> None:
        lane.ask("renew", params=str(path))
        lane.weights = weights
        if lane.listed:
            learning.put_score(lane, assignment, learning.score(lane, assignment, self.desk))

    def _put_peak(self, lanes: Sequence[Lane]) -> None:
        """The share of the machine's peak, where the trainer's process can measure that peak."""
        key = (self.group.dtype, self.group.threads)
        trainer = next((lane for lane in self._running(lanes) if lane.name == TRAINER), None)
        if key not in self.memory.peaks and trainer:
            with self._clock():
                try:
                    peak = trainer.ask("peak", factory=PEAK, dtype=self.group.dtype)["flops_per_second"]
                except Failure:  # no figure, but the row itself is none the worse
                    peak = None
            self.memory.peaks[key] = peak
        if peak := self.memory.peaks.get(key):
            for lane in self._running(lanes):
                if "flops_per_second" in lane.columns:
                    lane.put({"roofline_fraction": lane.columns["flops_per_second"] / peak})
                    lane.samples["peak_flops_per_second"] = peak

    def _close(self, lane: Lane) -> None:
        done = lane.ask("close")
        lane.put({name: done[name] for name in ("peak_rss_bytes", "compile_seconds", "compile_cache")})
        if not done["peak_is_of_case"]:
            lane.warnings.append("peak memory is that of the whole process: this system does not reset it")

    def _running(self, lanes: Sequence[Lane], stage: str | None = None) -> Iterator[Lane]:
        for lane in lanes:
            if lane.ok:
                if stage:
                    self.observer.stage(self.group, lane.name, stage)
                yield lane

    @contextmanager
    def _clock(self) -> Iterator[None]:
        self.observer.clock(True)
        try:
            yield
        finally:
            self.observer.clock(False)
