"""Methods without recurrence in a comparison: fitted, scored as cells are, timed; and the bar that they set."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from rnnbench.backends.base import BackendInfo
from rnnbench.baselines.spec import Baseline, Problem
from rnnbench.comparison import arrays
from rnnbench.comparison.backend_run import BackendRun
from rnnbench.comparison.baseline_work import BaselineReply, BaselineRequest, blank, fit_and_time
from rnnbench.comparison.case_inputs import CaseFiles, timed_batch
from rnnbench.comparison.case_work import LEAVE_OUT, CaseWork, PluginProcesses, at_fault
from rnnbench.comparison.listener import Listener
from rnnbench.comparison.plan import Group
from rnnbench.model import Array
from rnnbench.records.figures import FIGURES
from rnnbench.records.record import BASELINE, Record
from rnnbench.tasks.spec import Split, Task, Training
from rnnbench.workers.failure import Failure, blame, explain
from rnnbench.workers.worker import bounded_memory

INFO = BackendInfo(BASELINE, "no backend", f"{__name__}:none")  # what a record names in place of one


@dataclass
class BaselineRun(BackendRun):
    """A baseline's way through a group, which no backend takes part in. parameters: what it chose."""

    parameters: int | None = None


@dataclass
class Bar:
    """What counts as learned: better, by the task's margin, than every blind baseline of the group, and than the task's
    own trivial answer. scores: of the blind ones, by task, seed and fold."""

    blind: frozenset[str]
    scores: dict[tuple[str, int, int | None], list[float]] = field(default_factory=dict)

    def add(self, records: Iterable[Record]) -> None:
        """Take in what is stored."""
        for record in records:
            if record.is_baseline and record.cell in self.blind and record.score is not None and not record.failed:
                self.scores.setdefault((record.task, record.seed, record.fold), []).append(record.score)

    def over(self, task: Task, seed: int, fold: int | None = None) -> float:
        """Return the score of the best of all trivial answers."""
        scores: list[float] = [task.baseline, *self.scores.get((task.id, seed, fold), ())]
        return min(scores) if task.score_better == "lower" else max(scores)


@dataclass
class BaselineGroup:
    """All baselines on the data of one group. processes: those of plugins."""

    group: Group
    task: Task
    training: Training
    files: CaseFiles
    processes: PluginProcesses
    listener: Listener

    def run(self, baselines: Mapping[str, Baseline]) -> list[BaselineRun]:
        """Return a run for each that is suitable; one that fails says why, as all do without data."""
        runs = {name: BaselineRun(f"{BASELINE}:{name}", INFO) for name in baselines}
        try:
            with bounded_memory():
                self._read()
        except Failure as failure:
            for run in runs.values():
                run.fail(failure)
            return list(runs.values())
        for name, baseline in baselines.items():
            self.listener.stage(self.group, name, "fitting")
            with runs[name].guarded(), bounded_memory():
                if not self._measure(runs[name], baseline):
                    del runs[name]
        return list(runs.values())

    def _read(self) -> None:
        data, self.test_file = self.files.data(self.group, self.task)
        train = data.train if data.validation is None else joined(data.train, data.validation)
        self.test, batch = data.test, timed_batch(data.test, self.training.batch_size)
        self.asked, self.batch = blank(data.test), blank(batch)
        assert self.task.output_size is not None
        self.problem = Problem(
            train, self.task.loss, self.task.output_size, self.task.readout, self.group.seed
        )  # what is left to early stopping is known before the test part, too

    def _measure(self, run: BaselineRun, baseline: Baseline) -> bool:
        """Fit, ask, score and time it; return False where it does not suit. Raises Failure."""
        away = self.processes.serves("baselines", baseline.id)
        reply, answers = self._away(baseline) if away else self._here(baseline)
        if answers is None:
            return False
        with at_fault("baselines", baseline.id):
            self._check(answers)
        path = self.files.path("baseline-answers.npz")
        arrays.save(path, {"y": answers})
        found = self.files.scores(self.group, self.task, (path, answers), (self.test, self.test_file))
        for name, value in found.columns().items():
            setattr(run.record, name, value)
        for name, values in found.samples().items():
            setattr(run.samples, name, values)
        middle, record = FIGURES["infer_seconds"].over_rounds(reply.call_seconds), run.record
        record.infer_seconds, record.infer_seconds_low, record.infer_seconds_high = (
            middle.value,
            middle.low,
            middle.high,
        )
        run.samples.infer_seconds = reply.call_seconds
        record.train_seconds, record.seq_len = reply.fit_seconds, len(self.test.x)
        run.parameters = reply.parameters
        return True

    def _here(self, baseline: Baseline) -> tuple[BaselineReply, Array | None]:
        try:
            return fit_and_time(baseline, self.problem, self.asked, self.batch)
        except Exception as error:  # whatever a matrix that cannot be solved makes of it
            raise blame(error, f"baseline {baseline.id!r}: {explain(error)}", LEAVE_OUT) from error

    def _away(self, baseline: Baseline) -> tuple[BaselineReply, Array | None]:
        problem, paths = self.problem, [self.files.path(f"baseline-{name}.npz") for name in ("train", "test", "batch")]
        for path, split in zip(paths, (problem.train, self.asked, self.batch), strict=True):
            arrays.save_split(path, split)
        answers = self.files.path("baseline-answers.npz")
        train, test, batch = map(str, paths)
        request = BaselineRequest(
            *(baseline.id, problem.loss, problem.output_size, problem.readout, problem.seed),
            *(train, test, batch, str(answers)),
        )
        reply = self.processes.ask("baselines", baseline.id, CaseWork.answer, request)
        with at_fault("baselines", baseline.id):
            return reply, None if reply.unsuitable is not None else arrays.load(answers)["y"]

    def _check(self, answers: Array) -> None:
        """Raise Failure unless these are answers to the test split."""
        steps = (len(self.test.x),) if self.test.every_step else ()
        shape = (*steps, self.test.count, self.test.width(self.problem.output_size))
        if answers.shape != shape or answers.dtype.kind not in "fiu":
            raise Failure("bad_output", f"answered {answers.dtype} {answers.shape}; it must be numbers {shape}")
        if not np.isfinite(answers).all():
            raise Failure("diverged", "answers NaN or infinity")


def joined(train: Split, validation: Split) -> Split:
    """Return both as one split, where their sequences are of one length: to a method that needs no early stopping, what
    is left to it is training like any other."""
    if len(train.x) != len(validation.x) or (train.lengths is None) != (validation.lengths is None):
        return train
    validation = validation.first_step()
    parts, axis = (train, validation), int(train.every_step)
    windows = [part.windows for part in parts if part.windows is not None]
    return Split(
        np.concatenate([part.x for part in parts], axis=1),
        np.concatenate([part.target for part in parts], axis=axis),
        None if train.lengths is None else np.concatenate([part.lengths for part in parts]),
        train.every_step,
        replace(
            windows[-1],
            which=np.concatenate([one.which for one in windows]),
            origin=np.concatenate([one.origin for one in windows]),
            level=None if windows[-1].level is None else np.concatenate([one.level for one in windows]),
        )
        if len(windows) == len(parts)
        else None,
    )
