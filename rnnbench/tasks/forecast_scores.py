"""Scores of forecasts: for each series first, then their mean, so that a long series counts as much as a short one.

    mae   mean |e|                      rmse  √ mean e²             e in the series' own unit
    mase  mean |e| / mean |y_t - y_t-m| over the training part, m the season, 1 where none is known
    smape 200 mean |e| / (|y| + |ŷ|)    nrmse √ mean e² / deviation of the test's targets
    persistence  mean |e| over that of the last value, both in standard deviations of the training part

MASE: Hyndman and Koehler 2006. sMAPE: Makridakis 1993, as the M3 competition took it. A series that did not move in
its training part has no MASE and is left out of the mean.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rnnbench.errors import UsageError
from rnnbench.model import Array
from rnnbench.tables.series import SeriesSet
from rnnbench.tasks.scores import persistence
from rnnbench.tasks.spec import Split, Windows

Metric = Literal["persistence", "mae", "rmse", "mase", "smape", "nrmse"]
METRICS: tuple[Metric, ...] = ("persistence", "mae", "rmse", "mase", "smape")  # those that --metric takes
NAMES = {"persistence": "error / persistence", "mae": "MAE", "rmse": "RMSE", "smape": "sMAPE", "nrmse": "NRMSE"}
SQUARED = ("rmse", "nrmse")


@dataclass(frozen=True)
class Scoring:
    """Scores predictions [N, O] for a split, as the model gives them, by one metric.

    naive_step float64 [S]: the scale of MASE, NaN for a series without one. season: m of it.
    """

    metric: Metric
    naive_step: Array
    season: int

    @classmethod
    def of(cls, table: SeriesSet, rows: Array, metric: Metric) -> "Scoring":
        """Take the scale of MASE from each series' first rows, of as many as `rows` [S] says. Raises UsageError for
        MASE where no series has a scale."""
        season = table.season or 1
        steps = np.full(len(table.series), np.nan)
        for number, (series, count) in enumerate(zip(table.series, rows, strict=True)):
            if count > season:
                step = np.abs(series.target[season:count] - series.target[: count - season]).mean()
                steps[number] = step or np.nan
        if metric == "mase" and np.isnan(steps).all():
            why = f"no series has a step over {season} rows in its training part to measure by"
            raise UsageError(f"{table.source}: {why}; choose another --metric than mase")
        return cls(metric, steps, season)

    @property
    def name(self) -> str:
        """Return what the score is called in tables."""
        return f"MASE (season {self.season})" if self.metric == "mase" else NAMES[self.metric]

    def score(self, prediction: Array, split: Split) -> float:
        """Return the mean over series."""
        return self._score(self.metric, prediction, split)

    def figures(self, prediction: Array, split: Split) -> Mapping[str, float]:
        """Return the scores of all metrics that are defined, by the columns of a `Record`."""
        found = {metric: self._score(metric, prediction, split) for metric in METRICS}
        columns = {"persistence": "persistence_ratio"}
        return {columns.get(metric, metric): value for metric, value in found.items() if np.isfinite(value)}

    def losses(self, prediction: Array, split: Split) -> Array:
        """Return what the score is the mean of, [M]: by series, or by test time where there is one series; the squares
        of it there, where the score is the root of a mean."""
        points, unit = self._points(self.metric, prediction, split), self._unit(self.metric, split)
        if len(_windows(split).series) > 1:
            points = self._by_series(self.metric, points, split)
        else:
            points, unit = points.mean(axis=1), unit**2 if self.metric in SQUARED else unit
        return points / unit

    def by_lead(self, prediction: Array, split: Split) -> Array:
        """Return the score of each step ahead alone, [O]."""
        count = split.target.shape[1]
        return np.array([self._score(self.metric, prediction, split, slice(o, o + 1)) for o in range(count)])

    def _score(self, metric: Metric, prediction: Array, split: Split, leads: slice = slice(None)) -> float:
        found = self._by_series(metric, self._points(metric, prediction, split)[:, leads], split)
        return float(found.mean() / self._unit(metric, split, leads)) if len(found) else float("nan")

    def _points(self, metric: Metric, prediction: Array, split: Split) -> Array:
        """Return the loss of each forecast, [N, O]."""
        windows, target = _windows(split), split.target.astype(np.float64)
        error: Array = np.abs(prediction - target)
        if metric == "persistence":
            return error
        if metric == "nrmse":
            return error**2
        own = error * windows.scale[windows.which, None]
        if metric == "mase":
            return own / self.naive_step[windows.which, None]
        if metric == "smape":
            size = np.abs(windows.unscaled(target)) + np.abs(windows.unscaled(prediction.astype(np.float64)))
            own = 200 * np.divide(own, size, out=np.zeros_like(own), where=size > 0)
        return own**2 if metric == "rmse" else own

    def _by_series(self, metric: Metric, points: Array, split: Split) -> Array:
        """Return the mean over a series' forecasts, of every series that has some and a scale."""
        which = _windows(split).which
        count = np.bincount(which)
        means: Array = np.bincount(which, points.mean(axis=1))[count > 0] / count[count > 0]
        means = means[~np.isnan(means)]
        return means**0.5 if metric in SQUARED else means

    def _unit(self, metric: Metric, split: Split, leads: slice = slice(None)) -> float:
        """Return what the mean over series is divided by: 1 where that is 0, as in a validation part that stays as it
        was."""
        if metric == "nrmse":
            return float(np.std(split.target[:, leads])) or 1.0
        if metric != "persistence":
            return 1.0
        points = self._points(metric, persistence(split), split)[:, leads]
        return float(self._by_series(metric, points, split).mean()) or 1.0


def _windows(split: Split) -> Windows:
    assert split.windows is not None, "a split of series has windows"
    return split.windows
