"""Gradient boosting on what a sequence holds, as a baseline of rnnbench: LightGBM, on one thread, the same every time.

A window of a series is given less its last value, with that value, its mean and its deviation; what is learned is the
change from its last value. How many trees there are is what serves the last fifth of training best; then so many are
fitted to all of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rnnbench import hookimpl
from rnnbench.baselines.spec import Baseline, Problem
from rnnbench.model import Array
from rnnbench.tasks.spec import Split

if TYPE_CHECKING:
    import lightgbm

MOST_TREES, PATIENCE = 500, 20
FIFTH = 5  # the share of training that says how many trees there are
LEAST_ROWS = 20  # of a leaf, which is LightGBM's own; of few sequences, a fifth of them


@dataclass(frozen=True)
class Boosted:
    """boosters: one for each output, or one for all classes. parameters: the leaves' values and the thresholds."""

    boosters: "tuple[lightgbm.Booster, ...]"
    parameters: int

    def predict(self, split: Split) -> Array:
        """Return [N, O]: logarithms of probabilities for classes."""
        given = features(split)
        answers = [booster.predict(given, num_threads=1) for booster in self.boosters]
        if answers[0].ndim == 2:
            return np.log(np.maximum(answers[0], np.finfo(float).tiny))
        return np.stack(answers, axis=1) + _reference(split)


def features(split: Split) -> Array:
    """Return what the trees see of each sequence, [N, F]; NaN past its length."""
    x = np.array(split.x, dtype=np.float64)
    if split.lengths is not None:
        x[np.arange(len(x))[:, None] >= split.lengths] = np.nan
    more = []
    if split.windows is not None:
        own = x[:, :, 0].copy()
        more = [own[-1], own.mean(axis=0), own.std(axis=0)]
        x[:, :, 0] -= own[-1]
    return np.column_stack([x.transpose(1, 0, 2).reshape(split.count, -1), *more])


def _reference(split: Split) -> Array | float:
    """Return what the outputs are told from: the last value of a series, [N, 1]."""
    return split.x[-1, :, :1].astype(np.float64) if split.windows is not None else 0.0


def _judging(split: Split) -> Array:
    """Return which of the training sequences say how many trees there are, bool [N]: the last of each series."""
    which = split.windows.which if split.windows is not None else np.zeros(split.count, int)
    order = np.lexsort((split.windows.origin if split.windows is not None else np.arange(split.count), which))
    count = np.bincount(which)
    place = np.empty(split.count, int)
    place[order] = np.arange(split.count) - (np.cumsum(count) - count)[which[order]]
    return place >= count[which] - count[which] // FIFTH


def _boosted(given: Array, target: Array, judging: Array, settings: dict[str, object]) -> "lightgbm.Booster":
    import lightgbm

    trees = MOST_TREES
    if judging.any():
        seen = lightgbm.Dataset(given[~judging], target[~judging], free_raw_data=False)
        rest = lightgbm.Dataset(given[judging], target[judging], reference=seen, free_raw_data=False)
        stopping = lightgbm.early_stopping(PATIENCE, verbose=False)
        tried = lightgbm.train(settings, seen, MOST_TREES, valid_sets=[rest], callbacks=[stopping])
        trees = max(1, tried.best_iteration)
    return lightgbm.train(settings, lightgbm.Dataset(given, target), trees)


def fit(problem: Problem) -> Boosted:
    """Fit a booster for each output, or one for all classes."""
    train = problem.train
    settings: dict[str, object] = {
        "objective": "regression" if problem.loss == "mse" else "multiclass",
        "min_data_in_leaf": max(1, min(LEAST_ROWS, train.count // FIFTH)),
        "learning_rate": 0.05,
        "seed": problem.seed,
        "deterministic": True,
        "force_row_wise": True,  # else it times both ways and takes the faster, and so not always the same
        "num_threads": 1,
        "verbosity": -1,
    }
    if problem.loss == "cross-entropy":
        settings["num_class"] = problem.output_size
        targets = [train.target]
    else:
        targets = list((train.target - _reference(train)).T)
    given, judging = features(train), _judging(train)
    boosters = tuple(_boosted(given, target, judging, settings) for target in targets)
    return Boosted(boosters, sum(_numbers(booster) for booster in boosters))


def _numbers(booster: "lightgbm.Booster") -> int:
    """Count leaves' values and thresholds: a tree has one of these less."""
    leaves = [tree["num_leaves"] for tree in booster.dump_model()["tree_info"]]
    return sum(2 * count - 1 for count in leaves)


def unsuitable(problem: Problem) -> str | None:
    """Return why a problem is left out, or None."""
    if problem.readout == "all":
        return "it answers once for a sequence, not every step"
    return None


@hookimpl
def rnnbench_baselines() -> Iterable[Baseline]:
    """Offer `lightgbm`."""
    return [
        Baseline(
            id="lightgbm",
            title="Gradient boosting on the window",
            source="Ke and others 2017; LightGBM",
            unsuitable=unsuitable,
            fit=fit,
        )
    ]
