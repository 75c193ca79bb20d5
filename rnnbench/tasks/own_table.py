"""A task of the user's own table: what may be asked of it, and what is settled where nothing was."""

from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from rnnbench.errors import UsageError, did_you_mean
from rnnbench.tables.options import Filling, TableOptions
from rnnbench.tables.panel import read_series
from rnnbench.tables.series import SeriesSet
from rnnbench.tasks.cut import Cut, lengths_of
from rnnbench.tasks.forecast import ForecastTask, table_task
from rnnbench.tasks.forecast_scores import METRICS

WINDOW = 24
FILLINGS: tuple[Filling, ...] = get_args(Filling)


@dataclass(frozen=True)
class CutOptions:
    """How a table is cut and scored, as `Cut` and `Scoring` have it. None leaves a choice open."""

    window: int | None = None
    horizon: int | None = None
    at_horizon: bool = False
    recursive: bool = False
    relative: bool = False
    metric: str | None = None
    test: int | None = None
    step: int | None = None


def own_task(options: TableOptions, asked: CutOptions) -> ForecastTask:
    """Read a table and return the task of forecasting it. Raises UsageError, in one line, for a table that cannot be
    read or cut."""
    metric = METRICS[_index("metric", asked.metric or METRICS[0], METRICS)]
    _index("fill", options.fill or FILLINGS[0], FILLINGS)
    cut = Cut(
        window=_or_one(asked.window),
        horizon=_or_one(asked.horizon),
        at_horizon=asked.at_horizon,
        test=asked.test,
        step=_or_one(asked.step),
        validation=True,
        recursive=asked.recursive,
        relative=asked.relative,
    )
    table = read_series(options)
    if asked.window is None:
        cut = replace(cut, window=_window(table, cut))
    return table_task(table, cut, metric, (*table.remarks, *_settled(table, cut)))


def _or_one(size: int | None) -> int:
    return 1 if size is None else size


def _index(option: str, word: str, known: tuple[str, ...]) -> int:
    """Return where a word stands among those that are known. Raises UsageError for another."""
    if word not in known:
        hint = did_you_mean(word, known) or f"give one of {', '.join(known)}"
        raise UsageError(f"--{option} {word!r} is unknown; {hint}")
    return known.index(word)


def _window(table: SeriesSet, cut: Cut) -> int:
    """Return the window where none is asked for: half of the shortest training part, if that is less than usual."""
    return max(1, min(WINDOW, int(cut.parts(lengths_of(table)).test.min()) // 2))


def _settled(table: SeriesSet, cut: Cut) -> tuple[str, ...]:
    """Say how the table is cut."""
    lengths = lengths_of(table)
    parts = cut.parts(lengths)
    looked_at = (parts.test - parts.validation).max()
    tested, each = _ranged(lengths - parts.test), " of each series" if len(lengths) > 1 else ""
    early = f"early stopping by {_ranged(parts.test - parts.validation)} before" if looked_at else "no early stopping"
    windows = f"windows of {cut.window}" + (" less their last value" if cut.relative else "")
    return (windows, f"tested on the last {tested} rows{each}", early)


def _ranged(numbers: np.ndarray) -> str:
    low, high = numbers.min(), numbers.max()
    return f"{low}" if low == high else f"{low} to {high}"
