"""Theta: the level of simple exponential smoothing, and half of the trend.

    y(n + h) = l(n) + b/2 (h - 1 + (1 - (1 - α)^n) / α),    b the slope of least squares through the n values so far

Assimakopoulos and Nikolopoulos 2000, in the closed form of Hyndman and Billah 2003.
"""

import numpy as np

from rnnbench.baselines.series import Continuation, needs_series, windows_of
from rnnbench.baselines.smoothing import smoothing
from rnnbench.baselines.spec import Baseline, Fitted, Problem
from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array


def slopes(values: Array) -> Array:
    """Return the slope of the line through the first 1, 2, ... n values, [n]; 0 through one of them."""
    count = np.arange(1, len(values) + 1)
    rest = values - values[0]
    moment = np.cumsum((count - 1) * rest) - (count - 1) / 2 * np.cumsum(rest)
    return np.asarray(moment * 12 / np.maximum(count * (count**2.0 - 1), 1.0))


def fit(problem: Problem) -> Fitted:
    """Fit the smoothing of each series; the slope is that of the past of each origin."""
    series = windows_of(problem.train).series
    fitted = smoothing(series)

    def path(number: int, values: Array, origins: Array, leads: Array) -> Array:
        alpha = fitted.alpha[number]
        level, slope = fitted.levels(number, values)[origins - 1], slopes(values)[origins - 1]
        reached = (1 - (1 - alpha) ** origins) / alpha
        return np.asarray(level[:, None] + slope[:, None] / 2 * (leads - 1 + reached[:, None]))

    return Continuation(3 * len(series), path)


@hookimpl
def rnnbench_baselines() -> list[Baseline]:
    return [
        Baseline(
            id="theta",
            title="Theta: exponential smoothing with half of the trend",
            source="Assimakopoulos and Nikolopoulos 2000; Hyndman and Billah 2003",
            unsuitable=needs_series,
            fit=fit,
        )
    ]
