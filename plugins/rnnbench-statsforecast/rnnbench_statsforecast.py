"""Nixtla's automatic ETS, ARIMA and Theta as baselines of rnnbench: `auto-ets`, `auto-arima` and `auto-theta`.

Each series has a model of its own, chosen and fitted by its training part. What comes after is taken in by the fitted
model without fitting it again, as a cell keeps its weights.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from rnnbench import hookimpl
from rnnbench.baselines.spec import Baseline, Problem
from rnnbench.model import Array
from rnnbench.tasks.spec import Split, Windows

LIBRARY = "statsforecast.models"
SHORTEST = 7  # rows of a series that all three can be fitted to


class Model(Protocol):
    """What is used of the library's models."""

    model_: Mapping[str, Any]

    def fit(self, y: Array) -> object: ...
    def forward(self, y: Array, h: int) -> Mapping[str, Array]: ...


@dataclass(frozen=True)
class Method:
    """name: of the library's class. numbers: how many a fitted model chose. work: rows of all series, times the season,
    that are fitted within some two minutes."""

    id: str
    name: str
    title: str
    source: str
    numbers: Callable[[Mapping[str, Any]], int]
    work: int


METHODS = (
    Method(
        "auto-ets",
        "AutoETS",
        "Exponential smoothing, chosen by AICc",
        "Hyndman and others 2002; Nixtla's statsforecast",
        lambda model: int(model["n_params"]) - 1,  # but the deviation, which no forecast takes
        1_000_000,
    ),
    Method(
        "auto-arima",
        "AutoARIMA",
        "ARIMA, its orders chosen by AICc",
        "Hyndman and Khandakar 2008; Nixtla's statsforecast",
        lambda model: len(model["coef"]),
        20_000,
    ),
    Method(
        "auto-theta",
        "AutoTheta",
        "Theta, of four kinds the best in training",
        "Fiorucci and others 2016; Nixtla's statsforecast",
        lambda model: len(model["par"]) + (int(model["m"]) if model.get("decompose") else 0),
        500_000,
    ),
)


@dataclass(frozen=True)
class Automatic:
    """models: of each series."""

    models: tuple[Model, ...]
    parameters: int

    @np.errstate(all="ignore")
    def predict(self, split: Split) -> Array:
        """Return [N, O], each from all that is past by then."""
        windows = _windows(split)
        leads = np.array(windows.leads) - 1
        answers = np.empty((split.count, len(leads)))
        for n, which in enumerate(windows.which):
            ahead = self.models[which].forward(y=windows.past(n), h=windows.leads[-1])["mean"]
            answers[n] = np.asarray(ahead)[leads]
        return windows.scaled(answers)


@np.errstate(all="ignore")  # of deviations, by which it divides and which no forecast takes
def fit(method: Method, problem: Problem) -> Automatic:
    """Fit a model to each series. Raises ValueError, with its name, for one that cannot be fitted."""
    windows = _windows(problem.train)
    kind = getattr(importlib.import_module(LIBRARY), method.name)
    models = []
    for number, values in enumerate(windows.series):
        model = kind(season_length=windows.season or 1)
        try:
            model.fit(np.array(values, dtype=np.float64))
        except Exception as error:
            name = windows.names[number] if number < len(windows.names) else number
            raise ValueError(f"{method.name} cannot be fitted to series {name!r}: {error}") from error
        models.append(model)
    return Automatic(tuple(models), sum(method.numbers(model.model_) for model in models))


def unsuitable(method: Method, problem: Problem) -> str | None:
    """Return why a problem is left out, or None. The library is imported here: its seconds are none of fitting's."""
    windows = problem.train.windows
    if windows is None:
        return "it forecasts series"
    if min(map(len, windows.series)) < SHORTEST:
        return f"it needs {SHORTEST} rows of every series"
    if sum(map(len, windows.series)) * (windows.season or 1) > method.work:
        return "so many rows with such a season would take it longer than minutes"
    importlib.import_module(LIBRARY)
    return None


def _windows(split: Split) -> Windows:
    if split.windows is None:
        raise ValueError("not a split of series")
    return split.windows


@hookimpl
def rnnbench_baselines() -> Iterable[Baseline]:
    """Offer the three methods."""
    return [
        Baseline(
            id=method.id,
            title=method.title,
            source=method.source,
            unsuitable=partial(unsuitable, method),
            fit=partial(fit, method),
        )
        for method in METHODS
    ]
