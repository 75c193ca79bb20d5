"""Ridge regression from what a method sees of a sequence to the answers; of classes it fits their indicators."""

from collections.abc import Callable
from dataclasses import dataclass

from rnnbench.baselines.least_squares import LARGEST, LinearMap, ridge
from rnnbench.baselines.sequences import as_asked, ordered, valid, wanted
from rnnbench.baselines.spec import Problem
from rnnbench.model import Array
from rnnbench.tasks.spec import Split

Rows = Callable[[Split], Array]  # -> [N, P], or [T, N, P] where each step is answered


@dataclass(frozen=True)
class RidgeAnswer:
    """rows: what is seen of the sequences."""

    problem: Problem
    rows: Rows
    linear: LinearMap

    @property
    def parameters(self) -> int:
        return self.linear.parameters

    def predict(self, split: Split) -> Array:
        """Return the answers [N, O] or [T, N, O]."""
        return as_asked(self.problem, self.linear(self.rows(split)))


def regress(problem: Problem, rows: Rows) -> RidgeAnswer:
    """Fit all sequences, in an order for inner folds; where each step is answered, the steps with the same weights."""
    x, y, order = rows(problem.train), wanted(problem), ordered(problem)
    if problem.train.every_step:  # the steps of a sequence beside each other
        there = valid(problem.train).T[order]
        return RidgeAnswer(problem, rows, ridge(x.transpose(1, 0, 2)[order][there], y.transpose(1, 0, 2)[order][there]))
    return RidgeAnswer(problem, rows, ridge(x[order], y[order]))


def too_large(problem: Problem, columns: int) -> str | None:
    """Return why the equations are too many to be solved in seconds, or None."""
    many = min(problem.train.count, columns) > LARGEST
    return f"it would see {columns} numbers; {LARGEST} at most are solved for" if many else None
