"""Ridge regression: the penalty is chosen on inner folds that are ordered in time, the intercept goes unpenalised."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rnnbench.model import Array

STRENGTHS = tuple(float(10 ** (half / 2)) for half in range(-4, 11))  # 0.01 to 100,000, two a decade
FOLDS = 4
LARGEST = 1024  # rows or columns, whichever are fewer: the eigenvalues of so many take a second


@dataclass(frozen=True)
class LinearMap:
    """weights [P, O], intercept [O]."""

    weights: Array
    intercept: Array

    def __call__(self, x: Array) -> Array:
        """Return the answers [..., O] to x [..., P]."""
        return x @ self.weights + self.intercept

    @property
    def parameters(self) -> int:
        return self.weights.size + self.intercept.size


@dataclass(frozen=True)
class RidgeFamily:
    """The solutions (A'A + λ)^-1 A'y for every λ, A being x less its mean; by A A' where that is smaller.

    values [K]: eigenvalues. back [P, K] and projected [K, O]: the weights are back (projected / (values + λ)).
    """

    values: Array
    back: Array
    projected: Array
    middle: Array
    mean: Array

    @classmethod
    def of(cls, x: Array, y: Array) -> "RidgeFamily":
        """Return those of x [N, P] and y [N, O]."""
        middle, mean = x.mean(axis=0), y.mean(axis=0)
        a, b = x - middle, y - mean
        if len(a) < a.shape[1]:
            values, vectors = np.linalg.eigh(a @ a.T)
            return cls(values, a.T @ vectors, vectors.T @ b, middle, mean)
        values, vectors = np.linalg.eigh(a.T @ a)
        return cls(values, vectors, vectors.T @ (a.T @ b), middle, mean)

    def at(self, strength: float) -> LinearMap:
        """Return the solution for one λ; of many for λ = 0, the shortest."""
        weights = self.back @ (self._shares(strength) * self.projected)
        return LinearMap(weights, self.mean - self.middle @ weights)

    def errors(self, x: Array, y: Array, strengths: Sequence[float]) -> list[float]:
        """Return the sum of squared errors on x [N, P] and y [N, O] for each λ."""
        seen, rest = (x - self.middle) @ self.back, y - self.mean
        return [float(np.sum((seen @ (self._shares(each) * self.projected) - rest) ** 2)) for each in strengths]

    def _shares(self, strength: float) -> Array:
        """Return what each of `projected` is multiplied by, [K, 1]."""
        least = self.values.max(initial=0.0) * len(self.middle) * np.finfo(np.float64).eps
        damped = np.maximum(self.values, 0.0) + strength
        return np.divide(1.0, damped, out=np.zeros_like(damped), where=damped > least)[:, None]


def ridge(x: Array, y: Array, strengths: Sequence[float] = STRENGTHS) -> LinearMap:
    """Fit y [N, O] to x [N, P], rows in the order of time.

    λ is the one of `strengths` with the least squared error over the folds: each is forecast from all rows before it.
    The strongest where there are too few rows for folds, or equal ones.
    """
    return RidgeFamily.of(x, y).at(_chosen(x, y, sorted(strengths, reverse=True)))


def _chosen(x: Array, y: Array, strengths: Sequence[float]) -> float:
    borders = [len(x) * (fold + 1) // (FOLDS + 1) for fold in range(FOLDS + 1)]
    if borders[0] == 0 or len(strengths) == 1:
        return strengths[0]
    errors = np.zeros(len(strengths))
    for begin, end in pairwise(borders):
        errors += RidgeFamily.of(x[:begin], y[:begin]).errors(x[begin:end], y[begin:end], strengths)
    return strengths[int(errors.argmin())]
