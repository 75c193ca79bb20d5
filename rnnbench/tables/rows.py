"""Rows of all series below each other, in order of time, each time once."""

import re
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from rnnbench.errors import UsageError
from rnnbench.model import Array
from rnnbench.tables.reading import Table
from rnnbench.tables.roles import Roles
from rnnbench.tables.steps import shown, winter_time
from rnnbench.tables.times import TimeColumn

_NUMBER = re.compile(r"[+-]?\d*[.,]?\d+")


@dataclass(frozen=True)
class TableRows:
    """Rows of all series below each other.

    ids: of the series. series int64 [n]: which one a row is of, ascending. row int64 [n]: its index in the table. time:
    datetime64[ns] [n], or int64 [n] of counts. value float64 [n]: the target, NaN where missing.
    """

    ids: tuple[str, ...]
    series: Array
    row: Array
    time: Array
    value: Array

    def pick(self, index: Array) -> "TableRows":
        """Return those rows that an index or a mask picks."""
        return TableRows(self.ids, self.series[index], self.row[index], self.time[index], self.value[index])

    @property
    def inner(self) -> Array:
        """Tell of each row but the last whether the next one is of the same series, bool [n - 1]."""
        same: Array = self.series[1:] == self.series[:-1]
        return same

    @property
    def first(self) -> Array:
        """Return the index of each series' first row, int64 [S]."""
        return np.searchsorted(self.series, np.arange(len(self.ids)))


def rows_of(table: Table, roles: Roles, times: TimeColumn) -> TableRows:
    """Return the rows, those of a series as they come in the table."""
    count = len(table.rows)
    values = np.concatenate([table.numbers(name) for name in roles.targets])
    if roles.id is None:
        width = len(roles.targets)
        series, row = np.repeat(np.arange(width), count), np.tile(np.arange(count), width)
        return TableRows(roles.targets, series, row, np.tile(times.values, width), values)
    texts = table.texts(roles.id)
    series, ids = pd.factorize(texts, sort=True)
    if "" in ids:
        raise table.place(int(np.argmax(texts == "")), roles.id).error("the id is missing; fill it or take the row out")
    row = np.argsort(series, kind="stable")
    return TableRows(tuple(ids), series[row], row, times.values[row], values[row])


def in_order(table: Table, roles: Roles, rows: TableRows, clock: bool) -> tuple[TableRows, tuple[str, ...]]:
    """Return the rows by time, and what there was to do. clock: summer hours may go forward and back in the times.

    Raises UsageError for a time that a series has twice.
    """
    remarks = []
    steps = np.diff(rows.time).astype(np.int64)[rows.inner]
    if 2 * (steps < 0).sum() > steps.size:
        rows = rows.pick(np.lexsort((-np.arange(len(rows.row)), rows.series)))
        remarks.append("newest first, put in order")
    if clock and (found := winter_time(rows.time, rows.inner)):
        rows = replace(rows, time=found[0])
        remarks.append(f"clock changes as in {found[1]}, all told in winter time")
    if (np.diff(rows.time).astype(np.int64)[rows.inner] < 0).any():
        rows = rows.pick(np.lexsort((rows.time, rows.series)))
        remarks.append(f"put in order of {roles.time}")
    same = np.flatnonzero(rows.inner & (rows.time[1:] == rows.time[:-1]))
    if same.size:
        raise _twice(table, roles, rows, same)
    return rows, tuple(remarks)


def _twice(table: Table, roles: Roles, rows: TableRows, same: Array) -> UsageError:
    """Return the error for rows with the time of the row after them. It names the column that tells them apart."""
    first, second = sorted(int(rows.row[at]) for at in (same[0], same[0] + 1))
    column = _telling_apart(table, roles, rows, same) if roles.id is None else None
    remedy = f"if these are several series, give --id {column!r}"
    if column is None:
        whose = "of each series" if roles.id is not None else "or, of several series, a column for --id"
        remedy = f"keep one row of each time {whose}"
    more = f", and so {len(same) - 1} times more" if len(same) > 1 else ""
    reason = f"{shown(rows.time[same[0]])} is there already in row {table.rows[first]}{more}"
    return table.place(second, roles.time).error(f"{reason}; {remedy}")


def _telling_apart(table: Table, roles: Roles, rows: TableRows, same: Array) -> str | None:
    """Return the column of the fewest values with which no time is there twice; one of texts before one of numbers."""
    before, after = rows.row[same], rows.row[same + 1]
    found = []
    for at, name in enumerate(table.others((roles.time or "", *roles.targets))):
        texts = table.texts(name)
        if (texts[before] != texts[after]).all():
            own = pd.DataFrame({"time": rows.time, "text": texts[rows.row]})[rows.series == 0]
            if not own.duplicated().any():
                counts = own["text"].nunique()
                found.append((bool(_NUMBER.fullmatch(texts[0])), counts, at, name))
    return min(found)[-1] if found else None


def without_ends(rows: TableRows, keep_ahead: bool) -> tuple[TableRows, tuple[str, ...]]:
    """Return the rows from each series' first value to its last, and what was left out.

    keep_ahead: rows after the last one stay. A series without any value is left out.
    """
    index, count = np.flatnonzero(~np.isnan(rows.value)), len(rows.ids)
    low, high = np.full(count, len(rows.row)), np.full(count, -1)
    np.minimum.at(low, rows.series[index], index)
    np.maximum.at(high, rows.series[index], index)
    at, full = np.arange(len(rows.row)), high >= 0
    keep = (at >= low[rows.series]) & ((at <= high[rows.series]) | keep_ahead)
    remarks = []
    if gone := int((~keep & full[rows.series]).sum()):
        remarks.append(f"{gone} missing value{'s' * (gone > 1)} at the ends left out")
    if not full.all():
        empty = [repr(id) for id, there in zip(rows.ids, full, strict=True) if not there]
        remarks.append(f"{', '.join(empty[:3])}{' and others' * (len(empty) > 3)} left out, without a value")
    ids = tuple(id for id, there in zip(rows.ids, full, strict=True) if there)
    return replace(rows.pick(keep), ids=ids, series=(np.cumsum(full) - 1)[rows.series[keep]]), tuple(remarks)
