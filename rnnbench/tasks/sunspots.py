"""Yearly sunspot numbers, one year ahead: 1700 to 1920 for training, 1921 to 2008 for the test.

The series that Yule invented autoregression for (1927); 1920 is where Weigend, Huberman and Rumelhart (1990) cut it and
many since. About two hundred windows of training, so what is tested is also who fits the noise.
"""

from importlib.resources import as_file, files

from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array
from rnnbench.tasks.forecast import Forecast, ForecastTask
from rnnbench.tasks.spec import Budget, Task
from rnnbench.tasks.table import read_columns

FIRST_YEAR, FIRST_TEST_YEAR = 1700, 1921
CUT = Forecast(window=12, horizon=1, border=FIRST_TEST_YEAR - FIRST_YEAR)


def years() -> Array:
    """Return the yearly numbers from 1700 on, [309, 1]."""
    with as_file(files("rnnbench.tasks") / "data" / "sunspots.csv") as path:
        return read_columns(path, ["sunspots"])


SUNSPOTS = ForecastTask(
    id="sunspots",
    title="Sunspots of the next year",
    source="National Geophysical Data Center, 1700 to 2008; public domain",
    margin=0.05,
    budget=Budget(steps=200),
    data=CUT.of(years),
)


@hookimpl
def rnnbench_tasks() -> list[Task]:
    return [SUNSPOTS]
