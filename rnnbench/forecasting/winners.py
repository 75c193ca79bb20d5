"""The best cell of each forecasting task of a comparison, trained and saved as any other forecaster is."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import fmean

from rnnbench.comparison.options import Options
from rnnbench.comparison.plan import Group
from rnnbench.comparison.runner import ComparisonPlan
from rnnbench.comparison.stages import deciding
from rnnbench.errors import UsageError
from rnnbench.forecasting.training import TrainingRequest, summary, train_forecaster
from rnnbench.records.store import StoredGroup
from rnnbench.records.summary import Variant
from rnnbench.tasks.forecast import ForecastTask


def forecasts_of(plan: ComparisonPlan) -> list[ForecastTask]:
    """Return the tasks whose winners can be saved. Raises UsageError where there is none."""
    tasks = [task for (_, fold), task in plan.tasks.items() if fold is None and isinstance(task, ForecastTask)]
    if not tasks:
        raise UsageError("--save-best saves forecasters, and no task forecasts a series; give a table, --csv FILE")
    return tasks


def prepare(folder: Path) -> None:
    """Make the folder, before anything is measured. Raises UsageError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {str(folder)!r}: {error.strerror or error}") from None


def save_winners(
    groups: Iterable[StoredGroup], plan: ComparisonPlan, options: Options, folder: Path, tell: Callable[[str], None]
) -> None:
    """Train each task's best variant with the comparison's first seed, and write it to FOLDER/<task>.safetensors."""
    stored = list(groups)
    for task in forecasts_of(plan):
        if (best := winner(stored, task.id, plan.choice.scout)) is None:
            tell(f"no cell came through on {task.id}: nothing is saved of it")
            continue
        settings, path = plan.settings, folder / f"{task.id}.safetensors"
        asked = TrainingRequest.of(task, options, settings, Group(**vars(best), seed=settings.seed))
        forecaster = train_forecaster(asked, tell)
        forecaster.save(path)
        for line in (*summary(forecaster), f"wrote {path}"):
            tell(line)


def winner(stored: Iterable[StoredGroup], task: str, backend: str) -> Variant | None:
    """Return the variant with the lowest mean score by this backend: on the folds where there are some, else on the
    validation part, and only without one on the test part. None where none has come through."""
    scores: dict[bool, dict[Variant, list[float | None]]] = defaultdict(lambda: defaultdict(list))
    for group in stored:
        for record in group.records:
            if (record.task, record.backend) == (task, backend):
                scores[record.fold is not None][Variant.of(record)].append(deciding(group, record))
    means = {
        variant: fmean(s for s in own if s is not None)
        for variant, own in scores[bool(scores[True])].items()
        if None not in own
    }
    return min(means, key=means.__getitem__, default=None)
