"""Six series as people bring them, of which is known what there is to learn; and the example file of the docs:

    python tools/six_series.py        writes examples/shops.csv

Each but the sunspots is made from a formula and noise, so that the error of the best possible answer is known too.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rnnbench import atomic
from rnnbench.model import Array

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "shops.csv"
SHOPS = {"Bergen": 240.0, "Delft": 90.0, "Gent": 410.0, "Lund": 55.0, "Porto": 150.0}  # mean sales of a day
WEEK = np.array([0.9, 0.8, 0.85, 0.95, 1.2, 1.5, 0.8])  # Monday first
PROMOTED = 1.3  # times the sales of another day
DAYS, AHEAD = 280, 7  # with sales; with promotions alone


@dataclass(frozen=True)
class Example:
    """frame: as a CSV would give it. options: of `compare`, which name its columns. best: the baseline that can express
    the best possible answer, so that no cell is ahead of it; None where a network may know more."""

    frame: pd.DataFrame
    options: dict[str, object]
    best: str | None


def _noise(count: int, seed: int, size: float) -> Array:
    return size * np.random.default_rng(seed).standard_normal(count)


def _table(start: str, frequency: str, values: Array) -> pd.DataFrame:
    times = pd.date_range(start, periods=len(values), freq=frequency)
    return pd.DataFrame({"time": times, "value": values.round(3)})


def two_seasons() -> Example:
    """Hours of eight weeks: a day, a week and noise. A sum of two sines is a linear function of its past."""
    t = np.arange(8 * 7 * 24)
    values = 100 + 20 * np.sin(2 * np.pi * t / 24) + 10 * np.sin(2 * np.pi * t / 168) + _noise(len(t), 1, 2)
    return Example(_table("2021-03-01", "h", values), {"target": "value"}, "ridge")


def monthly() -> Example:
    """Twenty years of months, twelve ahead: a trend, a season and noise."""
    t = np.arange(240)
    season = 12 * np.sin(2 * np.pi * t / 12) + 5 * np.cos(4 * np.pi * t / 12)
    values = 100 + 0.5 * t + season + _noise(len(t), 2, 3)
    return Example(_table("2000-01-01", "MS", values), {"target": "value", "horizon": 12}, "ridge")


def weekly() -> Example:
    """Days of two years, each weekday with its own level, and noise. Who knows the day has its level; a line
    through the window has the mean of the same days in it."""
    t = np.arange(728)
    values = 200 * WEEK[t % 7] + _noise(len(t), 3, 8)
    return Example(_table("2021-01-04", "D", values), {"target": "value"}, None)


def nearly_constant() -> Example:
    """Days at one level, and noise with no memory: the mean of the past is all there is to know."""
    values = 500 + _noise(400, 4, 1)
    return Example(_table("2021-01-01", "D", values), {"target": "value"}, "constant")


def five_shops() -> Example:
    """Five shops below each other, all with the week of `WEEK` at their own level, and noise in proportion."""
    options: dict[str, object] = {"target": "sales", "id": "shop", "time": "date"}
    return Example(shops().dropna(subset="sales").drop(columns="promotion"), options, None)


def shops() -> pd.DataFrame:
    """Return shop, date, sales and whether there was a promotion, which is known for a week without sales too."""
    frames = []
    for number, (shop, level) in enumerate(SHOPS.items()):
        days = pd.date_range("2025-01-06", periods=DAYS + AHEAD)  # a Monday
        promoted = np.random.default_rng(100 + number).random(len(days)) < 0.1
        sales = level * WEEK[days.day_of_week] * np.where(promoted, PROMOTED, 1) * (1 + _noise(len(days), number, 0.05))
        sales[DAYS:] = np.nan
        columns = {"shop": shop, "date": days, "sales": sales.round(1), "promotion": promoted.astype(int)}
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def sunspots() -> Example:
    """The yearly numbers, whose eleven years are no exact period."""
    frame = pd.read_csv(ROOT / "rnnbench" / "tasks" / "data" / "sunspots.csv")
    options: dict[str, object] = {"target": "sunspots", "time": "year", "season": 11, "window": 12}
    return Example(frame, options, None)


EXAMPLES: dict[str, Callable[[], Example]] = {
    function.__name__: function for function in (two_seasons, monthly, weekly, nearly_constant, five_shops, sunspots)
}


def example_file() -> str:
    """Return the text of examples/shops.csv."""
    text = shops().to_csv(index=False, lineterminator="\n", date_format="%Y-%m-%d")
    assert isinstance(text, str)
    return text


if __name__ == "__main__":
    atomic.write(*map(Path, sys.argv[1:2] or [EXAMPLE]), example_file())
