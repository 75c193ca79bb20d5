"""Forecasting: windows cut from a series by time, standardised by its training part.

A series is [n, I] and its column 0 is the target, whose own past is thus always an input.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rnnbench.model import Array, Readout
from rnnbench.tasks.scores import relative_error
from rnnbench.tasks.spec import Data, Split, Task


@dataclass(frozen=True, kw_only=True)
class ForecastTask(Task):
    """A task of forecasting one column of a series: what such tasks share. Its baseline is persistence."""

    input_size: int = 1
    output_size: int | None = 1
    readout: Readout = "last"
    loss: Literal["mse", "cross-entropy"] = "mse"
    score_name: str = "error / persistence"
    score_better: Literal["lower", "higher"] = "lower"
    baseline: float = 1.0
    score: Callable[[Array, Split], float] = relative_error


@dataclass(frozen=True)
class Forecast:
    """How a series is cut.

    window: T, the steps an answer is based on. horizon: steps from a window's last value to its target. border: the row
    that the test part begins with; targets before it are trained on.
    """

    window: int
    horizon: int
    border: int

    @property
    def first_target(self) -> int:
        """Return the first row with a whole window, and the horizon, before it."""
        return self.window + self.horizon - 1

    def of(self, series: Callable[[], Array]) -> Callable[[int], Data]:
        """Return `Task.data` of a series: the same for every seed, which decides the weights and training's order."""
        return lambda seed: self.data(series())

    def data(self, series: Array) -> Data:
        """Cut series [n, I] into x [T, N, I] and target [N, 1], one per row that has a window before it.

        Windows of the first test targets reach back over the border: what they show is the past by then. Nothing of
        the test part reaches the training part.
        """
        scaled = standardised(series, self.border)
        return Data(self._split(scaled, self.first_target, self.border), self._split(scaled, self.border, len(scaled)))

    def _split(self, scaled: Array, start: int, stop: int) -> Split:
        windows = np.lib.stride_tricks.sliding_window_view(scaled, self.window, axis=0)  # [n - T + 1, I, T]
        chosen = windows[start - self.first_target : stop - self.first_target]
        return Split(np.ascontiguousarray(chosen.transpose(2, 0, 1)), scaled[start:stop, :1].copy())


def standardised(series: Array, border: int) -> Array:
    """Return each column less the mean of its first `border` rows, over their standard deviation (1 if they are equal).

    The sums are exactly rounded ones, since NumPy's differ in the last bit between versions.
    """
    scaled = np.empty(series.shape)
    for column, values in enumerate(series.T):
        known = values[:border]
        mean = math.fsum(known) / border
        deviation = math.sqrt(math.fsum((known - mean) ** 2) / border)
        constant = known.min() == known.max()  # the deviation of equal values may be a rounding error
        scaled[:, column] = (values - mean) / (1 if constant else deviation)
    return scaled
