"""Ridge on mean and deviation of each channel: what can be told of a class without any order in time."""

import numpy as np

from rnnbench.baselines.regression import regress, too_large
from rnnbench.baselines.sequences import cleared, needs_classes, valid
from rnnbench.baselines.spec import Baseline, Fitted, Problem
from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array
from rnnbench.tasks.spec import Split


def moments(split: Split) -> Array:
    """Return means and deviations over the steps of each sequence, [N, 2 I]."""
    x, there = cleared(split), valid(split)
    count = np.maximum(there.sum(axis=0), 1)[:, None]
    mean = x.sum(axis=0) / count
    square = np.where(there[:, :, None], (x - mean) ** 2, 0.0).sum(axis=0) / count
    return np.hstack([mean, np.sqrt(square)])


def unsuitable(problem: Problem) -> str | None:
    """Return why it cannot answer, or None."""
    return needs_classes(problem) or too_large(problem, 2 * problem.train.x.shape[2])


def fit(problem: Problem) -> Fitted:
    """Fit the classes' indicators."""
    return regress(problem, moments)


@hookimpl
def rnnbench_baselines() -> list[Baseline]:
    title = "Ridge on mean and deviation of each channel"
    return [Baseline(id="ridge-moments", title=title, source="Hoerl and Kennard 1970", unsuitable=unsuitable, fit=fit)]
