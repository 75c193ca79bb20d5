"""What every backend of a group is given: the same data, the same initial weights, the same batch, in files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rnnbench.backends import inputs
from rnnbench.baselines.spec import Baseline
from rnnbench.comparison import arrays
from rnnbench.comparison.baseline_work import blind_bar
from rnnbench.comparison.case_work import CaseWork, OracleAway, PluginProcesses, TaskPart, at_fault
from rnnbench.comparison.messages import CasePaths, CaseRequest, PartName
from rnnbench.comparison.plan import Group
from rnnbench.comparison.scoring import Scores
from rnnbench.errors import UsageError
from rnnbench.model import Array, Model, Params
from rnnbench.registry import registry
from rnnbench.tasks.batches import batches
from rnnbench.tasks.spec import Data, FixedModel, Split, Task, Training, Workload
from rnnbench.verify.reference import Oracle, Outputs
from rnnbench.workers.failure import Failure, blame, explain


@dataclass(frozen=True)
class CaseInputs:
    """batch: rows of the test split, as many as a training batch has: what inference is timed on. fresh, gradients and
    losses: what the oracle gives for the initial weights. bars: by part, the best trivial answer that is known, in
    place of the task's own."""

    group: Group
    task: Workload
    training: Training
    model: Model
    data: Data
    batch: Split
    params: Params
    oracle: Oracle
    fresh: Outputs
    gradients: dict[str, Array]
    losses: list[float]
    files: CasePaths
    processes: PluginProcesses | None = None
    folds: int | None = None
    bars: Mapping[PartName, float | None] = field(default_factory=dict)

    @property
    def scored(self) -> Task:
        """Return the task, which must be one that is learned and scored."""
        assert isinstance(self.task, Task), "a model that brings its weights is not scored"
        return self.task

    def split(self, part: PartName) -> Split:
        """Return that part of the data."""
        found = self.data.test if part == "test" else self.data.validation
        assert found is not None, "nobody asks for a part that is not there"
        return found

    def learned(self, score: float, part: PartName) -> bool:
        """Tell whether a score on that part of the data counts as learned."""
        return self.scored.learned(score, self.bars.get(part))

    def scores(self, predictions: Path, y: Array, part: PartName) -> Scores:
        """Return what is recorded of predictions for that part of the data. Raises Failure, which names the task."""
        file = self.files.test if part == "test" else self.files.validation
        asked = TaskPart(self.task.id, self.group.fold, self.folds)
        return _scores(self.scored, asked, self.processes, (predictions, y), (self.split(part), file or ""))

    def opening(self, trains: bool) -> CaseRequest:
        """Return the request that opens this case."""
        training, seed = self.training, self.group.seed
        return CaseRequest(
            self.model, training.batch_size, trains, self.task.loss, training.optimiser, seed, self.files
        )


class CaseFiles:
    """Makes the inputs of cases, in files. A task's data are made and written once for all cells of a seed, or of a
    fold of it. folds: how many there are. blind: our own baselines that set the bar."""

    def __init__(
        self,
        folder: Path,
        processes: PluginProcesses | None = None,
        folds: int | None = None,
        blind: Sequence[Baseline] = (),
    ) -> None:
        self._folder, self._processes, self._folds, self._blind = folder, processes, folds, blind
        self._data: dict[tuple[str, int, str, int | None], tuple[Data, Path]] = {}

    def inputs(self, group: Group, task: Workload, training: Training, bar: float | None = None) -> CaseInputs:
        """Make a case's inputs. Raises Failure where the task or the cell is at fault: that ends the group for every
        backend."""
        try:
            model = group.model(task)
            data, stem = self._data_of(group, task, model)
            if isinstance(task, FixedModel):
                params = model.check_params(task.params)
            else:
                params = model.init(group.seed, training.recurrent, training.forget_bias)
            batch = timed_batch(data.test, training.batch_size)
            first = next(batches(data.train, training.batch_size, group.seed))
            oracle = self._oracle(model, task.loss, training, batch, first)
            fresh = oracle.fresh(params)
            with at_fault("cells", model.cell):
                if odd := [name for name, value in fresh.arrays.items() if not np.isfinite(value).all()]:
                    raise Failure("bad_output", f"gives NaN or infinity in {odd[0]}, computed in float64")
            gradients = {} if isinstance(task, FixedModel) else oracle.gradients(params)
            losses = oracle.losses(params, data.train, group.seed)
            wrong = None if isinstance(task, FixedModel) else oracle.wrong_gradient()
        except Failure:
            raise
        except Exception as error:  # a plugin's task or cell may raise anything
            why = f"task {task.id!r} with cell {group.cell!r}: {explain(error)}"
            raise blame(error, why, f"leave it out: --task without {task.id}") from error
        if wrong is not None:
            why = f"the backward of cell {group.cell!r} is not the derivative of its forward: off by {wrong:.1e}"
            raise Failure("mismatch", why, "mend it: `rnnbench.testing.gradient_error` tells")
        files = CasePaths(str(self.path("params.npz")), str(self.path("batch.npz")), **arrays.data_paths(stem, data))
        arrays.save(Path(files.params), params)
        arrays.save_split(Path(files.batch), batch)
        return CaseInputs(
            *(group, task, training, model, data, batch, params, oracle, fresh, gradients, losses, files),
            processes=self._processes,
            folds=self._folds,
            bars={"test": bar, "validation": self._validation_bar(group, task, data)},
        )

    def data(self, group: Group, task: Task) -> tuple[Data, str]:
        """Return a task's data for what needs no model, and the file of its test split. Raises Failure."""
        form = task.input_size, 1, task.output_size  # of any cell: what the data are held to
        try:
            model = Model(next(iter(registry().cells)), *form, readout=task.readout, dtype=group.dtype)
            data, stem = self._data_of(group, task, model)
        except Failure:
            raise
        except Exception as error:  # a plugin's task may raise anything
            raise blame(
                error, f"task {task.id!r}: {explain(error)}", f"leave it out: --task without {task.id}"
            ) from error
        return data, arrays.data_paths(stem, data)["test"]

    def scores(self, group: Group, task: Task, predictions: tuple[Path, Array], split: tuple[Split, str]) -> Scores:
        """Return all that is recorded of predictions for a split, both with their files. Raises Failure, which names
        the task."""
        return _scores(task, TaskPart(task.id, group.fold, self._folds), self._processes, predictions, split)

    def path(self, name: str) -> Path:
        """Return where a file of the case lies."""
        return self._folder / name

    def _validation_bar(self, group: Group, task: Workload, data: Data) -> float | None:
        """Return the bar on the validation part, of a task that is not a plugin's: of that the own baseline stands."""
        away = self._processes and self._processes.serves("tasks", task.id)
        return blind_bar(self._blind, task, data, group.seed) if isinstance(task, Task) and not away else None

    def _oracle(self, model: Model, loss: str, training: Training, batch: Split, first: Split) -> Oracle:
        if self._processes and self._processes.serves("cells", model.cell):
            return OracleAway(model, loss, training, batch, first, self._processes, self._folder)
        return Oracle(model, loss, training, batch, first)

    def _data_of(self, group: Group, task: Workload, model: Model) -> tuple[Data, Path]:
        """Return the data and how the files of its splits begin, from the cell before where they are the same."""
        key = (task.id, group.seed, group.dtype, group.fold)
        if key not in self._data:
            stem = self.path("-".join(map(str, key[:3] if group.fold is None else key)))
            if self._processes and self._processes.serves("tasks", task.id):
                asked = TaskPart(task.id, group.fold, self._folds), group.seed, group.dtype, str(stem)
                self._processes.ask("tasks", task.id, CaseWork.make_data, *asked)
                with at_fault("tasks", task.id):
                    data = arrays.load_data(stem)
            else:
                data = arrays.cast(task.data(group.seed), group.dtype)
                arrays.save_data(stem, data)
            for name, split in vars(data).items():
                with at_fault("tasks", task.id):
                    if split is not None and (complaint := misfit(split, model, task.loss)):
                        raise Failure("bad_output", f"its {name} data cannot be computed with: {complaint}")
            self._data = {k: v for k, v in self._data.items() if k[1:] == key[1:]}  # no other seed or fold comes back
            self._data[key] = data, stem
        return self._data[key]


def _scores(
    task: Task,
    asked: TaskPart,
    processes: PluginProcesses | None,
    predictions: tuple[Path, Array],
    split: tuple[Split, str],
) -> Scores:
    if processes and processes.serves("tasks", task.id):
        return processes.ask("tasks", task.id, CaseWork.score, asked, str(predictions[0]), split[1])
    with at_fault("tasks", task.id):
        try:
            return Scores.of(task, predictions[1], split[0])
        except Exception as error:  # a task may raise anything
            raise Failure("crashed", f"its score: {explain(error)}") from error


def misfit(split: Split, model: Model, loss: str) -> str | None:
    """Return why a split cannot be computed with, or None."""
    if split.every_step != (model.readout == "all"):
        return f"every_step must be {model.readout == 'all'}"
    try:
        x, lengths = inputs.sequence(model, split.x, split.lengths)
        target, _ = inputs.targets(model, loss, split.first_step().target, len(x), x.shape[1], lengths)
    except UsageError as error:
        return str(error)
    odd = next((name for name, value in (("x", x), ("target", target)) if not np.isfinite(value).all()), None)
    return f"{odd} holds NaN or infinity" if odd else None


def timed_batch(test: Split, batch_size: int) -> Split:
    """Return the first rows of the test split; from the start again where it has fewer than a batch."""
    return test.rows(np.arange(batch_size) % test.count)
