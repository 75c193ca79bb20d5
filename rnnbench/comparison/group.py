"""One group from start to end: every backend opened, checked, trained, scored, and timed where that is asked for; all
interleaved."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from rnnbench.backends.base import BackendInfo
from rnnbench.comparison import arrays, checking, learning, timing
from rnnbench.comparison.actions import CaseActions
from rnnbench.comparison.backend_run import BackendRun
from rnnbench.comparison.case_inputs import CaseFiles, CaseInputs
from rnnbench.comparison.listener import Listener
from rnnbench.comparison.plan import Group
from rnnbench.model import Array
from rnnbench.records.comparisons import CONTROL, CONTROLLED
from rnnbench.tasks.spec import FixedModel, Training, Workload
from rnnbench.workers.failure import Failure
from rnnbench.workers.pool import WorkerPool, WorkerSpec
from rnnbench.workers.worker import bounded_memory

TRAINER = CONTROLLED  # whose weights a runtime that only infers is scored with
PEAK = "rnnbench.kernels.peak:measure_flops_peak"
PEAK_TRIES = 5
BEYOND_PEAK = 1.5  # processors clock up and down by less, and a neighbour hides less of the best of so many tries
PATIENCE = 2  # timeouts of one backend with one cell, after which it is not tried again in this run


@dataclass
class RunState:
    """What one group leaves for the next: peaks by (dtype, threads), timeouts by (backend, cell)."""

    peaks: dict[tuple[str, int], float | None] = field(default_factory=dict)
    timeouts: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass
class GroupRun:
    """infos: the backends that get a row, those not installed too. helpers: a trainer nobody asked for, the control.
    bar: what a score has to beat to count as learned."""

    group: Group
    task: Workload
    training: Training
    infos: Sequence[BackendInfo]
    helpers: Sequence[WorkerSpec]
    pool: WorkerPool
    files: CaseFiles
    listener: Listener
    state: RunState
    bar: float | None = None

    def run(self) -> list[BackendRun]:
        """Return the runs of `infos`, in their order, and then the helpers that took part. Never raises Failure."""
        everybody = [BackendRun(info.id, info) for info in self.infos]
        everybody += [BackendRun(spec.name, spec.info, listed=False) for spec in self.helpers]
        if isinstance(self.task, FixedModel):  # its weights are to be timed as they are
            for run in everybody:
                run.info = replace(run.info, trains=False)
        for run in everybody:
            with run.guarded():
                self._admit(run)
        if any(run.ok for run in everybody):
            try:
                with bounded_memory():
                    inputs = self.files.inputs(self.group, self.task, self.training, self.bar)
            except Failure as failure:
                for run in self._running(everybody):
                    run.fail(failure)
            else:
                self._measure(everybody, inputs)
        for run in everybody:
            if run.status == "timeout" and not (run.worker and run.worker.alive):  # else the task's, or the cell's
                self.state.timeouts[run.info.id, self.group.cell] += 1
        return everybody

    def _admit(self, run: BackendRun) -> None:
        """Give the run its process, unless there is a reason to go no further: that is raised as Failure."""
        info, group = run.info, self.group
        if absent := info.missing():
            raise Failure("load_error", f"needs {absent.module}, which is not installed", absent.remedy)
        if info.cells is not None and group.cell not in info.cells:
            raise Failure("unsupported", f"runs {', '.join(info.cells)}; not {group.cell}")
        if group.dtype not in info.dtypes:
            raise Failure("unsupported", f"runs in {', '.join(info.dtypes)}; not in {group.dtype}")
        if self.state.timeouts[info.id, group.cell] >= PATIENCE:
            raise Failure("timeout", f"not tried again after {PATIENCE} timeouts with this cell")
        run.worker = self.pool.worker(run.name)
        run.record.backend_version = self.pool.versions[run.name]

    def _measure(self, runs: Sequence[BackendRun], inputs: CaseInputs) -> None:
        random = Random(self.group.key)
        for run in self._running(runs, "checking"):
            with run.guarded(), self._clock():
                checking.open_and_check(run, inputs, self.files)
                if run.info.trains and run.name != CONTROL:
                    learning.check_training(run, inputs)
        self._train(runs, inputs, random)
        self._adopt(runs, inputs)
        if self.group.timed:
            self._time(runs, inputs, random)
        for run in self._running(runs):
            with run.guarded():
                self._close(run)

    def _time(self, runs: Sequence[BackendRun], inputs: CaseInputs, random: Random) -> None:
        timed = [run for run in self._running(runs, "timing") if run.listed or run.name == CONTROL]
        with self._clock():
            timing.time_inference(timed, inputs, self.files, random)
            for run in self._running(timed):
                with run.guarded():
                    if run.streams and run.listed:
                        timing.time_steps(run, inputs, self.files)
        self._put_peak(runs)

    def _train(self, runs: Sequence[BackendRun], inputs: CaseInputs, random: Random) -> None:
        training = [run for run in self._running(runs) if run.info.trains and run.name != CONTROL]
        for run in training:
            self.listener.stage(self.group, run.name, "training")
        with self._clock():
            learning.train(training, inputs, self.files, random)
        for run in self._running(training):
            with run.guarded():
                learning.put_scores(run, inputs, self.files)
                checking.check_trained(run, inputs, self.files)
                checking.check_predictions(run, inputs)

    def _adopt(self, runs: Sequence[BackendRun], inputs: CaseInputs) -> None:
        """Give the trainer's weights to those that do not train, the control too, and score them. Where the task brings
        its weights, nobody trains and everybody has them already."""
        trainer = next((run for run in runs if run.name == TRAINER), None)
        weights = trainer.weights if trainer and trainer.ok else None
        path = self.files.path("trained.npz")
        if weights is not None:
            arrays.save(path, weights)
        for run in self._running(runs):
            if run.info.trains and run.name != CONTROL:
                continue
            with run.guarded():
                if isinstance(self.task, FixedModel):
                    run.weights = inputs.params  # in force since the session was opened
                elif weights is None:
                    why = trainer.status if trainer else "it is not there"
                    run.warnings.append(f"not scored: {TRAINER} gave no trained weights ({why})")
                else:
                    self._take(run, weights, path, inputs)
                checking.check_trained(run, inputs, self.files)
                checking.check_predictions(run, inputs, trainer)

    def _take(self, run: BackendRun, weights: dict[str, Array], path: Path, inputs: CaseInputs) -> None:
        run.ask(CaseActions.reset, str(path))
        run.weights = weights
        if run.listed:
            learning.put_scores(run, inputs, self.files)

    def _put_peak(self, runs: Sequence[BackendRun]) -> None:
        """Fill in the share of the machine's peak, where the trainer's process can measure that peak. What is beyond it
        is no figure: the peak is measured again, and a run that stays beyond it has failed."""
        rates = {run.name: run.record.flops_per_second or 0.0 for run in self._running(runs)}
        peak = self._peak(runs, max(rates.values(), default=0.0))
        for run in self._running(runs):
            if peak and rates[run.name]:
                run.record.roofline_fraction = share = rates[run.name] / peak
                run.samples.peak_flops_per_second = peak
                if share > BEYOND_PEAK:
                    why = f"computes at {share:.3g} times this machine's peak, {PEAK_TRIES} times measured"
                    run.fail(Failure("mismatch", f"{why}: its time cannot be true"))

    def _peak(self, runs: Sequence[BackendRun], fastest: float) -> float | None:
        """Return the largest of the peaks measured so far, of several where `fastest` is beyond them."""
        key = (self.group.dtype, self.group.threads)
        trainer = next((run for run in self._running(runs) if run.name == TRAINER), None)
        for _ in range(PEAK_TRIES):
            peak = self.state.peaks.get(key)
            if trainer is None or (key in self.state.peaks and (peak is None or fastest <= BEYOND_PEAK * peak)):
                break
            with self._clock():
                try:
                    found = trainer.ask(CaseActions.measure_peak, PEAK, self.group.dtype)
                except Failure:  # no figure, but the row itself is none the worse
                    self.state.peaks[key] = None
                else:
                    self.state.peaks[key] = max(found, peak or 0.0)
        return self.state.peaks.get(key)

    def _close(self, run: BackendRun) -> None:
        closed, record = run.ask(CaseActions.close), run.record
        record.peak_rss_bytes = closed.peak_rss_bytes
        record.compile_seconds, record.compile_cache = closed.compile_seconds, closed.compile_cache
        if not closed.peak_is_of_case:
            run.warnings.append("peak memory is that of the whole process: this system does not reset it")

    def _running(self, runs: Sequence[BackendRun], stage: str | None = None) -> Iterator[BackendRun]:
        for run in runs:
            if run.ok:
                if stage:
                    self.listener.stage(self.group, run.name, stage)
                yield run

    @contextmanager
    def _clock(self) -> Iterator[None]:
        self.listener.clock(True)
        try:
            yield
        finally:
            self.listener.clock(False)
