"""Yearly sunspot numbers, one year ahead: 1700 to 1920 for training, 1921 to 2008 for the test.

The series that Yule invented autoregression for (1927); 1920 is where Weigend, Huberman and Rumelhart (1990) cut it and
many since. About two hundred windows of training, so what is tested is also who fits the noise.
"""

from collections.abc import Iterable
from importlib.resources import as_file, files

from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array
from rnnbench.tasks.forecast import Forecast
from rnnbench.tasks.scores import relative_error
from rnnbench.tasks.spec import Budget, Data, Task
from rnnbench.tasks.table import read_columns

FIRST_YEAR, FIRST_TEST_YEAR = 1700, 1921
CUT = Forecast(window=12, horizon=1, border=FIRST_TEST_YEAR - FIRST_YEAR)


def years() -> Array:
    """[309, 1], from 1700 on."""
    with as_file(files("rnnbench.tasks") / "data" / "sunspots.csv") as path:
        return read_columns(path, ["sunspots"])


def data(seed: int) -> Data:
    """The same for every seed, which still draws the weights and the order of training."""
    return CUT.data(years())


SUNSPOTS = Task(
    id="sunspots",
    title="Sunspots of the next year",
    source="National Geophysical Data Center, 1700 to 2008; public domain",
    input_size=1,
    output_size=1,
    readout="last",
    loss="mse",
    score_name="error / persistence",
    score_better="lower",
    baseline=1.0,
    margin=0.05,
    budget=Budget(steps=200),
    data=data,
    score=relative_error,
)


@hookimpl
def rnnbench_tasks() -> Iterable[Task]:
    return [SUNSPOTS]
