"""What is recorded of predictions: the task's score, its other figures, and what verdicts are paired by."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from statistics import median

from rnnbench.model import Array
from rnnbench.tasks.spec import Split, Task
from rnnbench.workers.messages import MaybeNaN

FIGURES = ("mae", "rmse", "mase", "smape", "persistence_ratio")
SAMPLES = ("losses", "lead_scores")


@dataclass(frozen=True)
class Scores:
    """Of one prediction. None is what the task does not define, or what is not finite; of the score alone NaN is an
    answer, which is no good one."""

    score: MaybeNaN
    score_median: float | None = None
    mae: float | None = None
    rmse: float | None = None
    mase: float | None = None
    smape: float | None = None
    persistence_ratio: float | None = None
    losses: list[float] | None = None
    lead_scores: list[float] | None = None

    @classmethod
    def of(cls, task: Task, prediction: Array, split: Split) -> "Scores":
        """Score the predictions for a split. Raises ValueError for a figure that is no column, and what the task
        raises."""
        figures = dict(task.figures(prediction, split)) if task.figures else {}
        if unknown := sorted(figures.keys() - set(FIGURES)):
            raise ValueError(f"{unknown[0]!r} is no figure of forecasts; they are {', '.join(FIGURES)}")
        losses = _finite(task.losses(prediction, split)) if task.losses else None
        several = losses is not None and split.windows is not None and len(split.windows.series) > 1
        return cls(
            float(task.score(prediction, split)),
            median(losses) if several and losses else None,
            **{name: float(value) for name, value in figures.items() if isfinite(value)},
            losses=losses,
            lead_scores=_finite(task.by_lead(prediction, split)) if task.by_lead else None,
        )

    def columns(self) -> dict[str, float | None]:
        """Return what goes into a `Record`, by its names."""
        return {name: value for name, value in asdict(self).items() if name not in SAMPLES}

    def samples(self) -> dict[str, list[float]]:
        """Return what is kept beside the record, by name."""
        found = {"losses": self.losses, "lead_scores": self.lead_scores}
        return {name: values for name, values in found.items() if values is not None}


def _finite(values: Array | Sequence[float]) -> list[float] | None:
    found = [float(value) for value in values]
    return found if all(map(isfinite, found)) else None
