"""Trains one model in this process, by the rule of the harness: where there is a validation part, the weights of the
best evaluation on it are kept, and training ends after `patience` evaluations without a better one."""

from dataclasses import dataclass

import numpy as np

from rnnbench.backends.base import Session
from rnnbench.errors import UsageError
from rnnbench.loading import session
from rnnbench.model import Array, Model, Params
from rnnbench.tasks.batches import batches
from rnnbench.tasks.spec import Data, Split, Task, Training
from rnnbench.training_loop import EarlyStopping, Progress, train

BACKEND = "numba"
ROWS = 1024  # that are predicted at once


@dataclass(frozen=True)
class Fit:
    """params: as they were after `steps` of the steps taken, where the validation part was forecast best."""

    params: Params
    steps: int
    taken: int


def fit(task: Task, data: Data, model: Model, training: Training, seed: int) -> Fit:
    """Train a model of this seed on data of its dtype. Raises UsageError where training diverges."""
    initial = model.init(seed, training.recurrent, training.forget_bias)
    learner = session(BACKEND, model, initial, loss=task.loss, optimiser=training.optimiser)
    stream, progress = batches(data.train, training.batch_size, seed), Progress()
    stopping, kept, taken = EarlyStopping(task.score_better, training.patience), initial, 0
    every = EarlyStopping.interval(training.steps)
    while taken < training.steps and not stopping.over:
        train(learner, stream, min(every, training.steps - taken), progress)
        taken = len(progress.losses)
        if not np.isfinite(progress.losses[-1]):
            raise UsageError(f"training diverged: the loss is {progress.losses[-1]} at step {taken}; try a lower --lr")
        if data.validation is None or stopping.keeps(_score(task, learner, data.validation), taken):
            kept = learner.parameters()
    return Fit(kept, taken if data.validation is None else stopping.steps, taken)


def _score(task: Task, learner: Session, split: Split) -> float:
    value = task.score(predict(learner, split), split)
    if not np.isfinite(value):
        raise UsageError(f"training diverged: the score on the validation part is {value}; try a lower --lr")
    return value


def predict(learner: Session, split: Split) -> Array:
    """Return the answers to all sequences of a split, [N, O]."""
    parts = [split.rows(slice(start, start + ROWS)) for start in range(0, split.count, ROWS)]
    return np.concatenate([part.answers(lambda each: learner.forward(each.x, each.lengths)[0]) for part in parts])
