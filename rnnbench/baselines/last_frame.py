"""Ridge on the last frame alone: what can be told without any memory.

Where each step is answered, from that step's frame, with the same weights at all steps.
"""

import numpy as np

from rnnbench.baselines.regression import regress, too_large
from rnnbench.baselines.sequences import cleared
from rnnbench.baselines.spec import Baseline, Fitted, Problem
from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array
from rnnbench.tasks.spec import Split


def frames(split: Split) -> Array:
    """Return the last frame within each length, [N, I]; all of them, [T, N, I], where each step is answered."""
    if split.every_step:
        return cleared(split)
    last = (len(split.x) if split.lengths is None else np.maximum(split.lengths, 1)) - 1
    return np.asarray(cleared(split)[last, np.arange(split.count)])


def fit(problem: Problem) -> Fitted:
    """Fit the frames to the answers."""
    return regress(problem, frames)


@hookimpl
def rnnbench_baselines() -> list[Baseline]:
    return [
        Baseline(
            id="last-frame",
            title="Ridge on the last frame alone",
            source="Hoerl and Kennard 1970",
            unsuitable=lambda problem: too_large(problem, problem.train.x.shape[2]),
            fit=fit,
        )
    ]
