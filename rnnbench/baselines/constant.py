"""The mean of the training part, or of classes their shares: the best answer of those that look at nothing.

A series has the mean of its own values. Where each step is answered, each has its own constant.
"""

from dataclasses import dataclass

import numpy as np

from rnnbench.baselines.sequences import as_asked, valid, wanted
from rnnbench.baselines.series import Continuation
from rnnbench.baselines.spec import Baseline, Fitted, Problem
from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array
from rnnbench.tasks.spec import Split


@dataclass(frozen=True)
class ConstantAnswer:
    """answer [1, O]; where each step is answered [T + 1, O], the last row for steps beyond those of training."""

    answer: Array

    @property
    def parameters(self) -> int:
        return self.answer.size

    def predict(self, split: Split) -> Array:
        """Return the same for all sequences."""
        steps = np.minimum(np.arange(len(split.x)), len(self.answer) - 1) if split.every_step else np.array([0])
        answer = np.repeat(self.answer[steps, None], split.count, axis=1)
        return answer if split.every_step else answer[0]


def fit(problem: Problem) -> Fitted:
    """Return the means."""
    train = problem.train
    if train.windows is not None:
        pairs = zip(train.windows.series, train.windows.offset, strict=True)
        means = np.array([values.mean() if len(values) else offset for values, offset in pairs])
        return Continuation(len(means), lambda number, values, origins, leads: means[number])
    target = wanted(problem)
    if not train.every_step:
        return ConstantAnswer(as_asked(problem, target.mean(axis=0)[None]))
    counted = np.where(valid(train)[:, :, None], target, 0.0).sum(axis=1)
    counts = valid(train).sum(axis=1)[:, None]
    overall = counted.sum(axis=0) / counts.sum()
    by_step = np.where(counts > 0, counted / np.maximum(counts, 1), overall)
    return ConstantAnswer(as_asked(problem, np.vstack([by_step, overall])))


@hookimpl
def rnnbench_baselines() -> list[Baseline]:
    return [
        Baseline(
            id="constant",
            title="Mean of the training part, or shares of its classes",
            source="what R² sets an error against",
            unsuitable=lambda problem: None,
            fit=fit,
            blind=True,
        )
    ]
