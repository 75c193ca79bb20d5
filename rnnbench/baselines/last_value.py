"""As it is now: y(t + h) = y(t). Persistence, the naive forecast, best of a random walk."""

import numpy as np

from rnnbench.baselines.series import Continuation, needs_series
from rnnbench.baselines.spec import Baseline, Fitted, Problem
from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array


def path(number: int, values: Array, origins: Array, leads: Array) -> Array:
    """Return the last value before each origin, [K, O]."""
    return np.repeat(values[origins - 1, None], len(leads), axis=1)


def fit(problem: Problem) -> Fitted:
    """Return the method, in which nothing is fitted."""
    return Continuation(0, path)


@hookimpl
def rnnbench_baselines() -> list[Baseline]:
    return [
        Baseline(
            id="last-value",
            title="The last value",
            source="Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 5.2",
            unsuitable=needs_series,
            fit=fit,
            blind=True,
        )
    ]
