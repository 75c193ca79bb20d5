"""rnnbench: which recurrent cell, at which size, on which runtime, for my sequence task?

The public names, resolved at first use so that `import rnnbench` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnbench.api import Interrupted, compare, load_run, train
    from rnnbench.backends.base import Backend, BackendInfo, Case, CompileReport, Requirement, Session
    from rnnbench.baselines.spec import Baseline
    from rnnbench.cells.spec import Accumulator, Cell, Stage
    from rnnbench.errors import RnnbenchWarning, Unsupported, UsageError
    from rnnbench.forecasting.forecaster import Forecaster, load_forecaster
    from rnnbench.hookspecs import hookimpl
    from rnnbench.loading import load_weights, save_weights, session
    from rnnbench.model import Model
    from rnnbench.records.record import Record
    from rnnbench.records.store import Run
    from rnnbench.tasks.spec import Budget, Data, Split, Task
    from rnnbench.training import Adam
    from rnnbench.weights.spec import Converter, Trained

__version__ = "0.1.0"

_HOMES = {
    "rnnbench.api": ("Interrupted", "compare", "load_run", "train"),
    "rnnbench.backends.base": ("Backend", "BackendInfo", "Case", "CompileReport", "Requirement", "Session"),
    "rnnbench.baselines.spec": ("Baseline",),
    "rnnbench.cells.spec": ("Accumulator", "Cell", "Stage"),
    "rnnbench.errors": ("RnnbenchWarning", "Unsupported", "UsageError"),
    "rnnbench.forecasting.forecaster": ("Forecaster", "load_forecaster"),
    "rnnbench.hookspecs": ("hookimpl",),
    "rnnbench.loading": ("load_weights", "save_weights", "session"),
    "rnnbench.model": ("Model",),
    "rnnbench.records.record": ("Record",),
    "rnnbench.records.store": ("Run",),
    "rnnbench.tasks.spec": ("Budget", "Data", "Split", "Task"),
    "rnnbench.training": ("Adam",),
    "rnnbench.weights.spec": ("Converter", "Trained"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = [
    "Accumulator",
    "Adam",
    "Backend",
    "BackendInfo",
    "Baseline",
    "Budget",
    "Case",
    "Cell",
    "CompileReport",
    "Converter",
    "Data",
    "Forecaster",
    "Interrupted",
    "Model",
    "Record",
    "Requirement",
    "RnnbenchWarning",
    "Run",
    "Session",
    "Split",
    "Stage",
    "Task",
    "Trained",
    "Unsupported",
    "UsageError",
    "compare",
    "hookimpl",
    "load_forecaster",
    "load_run",
    "load_weights",
    "save_weights",
    "session",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'rnnbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
