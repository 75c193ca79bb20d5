"""On along the line from the first value to the last: y(t + h) = y(t) + h (y(t) - y(1)) / (t - 1)."""

import numpy as np

from rnnbench.baselines.series import Continuation, needs_series, windows_of
from rnnbench.baselines.spec import Baseline, Fitted, Problem
from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array


def path(number: int, values: Array, origins: Array, leads: Array) -> Array:
    """Return the forecasts [K, O]; of a single value, that value."""
    last = values[origins - 1]
    slope = (last - values[0]) / np.maximum(origins - 1, 1)
    return np.asarray(last[:, None] + slope[:, None] * leads)


def fit(problem: Problem) -> Fitted:
    """Return the method. Its slope follows from two values at each origin, and is one number a series."""
    return Continuation(len(windows_of(problem.train).series), path)


@hookimpl
def rnnbench_baselines() -> list[Baseline]:
    return [
        Baseline(
            id="drift",
            title="The last value and the mean step so far",
            source="Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 5.2",
            unsuitable=needs_series,
            fit=fit,
        )
    ]
