"""Tasks of forecasting: the series of a table, cut by time, with the scores that forecasts are judged by."""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rnnbench.errors import UsageError
from rnnbench.model import Array, Readout
from rnnbench.tables.series import Series, SeriesSet
from rnnbench.tasks.cut import Cut, Parts, Scaling, data_of, latest, lengths_of, scalings, seen_rows
from rnnbench.tasks.forecast_scores import Metric, Scoring
from rnnbench.tasks.scores import persistence
from rnnbench.tasks.spec import Budget, Data, Split, Task

__all__ = ["Cut", "ForecastTask", "Scaling", "latest", "lengths_of", "one_series", "scalings", "table_task"]


def _follows(*_: object) -> Any:
    """Stand for a function that follows from other fields."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ForecastTask(Task):
    """A task of forecasting the series of a table. Its baseline is the score of persistence, "as it is now".

    share: of the baseline, by which a score must be better to count as learned. parts: those of a fold; the cut's own
    without. inferred: what was found out about the table and settled for its cut, each in a few words.

    Raises UsageError, in one line, for series that cannot be cut so, or have nothing to forecast.
    """

    table: SeriesSet
    cut: Cut
    metric: Metric = "persistence"
    share: float = 0.05
    parts: Parts | None = None
    inferred: tuple[str, ...] = ()
    readout: Readout = "last"
    loss: Literal["mse", "cross-entropy"] = "mse"
    score_better: Literal["lower", "higher"] = "lower"
    # What follows from these, unless the data are given
    data: Callable[[int], Data] = _follows
    score: Callable[[Array, Split], float] = _follows
    input_size: int = 0
    output_size: int | None = None
    score_name: str = ""
    baseline: float = 0.0
    margin: float = 0.0

    def __post_init__(self) -> None:
        if self.data is not _follows:
            return
        table, cut, lengths = self.table, self.cut, lengths_of(self.table)
        if cut.recursive and table.past:
            why = f"--recursive needs every column ahead, and {table.past[0]!r} is known late"
            raise UsageError(f"{table.source}: {why}; give it with --known, or leave it out")
        if self.parts is None:
            _check_rows(table, cut, lengths)
        parts = self.parts or cut.parts(lengths)
        with _values_fit(table):
            data = data_of(table, cut, parts)
        _check_parts(self, data)
        scoring = Scoring.of(table, seen_rows(table, parts.test), self.metric)
        ratio = self.metric == "persistence"  # 1 but for rounding
        baseline = 1.0 if ratio else scoring.score(persistence(data.test), data.test)
        derived = {
            "input_size": data.train.x.shape[2],
            "output_size": cut.learned.span,
            "data": lambda seed: data_of(table, cut, parts),  # seeds decide the weights and the order of training
            "score_name": scoring.name,
            **{name: getattr(scoring, name) for name in ("score", "figures", "losses", "by_lead")},
            "baseline": baseline,
            "margin": self.share * baseline,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def fold(self, number: int, count: int) -> "ForecastTask":
        """Return the same task on one of `count` folds inside the training part, 1 the first; `Cut.fold` says which.

        A series that is too short for a fold has no part in it.
        """
        if not 1 <= number <= count:
            raise UsageError(f"there is no fold {number} of {count}; they are counted from 1")
        return self.anew(parts=self.cut.fold(lengths_of(self.table), number, count))

    def anew(self, **changes: Any) -> "ForecastTask":
        """Return the task with some of its own fields changed, and anew what follows from them."""
        return replace(self, **changes, data=_follows)


def _check_rows(table: SeriesSet, cut: Cut, lengths: Array) -> None:
    """Raise UsageError unless the longest series has a window to train on, and each a window for all its test rows."""
    trained = cut.window + cut.horizon
    for number, past in ((lengths.argmax(), trained), (lengths.argmin(), trained - cut.span)):
        rows, needed = int(lengths[number]), cut.rows_for(past)
        if rows < needed:
            several = f"series {table.series[number].id!r} has " if len(lengths) > 1 else ""
            asked = f"a window of {cut.window} with a horizon of {cut.horizon} needs {needed}"
            remedy = "give more rows or a shorter window"
            raise UsageError(f"{table.source}: {several}{rows} rows, and {asked}; {remedy}")


def _check_parts(task: ForecastTask, data: Data) -> None:
    """Raise UsageError where nothing can be trained on or tested by."""
    source, part = task.table.source, "the test part" if task.parts is None else "a fold"
    if 0 in (data.train.count, data.test.count):
        raise UsageError(f"{source}: no series has rows enough for {part}; give fewer --folds or a shorter window")
    if (persistence(data.test) == data.test.target).all():
        where = f"{source}, column {task.table.target!r}"
        count = data.test.count
        raise UsageError(
            f"{where}: it stays as it was in all {count} forecasts of {part}; there is nothing to forecast"
        )


@contextmanager
def _values_fit(table: SeriesSet) -> Iterator[None]:
    """Turn values that no deviation can be computed of into a UsageError."""
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            yield
    except (FloatingPointError, OverflowError):
        why = "a column's values are too large or too close together; rescale it"
        raise UsageError(f"{table.source}: {why}") from None


def table_task(
    table: SeriesSet, cut: Cut, metric: Metric | None = None, inferred: tuple[str, ...] = ()
) -> ForecastTask:
    """Return the task of forecasting a user's own series.

    The id carries a digest of the values, of the cut and of the metric, so that a run is not resumed on others.
    """
    name = re.sub(r"[^a-z0-9]+", "-", Path(table.source).stem.lower()).strip("-")[:32]
    steps = f"{cut.horizon} ahead" if cut.span == 1 else f"1 to {cut.horizon} ahead"
    steps += ", recursively" if cut.recursive else ""
    several = f", {len(table.series)} series" if len(table.series) > 1 else ""
    chosen = metric or "persistence"
    return ForecastTask(
        id=f"csv-{name}-{_digest(table, cut, chosen)}" if name else f"csv-{_digest(table, cut, chosen)}",
        title=f"{table.target} of {table.source}{several}, {steps}",
        source=table.source,
        budget=Budget(steps=2000, patience=5) if cut.validation else Budget(steps=400),
        table=table,
        cut=cut,
        metric=chosen,
        inferred=inferred,
    )


def _digest(table: SeriesSet, cut: Cut, metric: Metric) -> str:
    columns = (table.target, table.past, table.known, table.static, table.season, table.filling)
    digest = hashlib.sha256(repr((columns, cut, metric)).encode())
    for series in table.series:
        arrays = (series.target, series.past, series.known, series.static, series.filled)
        digest.update(repr((series.id, [array.shape for array in arrays])).encode())
        for array in arrays:
            digest.update(array.astype("<f8").tobytes())
    return digest.hexdigest()[:8]


def one_series(name: str, values: Array, season: int | None = None) -> SeriesSet:
    """Return a table of one series [n] alone, oldest first."""
    count = len(values)
    series = Series(name, values, np.empty((count, 0)), np.empty((count, 0)), np.empty(0), None, np.zeros(count, bool))
    return SeriesSet((series,), name, (), (), (), None, season, "none", name, ())
