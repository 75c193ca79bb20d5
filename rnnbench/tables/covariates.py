"""Covariates of a table: numbers as they are, categories as a column of 0 and 1 for each."""

import numpy as np
import pandas as pd

from rnnbench.errors import UsageError
from rnnbench.model import Array
from rnnbench.tables.filling import forward
from rnnbench.tables.grid import Grid, refuse_missing
from rnnbench.tables.numbers import MISSING
from rnnbench.tables.reading import Table
from rnnbench.tables.rows import TableRows

MOST_CATEGORIES = 50  # more of them are names or texts, of which a cell would learn each by heart


def moving_covariates(
    table: Table, names: tuple[str, ...], rows: TableRows, grid: Grid, filling: bool, ahead: bool
) -> tuple[Array, tuple[str, ...]]:
    """Return the covariates of all steps, [L, P], and their names; missing ones have the value before where `filling`.

    ahead: they are known ahead, and so beyond the target's end too. Raises UsageError where they are not.
    """
    values, titles = _columns(table, names)
    values, beyond = values[rows.row], grid.beyond
    for column, name in enumerate(titles):
        missing, after = np.isnan(values[:, column]), beyond[grid.at]
        if ahead and (missing & after).any():
            row = int(rows.row[np.argmax(missing & after)])
            raise table.place(row, name).error(
                "it is not known ahead: missing after the target's end; give it with --past"
            )
        if not filling:
            refuse_missing(table, (name,) * len(rows.ids), rows, missing & ~after)
    filled = forward(grid.spread(values), grid.start)
    steps, columns = np.nonzero(np.isnan(filled) & ~(beyond[:, None] & (not ahead)))
    if steps.size:
        row = int(rows.row[np.searchsorted(grid.at, steps[0])])
        raise table.place(row, titles[columns[0]]).error(
            "the value is missing, with none before it to fill it with; give it"
        )
    return filled, titles


def static_covariates(table: Table, names: tuple[str, ...], rows: TableRows) -> tuple[Array, tuple[str, ...]]:
    """Return the covariates of all series, [S, P], and their names. Raises UsageError for one that does not stay."""
    values, titles = _columns(table, names)
    values = values[rows.row]
    for column, name in enumerate(titles):
        refuse_missing(table, (name,) * len(rows.ids), rows, np.isnan(values[:, column]))
        changed = values[:, column] != values[rows.first[rows.series], column]
        if changed.any():
            at = int(np.argmax(changed))
            reason = f"it changes within the series {rows.ids[rows.series[at]]!r}, and a static column stays"
            raise table.place(int(rows.row[at]), name).error(f"{reason}; give it with --past or --known")
    return values[rows.first], titles


def _columns(table: Table, names: tuple[str, ...]) -> tuple[Array, tuple[str, ...]]:
    """Return columns [n, P] float64, NaN where missing, and their names, `column=value` for each category.

    Raises UsageError for a column that is neither of numbers nor of few categories.
    """
    columns, titles = [np.empty((len(table.rows), 0))], []
    for name in names:
        try:
            values, own = table.numbers(name)[:, None], [name]
        except UsageError as error:
            values, own = _categories(table, name, error)
        columns.append(values)
        titles += own
    return np.concatenate(columns, axis=1), tuple(titles)


def _categories(table: Table, name: str, no_numbers: UsageError) -> tuple[Array, list[str]]:
    texts = table.texts(name)
    present = np.array([text.lower() not in MISSING for text in texts])
    codes, found = pd.factorize(texts[present], sort=True)
    if any(_is_number(text) for text in found):
        raise no_numbers
    if len(found) > MOST_CATEGORIES:
        reason = f"{len(found)} different texts, at most {MOST_CATEGORIES} are taken as categories"
        raise table.place(column=name).error(f"{reason}; group them or leave the column out")
    hot = np.full((len(texts), len(found)), np.nan)
    hot[present] = np.eye(len(found))[codes]
    return hot, [f"{name}={value}" for value in found]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
