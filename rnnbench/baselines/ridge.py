"""Ridge regression on everything that a window shows: once for all series, and once for each.

This is the linear forecaster of Toner and Darlow 2024, in closed form: DLinear and NLinear are the same family. λ is
chosen on inner folds, which are ordered in time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rnnbench.baselines.regression import RidgeAnswer, regress, too_large
from rnnbench.baselines.sequences import flat, needs_one_answer
from rnnbench.baselines.series import by_series, windows_of
from rnnbench.baselines.spec import Baseline, Fitted, Problem
from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array
from rnnbench.tasks.spec import Split

FEWEST = 10  # windows that a series needs for weights of its own; else it has those of all


@dataclass(frozen=True)
class SeriesRidges:
    """pooled: of all series; own: of those that have some by themselves, by number."""

    pooled: Fitted
    own: Mapping[int, RidgeAnswer]

    @property
    def parameters(self) -> int:
        return self.pooled.parameters + sum(one.parameters for one in self.own.values())

    def predict(self, split: Split) -> Array:
        """Return the answers [N, O]."""
        answer = self.pooled.predict(split)
        for number, chosen in by_series(windows_of(split)):
            if number in self.own:
                answer[chosen] = self.own[number].predict(split.rows(chosen))
        return answer


def unsuitable(problem: Problem) -> str | None:
    """Return why it cannot answer, or None."""
    return needs_one_answer(problem) or too_large(problem, len(problem.train.x) * problem.train.x.shape[2])


def fit(problem: Problem) -> RidgeAnswer:
    """Fit all sequences together."""
    steps = len(problem.train.x)
    return regress(problem, lambda split: flat(split, steps))


def unsuitable_by_series(problem: Problem) -> str | None:
    """Return why weights for each series are not to be had, or are those of all, or None."""
    windows = problem.train.windows
    if windows is None or len(windows.series) < 2:
        return "there are not several series"
    if not any(len(rows) >= FEWEST for _, rows in by_series(windows)):
        return f"no series has {FEWEST} windows of its own to fit"
    return unsuitable(problem)


def fit_by_series(problem: Problem) -> Fitted:
    """Fit each series by itself, and all together for those that are too short."""
    own = {}
    for number, chosen in by_series(windows_of(problem.train)):
        if len(chosen) >= FEWEST:
            own[number] = fit(replace(problem, train=problem.train.rows(chosen)))
    return SeriesRidges(fit(problem), own)


@hookimpl
def rnnbench_baselines() -> list[Baseline]:
    source = "Hoerl and Kennard 1970; Toner and Darlow 2024, arXiv:2403.14587"
    title = "Ridge on the window"
    return [
        Baseline(id="ridge", title=title, source=source, unsuitable=unsuitable, fit=fit),
        Baseline(
            id="ridge-series",
            title=f"{title}, each series by itself",
            source=source,
            unsuitable=unsuitable_by_series,
            fit=fit_by_series,
        ),
    ]
