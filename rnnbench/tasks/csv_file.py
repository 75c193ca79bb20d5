"""A task from the user's own series: a CSV file with a header and a row per time step, the oldest first.

It is split by time, four fifths for training, standardised by the training part, and scored as `sunspots` is.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rnnbench.tasks.forecast import Cut, ForecastTask, one_series, table_task
from rnnbench.tasks.table import read_columns

WINDOW = 24


def csv_task(
    path: str | Path, target: str, features: Sequence[str] | None = None, window: int = WINDOW, horizon: int = 1
) -> ForecastTask:
    """Return the task of forecasting the column `target` `horizon` rows ahead from the `window` rows up to now.

    features: columns that are inputs beside the target's own past, which always is one. The id carries a digest of the
    values and of how they are cut, so that a run is not resumed on other data.

    Raises UsageError, in one line, for a size below 1 and for a file that cannot be read or used: it names the file
    and, where there is one, row and column.
    """
    cut, path = Cut(window, horizon, at_horizon=True), Path(path)
    columns = list(dict.fromkeys([target, *(features or ())]))
    values = read_columns(path, columns)
    table = one_series(target, values[:, 0])
    series = replace(table.series[0], past=values[:, 1:])
    return table_task(replace(table, series=(series,), past=tuple(columns[1:]), source=path.name), cut)
