"""Simple exponential smoothing of many series: l(t) = α y(t) + (1 - α) l(t - 1), the forecast of every step ahead.

α is searched on a grid; for each α the level l(0) that the series begins with is the one of least squares, since the
one-step errors are linear in it: e(t) = y(t) - a(t - 1) - (1 - α)^(t - 1) l(0), where a smooths from zero.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rnnbench.model import Array

GRID = np.maximum(np.linspace(0.0, 1.0, 101), 0.001)  # nearly none, a hundredth, ... all of each new value


@dataclass(frozen=True)
class Smoothing:
    """Of each series: alpha [S], and the level it begins with [S]."""

    alpha: Array
    level: Array

    def levels(self, number: int, values: Array) -> Array:
        """Return the level after each value of a series, [n]: in one pass, however many forecasts begin there."""
        kept = 1 - self.alpha[number]
        return _smoothed(values, self.alpha[number], np.array([kept * self.level[number]]))


def smoothing(series: Sequence[Array], grid: Array = GRID) -> Smoothing:
    """Fit every series. One without values begins at zero, and takes each value as its level."""
    alpha, level = np.ones(len(series)), np.zeros(len(series))
    for numbers in _of_like_lengths(series):
        counts = np.array([len(series[number]) for number in numbers])
        start = np.array([series[number][0] for number in numbers])  # taken off, for the sums' sake
        y = np.zeros((len(numbers), counts.max()))
        for row, number in zip(y, numbers, strict=True):
            row[: len(series[number])] = series[number] - series[number][0]
        there = np.arange(y.shape[1]) < counts[:, None]
        least = np.full(len(numbers), np.inf)
        for each in grid:
            rest = y.copy()
            rest[:, 1:] -= _smoothed(y, each, np.zeros((len(y), 1)))[:, :-1]
            rest *= there
            weights = (1 - each) ** np.arange(y.shape[1])
            first = rest @ weights / (there @ weights**2)
            error = ((rest - first[:, None] * (weights * there)) ** 2).sum(axis=1)
            better = error < least
            least = np.where(better, error, least)
            alpha[numbers] = np.where(better, each, alpha[numbers])
            level[numbers] = np.where(better, first + start, level[numbers])
    return Smoothing(alpha, level)


def _of_like_lengths(series: Sequence[Array]) -> Iterator[Array]:
    """Yield the numbers of series that lie side by side in an array at most half of which is empty."""
    sizes = np.array([len(values).bit_length() for values in series])
    for size in np.unique(sizes[sizes > 0]):
        yield np.flatnonzero(sizes == size)


def _smoothed(values: Array, alpha: float, start: Array) -> Array:
    from scipy.signal import lfilter

    smoothed, _ = lfilter([alpha], [1.0, alpha - 1.0], values, axis=-1, zi=start)
    return np.asarray(smoothed)
