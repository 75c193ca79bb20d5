"""Steps of equal length, those without a row too, and what is missing in them: refused, or filled."""

from dataclasses import dataclass

import numpy as np

from rnnbench.errors import UsageError
from rnnbench.model import Array
from rnnbench.tables.filling import forward, interpolate, seasonal
from rnnbench.tables.reading import Table
from rnnbench.tables.rows import TableRows
from rnnbench.tables.steps import TimeStep, shown

_SHOWN = 3  # places in a message
_MOST_STEPS = 50_000_000  # what a mistyped year makes of seconds has no room in memory
_REMEDY = "fill with --fill forward, interpolate or seasonal"


@dataclass(frozen=True)
class Grid:
    """Steps of all series below each other, L of them.

    length, ahead, first int64 [S]: steps of each series, how many of them are beyond its last target, and where it
    begins. at int64 [n]: the step of each row.
    """

    length: Array
    ahead: Array
    first: Array
    at: Array

    @property
    def count(self) -> int:
        """Return L."""
        return int(self.length.sum())

    @property
    def start(self) -> Array:
        """Return the first step of each step's series, int64 [L]."""
        return np.repeat(self.first, self.length)

    @property
    def beyond(self) -> Array:
        """Tell of each step whether it is after its series' last target, bool [L]."""
        return np.arange(self.count) >= np.repeat(self.first + self.length - self.ahead, self.length)

    def spread(self, values: Array) -> Array:
        """Return values [n, ...] of rows as those of steps, [L, ...], NaN without a row."""
        spread = np.full((self.count, *values.shape[1:]), np.nan)
        spread[self.at] = values
        return spread

    def times(self, rows: TableRows, step: TimeStep) -> Array:
        """Return the times of all steps, datetime64[ns] [L]."""
        if step.kind == "rows":
            return rows.time
        return step.times(rows.time[rows.first].repeat(self.length), np.arange(self.count) - self.start)


def grid_of(table: Table, time: str | None, rows: TableRows, step: TimeStep, filling: bool) -> Grid:
    """Return the steps that the rows lie on. Raises UsageError for rows beside them, and for gaps unless filled."""
    position, on = step.positions(rows.time, rows.first[rows.series])
    on[1:] &= ~rows.inner | (np.diff(position) > 0)  # two days of one month
    if not on.all():
        at, count = int(np.argmin(on)), int((~on).sum())
        more = f", nor are {count - 1} more" if count > 1 else ""
        first = f"{shown(rows.time[at])} is not a whole number of steps ({step.words}) after its series' first row"
        reason = f"{first}{more}"
        remedy = "give the step with --frequency, or --frequency rows if each row is a step"
        raise table.place(int(rows.row[at]), time).error(f"{reason}; {remedy}")
    last = np.append(rows.first[1:], len(rows.row)) - 1
    target = np.maximum.reduceat(np.where(np.isnan(rows.value), -1, position), rows.first)
    length = position[last] + 1
    wide = np.flatnonzero(rows.inner & (np.diff(position) > 1))
    if wide.size and not filling:
        raise _gaps(table, time, rows, step, wide)
    if length.sum() > min(_MOST_STEPS, 2 * len(rows.row)):
        reason = f"{len(rows.row)} rows on {length.sum()} steps ({step.words}): more would be filled than is there"
        raise table.place(column=time).error(f"{reason}; give another --frequency")
    first = np.cumsum(length) - length
    return Grid(length, length - target - 1, first, first[rows.series] + position)


def _gaps(table: Table, time: str | None, rows: TableRows, step: TimeStep, wide: Array) -> UsageError:
    places = []
    for at in wide[:_SHOWN]:
        before, after = (f"{shown(rows.time[i])} (row {table.rows[rows.row[i]]})" for i in (at, at + 1))
        places.append(f"{before} and {after}")
    more = f" and {len(wide) - _SHOWN} more" if len(wide) > _SHOWN else ""
    count = "a gap" if len(wide) == 1 else f"{len(wide)} gaps"
    reason = f"{count} ({step.words}): between {', '.join(places)}{more}"
    return table.place(column=time).error(f"{reason}; {_REMEDY}, or give --frequency rows if each row is a step")


def fill_target(rows: TableRows, grid: Grid, how: str, season: int) -> tuple[Array, Array]:
    """Return the target float64 [L] without NaN but beyond its end, and where it was missing, bool [L].

    how: "none" where nothing is, "forward", "interpolate" or "seasonal".
    """
    target, beyond, start = grid.spread(rows.value), grid.beyond, grid.start
    missing = np.isnan(target) & ~beyond
    if missing.any():
        if how == "seasonal" and season == 1:
            raise UsageError("--fill seasonal needs to know the season; give --season, or --fill forward")
        ways = {"forward": lambda: forward(target, start), "interpolate": lambda: interpolate(target)}
        filled = seasonal(target, start, season) if how == "seasonal" else ways[how]()
        target = np.where(missing, filled, target)
    return target, missing


def refuse_missing(table: Table, names: tuple[str, ...], rows: TableRows, missing: Array) -> None:
    """Raise UsageError where a value is missing. missing bool [n]; names: of each series' column."""
    if count := int(missing.sum()):
        at = np.flatnonzero(missing)
        more = ", ".join(str(table.rows[rows.row[index]]) for index in at[1 : 1 + _SHOWN])
        others = f", and in {count - 1} more (rows {more}{', ...' * (count > _SHOWN + 1)})" if count > 1 else ""
        column = names[int(rows.series[at[0]])]
        raise table.place(int(rows.row[at[0]]), column).error(f"the value is missing{others}; {_REMEDY}")
