"""Simple exponential smoothing: every step ahead is the level, α of each new value and 1 - α of the level before.

α by grid, the first level by least squares, on the training part; the level then follows the series to each origin.
"""

import numpy as np

from rnnbench.baselines.series import Continuation, needs_series, windows_of
from rnnbench.baselines.smoothing import smoothing
from rnnbench.baselines.spec import Baseline, Fitted, Problem
from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array


def fit(problem: Problem) -> Fitted:
    """Fit α and the first level of each series."""
    series = windows_of(problem.train).series
    fitted = smoothing(series)

    def path(number: int, values: Array, origins: Array, leads: Array) -> Array:
        return np.repeat(fitted.levels(number, values)[origins - 1, None], len(leads), axis=1)

    return Continuation(2 * len(series), path)


@hookimpl
def rnnbench_baselines() -> list[Baseline]:
    return [
        Baseline(
            id="ses",
            title="Simple exponential smoothing",
            source="Brown 1956; Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 8.1",
            unsuitable=needs_series,
            fit=fit,
        )
    ]
