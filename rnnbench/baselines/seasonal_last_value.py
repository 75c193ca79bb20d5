"""As it was a season ago: y(t + h) = y(t + h - m k), k the fewest seasons m that lead into the past.

Where the season is not given, it is found by the training part's autocorrelation, where that is plain: after it has
fallen to zero, it rises above a half again; the season is where it is highest.
"""

from collections.abc import Sequence

import numpy as np

from rnnbench.baselines.series import Continuation, needs_series, windows_of
from rnnbench.baselines.spec import Baseline, Fitted, Problem
from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array

PLAIN = 0.5  # of the variance about the trend is that of a season ago
PERIODS = 3  # are the fewest that show one
STRAIGHT = 1e-24  # of the squared range: what rounding leaves of a straight line


def season_of(problem: Problem) -> int | None:
    """Return the steps of a period, given or found, or None."""
    windows = windows_of(problem.train)
    return windows.season or found_season(windows.series)


def found_season(series: Sequence[Array]) -> int | None:
    """Return the lag at which the series resemble themselves, or None where it is not plain.

    Their autocorrelations are averaged, each weighted by its variance over all; a straight line is taken out first.
    """
    longest = max(map(len, series), default=0) // PERIODS
    total = np.zeros(longest + 1)
    for values in series:
        if len(values) >= PERIODS and (spread := np.ptp(values)) > 0:
            covariance = _autocovariance((values - values[0]) / spread)[: longest + 1]
            if covariance[0] > STRAIGHT * len(values):
                total[: len(covariance)] += len(values) * covariance / covariance[0]
    fallen = np.flatnonzero(total <= 0)
    if not total.size or total[0] <= 0 or not len(fallen):
        return None
    lag = int(fallen[0] + total[fallen[0] :].argmax())
    return lag if total[lag] > PLAIN * total[0] and lag < longest else None


def _autocovariance(values: Array) -> Array:
    """Return the sums of products of the values about their trend, by lag; fewer terms for longer lags."""
    steps = np.arange(len(values)) - (len(values) - 1) / 2
    rest = values - values.mean() - steps * (steps @ values) / (steps @ steps)
    spectrum = np.fft.rfft(rest, 2 * len(rest))
    return np.fft.irfft(spectrum * spectrum.conj(), 2 * len(rest))[: len(rest)]


def unsuitable(problem: Problem) -> str | None:
    """Return why it cannot answer, or None."""
    if why := needs_series(problem):
        return why
    if (season := season_of(problem)) is None:
        return "no season is given, and the training part shows none plainly"
    return "a season of one step is the last value" if season == 1 else None


def fit(problem: Problem) -> Fitted:
    """Return the method for the season. Where a past is shorter than it, its last value stands in."""
    season = season_of(problem)
    assert season is not None

    def path(number: int, values: Array, origins: Array, leads: Array) -> Array:
        then = origins[:, None] - season + (leads - 1) % season
        return values[np.where(then < 0, origins[:, None] - 1, then)]

    return Continuation(0 if windows_of(problem.train).season else 1, path)


@hookimpl
def rnnbench_baselines() -> list[Baseline]:
    return [
        Baseline(
            id="seasonal-last-value",
            title="The last value of the same season",
            source="Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 5.2",
            unsuitable=unsuitable,
            fit=fit,
            blind=True,
        )
    ]
