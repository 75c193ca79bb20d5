"""Forecasts from the past of each series alone, in its own unit: what the methods that know no windows share."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from rnnbench.baselines.spec import Problem
from rnnbench.model import Array
from rnnbench.tasks.spec import Split, Windows

# (number of the series, its values [n], origins [K], leads [O]) -> [K, O]; each row from the values before its origin
Path = Callable[[int, Array, Array, Array], Array]


def needs_series(problem: Problem) -> str | None:
    """Return why a method that continues series is unsuitable, or None."""
    return "it continues series, and these sequences are of none" if problem.train.windows is None else None


def windows_of(split: Split) -> Windows:
    """Return the windows of a split that has some."""
    assert split.windows is not None
    return split.windows


def by_series(windows: Windows) -> Iterator[tuple[int, Array]]:
    """Yield each series' number and its sequences, int64 [K]."""
    order = np.argsort(windows.which, kind="stable")
    borders = np.flatnonzero(np.diff(windows.which[order])) + 1
    for rows in np.split(order, borders) if len(order) else ():
        yield int(windows.which[rows[0]]), rows


@dataclass(frozen=True)
class Continuation:
    """A fitted method that continues each series from its past."""

    parameters: int
    path: Path

    def predict(self, split: Split) -> Array:
        """Return the forecasts [N, O], standardised as the targets are."""
        windows = windows_of(split)
        leads, found = np.array(windows.leads), np.empty((split.count, len(windows.leads)))
        for number, rows in by_series(windows):
            origins = windows.origin[rows]
            found[rows] = self.path(number, windows.series[number][: origins.max()], origins, leads)
        return windows.scaled(found)
