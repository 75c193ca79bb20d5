"""Values for steps that have none, each from its own series."""

import numpy as np

from rnnbench.model import Array


def forward(values: Array, start: Array) -> Array:
    """Return values [n] or [n, P] with NaN replaced by the value before, where the series has one.

    start int64 [n]: the index of the first step of each step's series.
    """
    steps = np.arange(len(values)).reshape(-1, *[1] * (values.ndim - 1))
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, steps))
    own = last >= start.reshape(steps.shape)
    return np.where(own, np.take_along_axis(values, np.maximum(last, 0), axis=0), np.nan)


def interpolate(values: Array) -> Array:
    """Return values [n] with NaN replaced by the straight line between their neighbours: what comes after is seen.

    Each series begins and ends with a value, so that no line leads from one to the next.
    """
    missing = np.isnan(values)
    steps = np.arange(len(values))
    return np.interp(steps, steps[~missing], values[~missing])


def seasonal(values: Array, start: Array, season: int) -> Array:
    """Return values [n] with NaN replaced by the value one season before, or more; without any, by the last value."""
    filled = values.copy()
    open_ = np.flatnonzero(np.isnan(values))
    source = open_ - season
    while open_.size:
        inside = source >= start[open_]
        open_, source = open_[inside], source[inside]
        filled[open_] = values[source]
        still = np.isnan(values[source])
        open_, source = open_[still], source[still] - season
    return forward(filled, start)
