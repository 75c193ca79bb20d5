"""The yearly series of the M1 competition: 181 of them, the last six years of each to be forecast.

Makridakis and others 1982, "The accuracy of extrapolation (time series) methods". The figures are those of the Monash
archive (Godahewa and others 2021; CC BY 4.0, `data/README.md` has the attribution), and so are the split and the score:
MASE with the scale of one year's step, for each series, then the mean. Drift gets 3.489 there and the last value 4.894;
none of the archive's twelve methods gets below 4.3. A window is as long as the past of the shortest series.
"""

import csv
from importlib.resources import files
from itertools import groupby
from operator import itemgetter

import numpy as np

from rnnbench.hookspecs import hookimpl
from rnnbench.tables.series import Series, SeriesSet
from rnnbench.tasks.forecast import Cut, ForecastTask
from rnnbench.tasks.spec import Budget, Task

HORIZON = 6  # years, as in the competition


def panel() -> SeriesSet:
    """Return the series, of 15 to 58 years."""
    with (files("rnnbench.tasks") / "data" / "m1-yearly.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    series = tuple(
        _series(name, [float(row["y"]) for row in own]) for name, own in groupby(rows, itemgetter("unique_id"))
    )
    return SeriesSet(series, "y", (), (), (), None, None, "none", "m1-yearly.csv", ())


def _series(name: str, values: list[float]) -> Series:
    count = len(values)
    nothing = np.empty((count, 0))
    return Series(name, np.array(values), nothing, nothing, np.empty(0), None, np.zeros(count, bool))


@hookimpl
def rnnbench_tasks() -> list[Task]:
    table = panel()
    window = min(len(series.target) for series in table.series) - HORIZON
    return [
        ForecastTask(
            id="m1-yearly",
            title=f"181 yearly series of the M1 competition, 1 to {HORIZON} years ahead",
            source="Makridakis and others 1982; Monash archive, CC BY 4.0",
            budget=Budget(steps=2000, patience=5),
            table=table,
            cut=Cut(window=window, horizon=HORIZON, test=HORIZON, validation=True, relative=True),
            metric="mase",
        )
    ]
