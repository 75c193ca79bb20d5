"""Yearly sunspot numbers, one year ahead: 1700 to 1920 for training, 1921 to 2008 for the test.

The series that Yule invented autoregression for (1927); 1920 is where Weigend, Huberman and Rumelhart (1990) cut it and
many since. About two hundred windows of training, so what is tested is also who fits the noise. A cycle takes about
eleven years.
"""

from importlib.resources import files

import numpy as np

from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array
from rnnbench.tasks.forecast import Cut, ForecastTask, one_series
from rnnbench.tasks.spec import Budget, Task

FIRST_TEST_YEAR, LAST_YEAR = 1921, 2008
CYCLE = 11  # years
CUT = Cut(window=12, test=LAST_YEAR - FIRST_TEST_YEAR + 1)


def years() -> Array:
    """Return the yearly numbers from 1700 on, [309]."""
    lines = (files("rnnbench.tasks") / "data" / "sunspots.csv").read_text(encoding="utf-8").splitlines()
    return np.array([float(line.partition(",")[2]) for line in lines[1:]])


SUNSPOTS = ForecastTask(
    id="sunspots",
    title="Sunspots of the next year",
    source="National Geophysical Data Center, 1700 to 2008; public domain",
    budget=Budget(steps=200),
    table=one_series("sunspots", years(), CYCLE),
    cut=CUT,
)


@hookimpl
def rnnbench_tasks() -> list[Task]:
    return [SUNSPOTS]
