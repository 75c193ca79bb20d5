"""A task from the user's own series: a CSV file with a header and a row per time step, the oldest first.

It is split by time, four fifths for training, standardised by the training part, and scored as `sunspots` is.
"""

import hashlib
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rnnbench.errors import UsageError
from rnnbench.model import Array
from rnnbench.tables.place import Place
from rnnbench.tasks.forecast import Forecast, ForecastTask
from rnnbench.tasks.scores import persistence
from rnnbench.tasks.spec import Budget, Task
from rnnbench.tasks.table import read_columns

WINDOW = 24


def csv_task(
    path: str | Path, target: str, features: Sequence[str] | None = None, window: int = WINDOW, horizon: int = 1
) -> Task:
    """Return the task of forecasting the column `target` `horizon` rows ahead from the `window` rows up to now.

    features: columns that are inputs beside the target's own past, which always is one. The id carries a digest of the
    values and of how they are cut, so that a run is not resumed on other data.

    Raises UsageError, in one line, for a size below 1 and for a file that cannot be read or used: it names the file
    and, where there is one, row and column.
    """
    for name, size in (("window", window), ("horizon", horizon)):
        if size < 1:
            raise UsageError(f"the {name} must be a whole number of at least 1; got {size}")
    path = Path(path)
    columns = list(dict.fromkeys([target, *(features or ())]))
    series = read_columns(path, columns)
    cut = Forecast(window, horizon, _border(len(series)))
    _check(Place(path), target, series, cut)
    return ForecastTask(
        id=_id(path, columns, series, cut),
        title=f"{target} of {path.name}, {horizon} ahead",
        source=path.name,
        input_size=len(columns),
        margin=0.05,
        budget=Budget(steps=400),
        data=cut.of(lambda: series),
    )


def _border(rows: int) -> int:
    """Return the first row of the test part, which is the last fifth."""
    return rows - max(1, rows // 5)


def _check(place: Place, target: str, series: Array, cut: Forecast) -> None:
    rows = len(series)
    if cut.border <= cut.first_target:
        needed = next(n for n in itertools.count(rows) if _border(n) > cut.first_target)
        raise place.error(
            f"{rows} rows, and a window of {cut.window} with a horizon of {cut.horizon} needs {needed}; "
            "give more rows or a shorter window"
        )
    column = Place(place.source, column=target)
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            test = cut.data(series).test
    except (FloatingPointError, OverflowError):
        raise place.error("a column's values are too large or too close together; rescale it") from None
    if (persistence(test) == test.target).all():
        raise column.error(f"it stays as it was in all of the test's {test.count} rows; there is nothing to forecast")


def _id(path: Path, columns: list[str], series: Array, cut: Forecast) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:32]
    digest = hashlib.sha256(repr((columns, cut)).encode() + series.astype("<f8").tobytes()).hexdigest()[:8]
    return f"csv-{name}-{digest}" if name else f"csv-{digest}"
