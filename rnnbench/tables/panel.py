"""A table becomes series: rows in order of time, on equal steps, with what is missing refused or filled."""

from pathlib import Path

import numpy as np

from rnnbench.errors import UsageError
from rnnbench.tables.covariates import moving_covariates, static_covariates
from rnnbench.tables.grid import fill_target, grid_of, refuse_missing
from rnnbench.tables.options import TableOptions
from rnnbench.tables.reading import read_table
from rnnbench.tables.roles import roles_of
from rnnbench.tables.rows import TableRows, in_order, rows_of, without_ends
from rnnbench.tables.series import Series, SeriesSet
from rnnbench.tables.steps import TimeStep, commonest_step, told_step
from rnnbench.tables.times import TimeColumn, read_times


def read_series(options: TableOptions) -> SeriesSet:
    """Return the series of a table, in the order of their ids, or of the columns of a wide table.

    Missing values before a series' first and after its last are left out, which the remarks say; rows after the last
    one stay where columns are known ahead. Those missing between are refused, or filled as `fill` says: covariates by
    the value before, targets as it says, which for interpolation looks at the value after.

    Raises UsageError, in one line that names the file and, where there is one, row and column.
    """
    if options.season is not None and options.season < 1:
        raise UsageError(f"--season takes a whole number of at least 1; got {options.season}")
    table = read_table(options)
    roles = roles_of(table, options)
    times = TimeColumn(np.arange(len(table.rows)))
    if roles.time is not None:
        times = read_times(table, roles.time, options.day_first, roles.clock)
    rows, ordered = in_order(table, roles, rows_of(table, roles, times), times.clock)
    step = _step(rows, roles.time, options.frequency)
    rows, left_out = without_ends(rows, keep_ahead=bool(roles.known))
    if not rows.ids:
        raise table.place(column=roles.targets[0]).error("it has no value at all; name another target")
    how, season = options.fill or "none", options.season or step.season or 1
    grid = grid_of(table, roles.time, rows, step, how != "none")
    if how == "none":
        columns = rows.ids if roles.id is None else roles.targets * len(rows.ids)
        refuse_missing(table, columns, rows, np.isnan(rows.value) & ~grid.beyond[grid.at])
    target, filled = fill_target(rows, grid, how, season)
    past, past_names = moving_covariates(table, roles.past, rows, grid, how != "none", ahead=False)
    known, known_names = moving_covariates(table, roles.known, rows, grid, how != "none", ahead=True)
    static, static_names = static_covariates(table, roles.static, rows)
    times_of = grid.times(rows, step) if rows.time.dtype.kind == "M" else None
    gone, beyond = int(filled.sum()), int(grid.ahead.max())
    remarks = (
        *table.remarks,
        *roles.found,
        *times.remarks,
        *ordered,
        step.words,
        f"{len(rows.ids)} series" if len(rows.ids) > 1 else "",
        *left_out,
        f"{beyond} steps ahead of the target's end" if beyond else "",
        f"{gone} missing value{'s' * (gone > 1)} filled ({how})" if gone else "",
    )
    series = []
    for id, own, first, length, ahead in zip(rows.ids, static, grid.first, grid.length, grid.ahead, strict=True):
        to, on = slice(first, first + length - ahead), slice(first, first + length)
        when = None if times_of is None else times_of[on]
        series.append(Series(id, target[to], past[to], known[on], own, when, filled[to]))
    return SeriesSet(
        series=tuple(series),
        target=roles.targets[0] if len(roles.targets) == 1 else f"{len(roles.targets)} columns",
        past=past_names,
        known=known_names,
        static=static_names,
        frequency=step.name,
        season=season if season > 1 else None,
        filling=how if gone else "none",
        source=Path(table.source).name,
        remarks=tuple(filter(None, remarks)),
    )


def _step(rows: TableRows, time: str | None, frequency: str | None) -> TimeStep:
    if time is None and frequency is None:
        return TimeStep("rows", words="without times, oldest first")
    if frequency is not None:
        return told_step(frequency, rows.time, rows.inner)
    return commonest_step(rows.time, rows.inner) or TimeStep("rows")
