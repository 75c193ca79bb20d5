"""What every backend of a group is given: the same data, the same initial weights, the same batch, in files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnbench.comparison import arrays
from rnnbench.comparison.messages import CasePaths, CaseRequest
from rnnbench.comparison.plan import Group
from rnnbench.model import Array, Model, Params
from rnnbench.tasks.batches import batches
from rnnbench.tasks.spec import Data, FixedModel, Split, Task, Training, Workload
from rnnbench.verify.gradient import WRONG, wrong_gradient
from rnnbench.verify.reference import Oracle, Outputs
from rnnbench.workers.failure import Failure, blame, explain


@dataclass(frozen=True)
class CaseInputs:
    """batch: rows of the test split, as many as a training batch has: what inference is timed on. fresh, gradients and
    losses: what the oracle gives for the initial weights."""

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

    @property
    def scored(self) -> Task:
        """Return the task, which must be one that is learned and scored."""
        assert isinstance(self.task, Task), "a model that brings its weights is not scored"
        return self.task

    def opening(self, trains: bool) -> CaseRequest:
        """Return the request that opens this case."""
        training, seed = self.training, self.group.seed
        return CaseRequest(
            self.model, training.batch_size, trains, self.task.loss, training.optimiser, seed, self.files
        )


class CaseFiles:
    """Makes the inputs of cases, in files. A task's data are made and written once for all cells of a seed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data: dict[tuple[str, int, str], tuple[Data, str, str]] = {}

    def inputs(self, group: Group, task: Workload, training: Training) -> CaseInputs:
        """Make a case's inputs. Raises Failure where the task or the cell is at fault: that ends the group for every
        backend."""
        try:
            model = group.model(task)
            data, train, test = self._data_of(group, task)
            if isinstance(task, FixedModel):
                params = model.check_params(task.params)
            else:
                params = model.init(group.seed, training.recurrent, training.forget_bias)
            batch = timed_batch(data.test, training.batch_size)
            first = next(batches(data.train, training.batch_size, group.seed))
            oracle = Oracle(model, task, training, batch, first)
            fresh = oracle.fresh(params)
            gradients = {} if isinstance(task, FixedModel) else oracle.gradients(params)
            losses = oracle.losses(params, data.train, group.seed)
            wrong = None if isinstance(task, FixedModel) else wrong_gradient(group.cell)
        except Exception as error:  # a plugin's task or cell may raise anything
            why = f"task {task.id!r} with cell {group.cell!r}: {explain(error)}"
            raise blame(error, why, f"leave it out: --task without {task.id}") from error
        if wrong is not None:
            why = f"the backward of cell {group.cell!r} is not the derivative of its forward: off by {wrong:.1e}"
            raise Failure("mismatch", f"{why} (allowed: {WRONG:g})", "mend it: `rnnbench.testing.gradient_error` tells")
        files = CasePaths(str(self.path("params.npz")), str(self.path("batch.npz")), train, test)
        arrays.save(Path(files.params), params)
        arrays.save_split(Path(files.batch), batch)
        return CaseInputs(group, task, training, model, data, batch, params, oracle, fresh, gradients, losses, files)

    def path(self, name: str) -> Path:
        """Return where a file of the case lies."""
        return self._folder / name

    def _data_of(self, group: Group, task: Workload) -> tuple[Data, str, str]:
        """Return the data and the files of its two splits, from the cell before where they are the same."""
        key = (task.id, group.seed, group.dtype)
        if key not in self._data:
            data = arrays.cast(task.data(group.seed), group.dtype)
            stem = f"{task.id}-{group.seed}-{group.dtype}"
            train, test = self.path(f"{stem}-train.npz"), self.path(f"{stem}-test.npz")
            arrays.save_split(train, data.train)
            arrays.save_split(test, data.test)
            self._data = {k: v for k, v in self._data.items() if k[1:] == key[1:]}  # no other seed comes back
            self._data[key] = data, str(train), str(test)
        return self._data[key]


def timed_batch(test: Split, batch_size: int) -> Split:
    """Return the first rows of the test split; from the start again where it has fewer than a batch."""
    return test.rows(np.arange(batch_size) % test.count)
