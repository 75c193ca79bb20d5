"""The class of the nearest training sequence, by Euclid's distance over all steps and channels.

The bar of the UCR archive (Dau et al. 2019). Sequences of unlike lengths are compared with zeros at their ends.
"""

from dataclasses import dataclass

import numpy as np

from rnnbench.baselines.sequences import as_asked, flat, needs_classes
from rnnbench.baselines.spec import Baseline, Fitted, Problem
from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array
from rnnbench.tasks.spec import Split

AT_ONCE = 1 << 22  # distances held


@dataclass(frozen=True)
class NearestNeighbour:
    """rows [N, T I]: the training sequences, all of which are kept."""

    problem: Problem
    rows: Array

    @property
    def parameters(self) -> int:
        return self.rows.size + len(self.rows)

    def predict(self, split: Split) -> Array:
        """Return the answers [N, O]: one neighbour's class counts as much as one of each class beforehand."""
        asked, squares = flat(split, len(self.problem.train.x)), (self.rows**2).sum(axis=1)
        nearest = np.empty(len(asked), np.int64)
        many = max(1, AT_ONCE // len(self.rows))
        for start in range(0, len(asked), many):  # |a - b|² less |a|², which is the same for all b
            nearest[start : start + many] = (squares - 2 * asked[start : start + many] @ self.rows.T).argmin(axis=1)
        classes = self.problem.output_size
        shares = (np.eye(classes)[self.problem.train.target[nearest]] + 1) / (classes + 1)
        return as_asked(self.problem, shares)


def fit(problem: Problem) -> Fitted:
    """Keep the training sequences."""
    return NearestNeighbour(problem, flat(problem.train, len(problem.train.x)))


@hookimpl
def rnnbench_baselines() -> list[Baseline]:
    return [
        Baseline(
            id="nearest-neighbour",
            title="Class of the nearest training sequence",
            source="Dau et al. 2019, arXiv:1810.07758",
            unsuitable=needs_classes,
            fit=fit,
        )
    ]
