"""From a table's task to a forecaster: trained, tried on the test part once, and its errors on folds measured.

The folds are those of a rolling origin inside the training part. What they give is the errors that intervals are made
of; the test part then tells how many of its values the intervals cover.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rnnbench.baselines.spec import Problem
from rnnbench.comparison import arrays
from rnnbench.comparison.baseline_work import answered, blank
from rnnbench.comparison.baselines import joined
from rnnbench.comparison.options import Options
from rnnbench.comparison.plan import Group, Settings, groups, training
from rnnbench.errors import UsageError
from rnnbench.forecasting.conformal import coverage, fewest, intervals
from rnnbench.forecasting.fit import BACKEND, Fit, fit, predict
from rnnbench.forecasting.forecaster import Forecaster
from rnnbench.forecasting.metadata import FORMAT, Columns, ForecastMetadata, Rival, SeriesScale, TrainingNote, Trial
from rnnbench.loading import session
from rnnbench.model import Array, Model
from rnnbench.records.fields import hints, made
from rnnbench.registry import registry
from rnnbench.report.text import counted
from rnnbench.tasks.cut import Cutter, Scaling, lengths_of, scalings
from rnnbench.tasks.forecast import ForecastTask
from rnnbench.tasks.spec import Data, Split, Training

FOLDS = 3
RIVALS = ("ridge", "seasonal-last-value", "last-value")  # what nobody should take a worse model home than


@dataclass(frozen=True)
class TrainingRequest:
    """What is to be trained. columns: of the task's table, as the user named them. folds: of the intervals' errors, or
    None for 3, or as many as there are rows for. refit: on all rows at last, with the steps that validation chose."""

    task: ForecastTask
    columns: Columns
    model: Model
    training: Training
    seed: int = 0
    folds: int | None = None
    refit: bool = False

    @classmethod
    def of(
        cls, task: ForecastTask, options: Options, settings: Settings, group: Group, **more: int | bool | None
    ) -> "TrainingRequest":
        """Make one of the options that a task, its settings and a group of these come from. more: folds, refit."""
        given = {name: getattr(options, name) for name in hints(Columns)}
        given["past"] = tuple(dict.fromkeys((*options.past, *options.features)))
        given["target"] = options.target or (task.table.target,)
        columns = made(Columns, given)
        return cls(task, columns, group.model(task), training(task, settings), settings.seed, **more)  # type: ignore[arg-type]


def requested(options: Options, folds: int | None, refit: bool) -> TrainingRequest:
    """Return what options with one cell and one size ask for. Raises UsageError for a table that cannot be used, and
    for values out of their range."""
    if folds is not None and folds < 1:
        raise UsageError(f"--folds must be at least 1; got {folds}")
    settings, tasks = options.resolve()
    task = next((task for task in tasks if isinstance(task, ForecastTask)), None)
    if task is None:
        raise UsageError("there is nothing to train on; give a table, --csv FILE")
    group = next(group for group in groups(settings, [task], registry()) if not group.of_baselines)
    return TrainingRequest.of(task, options, settings, group, folds=folds, refit=refit)


def train_forecaster(asked: TrainingRequest, progress: Callable[[str], object] = lambda line: None) -> Forecaster:
    """Return a trained forecaster. progress: is told what is being done. Raises UsageError for rows too few for the
    folds that are asked for, and where training diverges."""
    task, table = asked.task, asked.task.table
    if task.inferred:
        progress(f"{task.source}: {', '.join(task.inferred)}")
    progress(f"training {asked.model.cell} for at most {asked.training.steps} steps")
    data = _data(asked, task)
    found = _fit(asked, task, data)
    lengths = lengths_of(table)
    scaling = scalings(table, lengths if asked.refit else (task.parts or task.cut.parts(lengths)).test)
    prediction = _predicted(asked, found, data.test)
    errors, folds = _fold_errors(asked, scaling, progress)
    made = intervals(errors) if folds else ()
    missed = _errors(prediction, data.test, scaling)
    trial = Trial(
        score_name=task.score_name,
        score=task.score(prediction, data.test),
        mae=(task.figures or (lambda y, test: {}))(prediction, data.test)["mae"],
        forecasts=data.test.count,
        rivals=_rivals(task, data, asked.seed),
        folds=folds,
        errors=len(errors),
        coverage=tuple(coverage(missed, interval) for interval in made),
    )
    how, params = asked.training, found.params
    if asked.refit:
        progress(f"training again on all rows, {found.steps} steps")
        params = _refitted(asked, found.steps, scaling).params
    metadata = ForecastMetadata(
        format=FORMAT,
        window=task.cut.window,
        horizon=task.cut.horizon,
        at_horizon=task.cut.at_horizon,
        recursive=task.cut.recursive,
        relative=task.cut.relative,
        columns=asked.columns,
        **{name: getattr(table, name) for name in ("target", "past", "known", "static", "frequency", "season")},
        filled=table.filling != "none",
        scales=tuple(SeriesScale(s.id, how.offset, how.scale) for s, how in zip(table.series, scaling, strict=True)),
        intervals=made,
        training=TrainingNote(
            found.steps, found.taken, how.batch_size, how.optimiser.learning_rate, asked.seed, asked.refit
        ),
        trial=trial,
    )
    return Forecaster(asked.model, params, ForecastMetadata.read(metadata.as_text(), asked.model))  # as it will be read


def _data(asked: TrainingRequest, task: ForecastTask) -> Data:
    return arrays.cast(task.data(asked.seed), asked.model.dtype)


def _fit(asked: TrainingRequest, task: ForecastTask, data: Data) -> Fit:
    return fit(task, data, asked.model, asked.training, asked.seed)


def _predicted(asked: TrainingRequest, found: Fit, split: Split) -> Array:
    y = predict(session(BACKEND, asked.model, found.params), split)
    if not np.isfinite(y).all():
        raise UsageError("the trained model forecasts NaN or infinity; try a lower --lr")
    return y


def _errors(prediction: Array, split: Split, scaling: Sequence[Scaling]) -> Array:
    """Return what a split's forecasts were off by [N, O], over the scales that the forecaster has of their series."""
    assert split.windows is not None, "a split of series has windows"
    windows, target = split.windows, split.target.astype(np.float64)
    own = windows.unscaled(prediction.astype(np.float64)) - windows.unscaled(target)
    scales = np.array([how.scale[0] for how in scaling])
    return np.asarray(own / scales[windows.which, None])


def _fold_errors(
    asked: TrainingRequest, scaling: Sequence[Scaling], progress: Callable[[str], object]
) -> tuple[Array, int]:
    """Return the errors [N, O] on the folds' own test parts, each of a model trained before them, and how many folds
    there are: fewer than `FOLDS`, or none, where there are rows for no more and no number was asked for."""
    for count in [asked.folds] if asked.folds else range(FOLDS, 0, -1):
        try:
            folds = [asked.task.fold(number, count) for number in range(1, count + 1)]
            break
        except UsageError:
            if asked.folds:
                raise
    else:
        return np.zeros((0, asked.task.output_size or 1)), 0
    errors = []
    for number, fold in enumerate(folds, 1):
        progress(f"fold {number} of {count}, for the intervals")
        data = _data(asked, fold)
        prediction = _predicted(asked, _fit(asked, fold, data), data.test)
        errors.append(_errors(prediction, data.test, scaling))
    return np.concatenate(errors), count


def _rivals(task: ForecastTask, data: Data, seed: int) -> tuple[Rival, ...]:
    """Score what a cell has to beat, fitted to all rows before the test part, on that."""
    train = data.train if data.validation is None else joined(data.train, data.validation)
    problem, asked = Problem(train, task.loss, task.output_size or 1, task.readout, seed), blank(data.test)
    suitable = [b for name in RIVALS if (b := registry().baselines.get(name)) and b.unsuitable(problem) is None]
    return tuple(Rival(b.id, task.score(answered(b.fit(problem), asked), data.test)) for b in suitable)


def _refitted(asked: TrainingRequest, steps: int, scaling: Sequence[Scaling]) -> Fit:
    table = asked.task.table
    lengths = lengths_of(table)
    split = Cutter.of(table, asked.task.cut.learned, scaling).windows(np.zeros_like(lengths), lengths)
    data = arrays.cast(Data(split, split), asked.model.dtype)
    return fit(asked.task, data, asked.model, replace(asked.training, steps=steps), asked.seed)


def summary(forecaster: Forecaster) -> list[str]:
    """Return what a user has to know of a forecaster before taking it home, a line each."""
    meta, trial = forecaster.metadata, forecaster.metadata.trial
    note, model = meta.training, forecaster.model
    kept = f"the weights after {note.steps} of {note.taken} steps" if note.steps < note.taken else f"{note.taken} steps"
    again = f", then trained again on all rows for {note.steps} steps" if note.refit else ""
    rivals = ", ".join(f"{rival.id} {rival.score:.3g}" for rival in trial.rivals)
    lines = [
        f"{model.cell} of {model.hidden_size} units, {model.count_parameters()} parameters: {kept}{again}",
        f"test part, {trial.forecasts} forecasts: {trial.score_name} {trial.score:.3g} (MAE {trial.mae:.4g})"
        + (f"; {rivals}" if rivals else ""),
    ]
    if better := [rival for rival in trial.rivals if rival.score <= trial.score]:
        best = min(better, key=lambda rival: rival.score)
        lines.append(f"it loses to {best.id}, which needs no network: {best.score:.3g} against {trial.score:.3g}")
    source = f"{counted(trial.errors, 'error')} a step on {counted(trial.folds, 'fold')}"
    for interval, share in zip(meta.intervals, trial.coverage, strict=True):
        lines.append(f"{interval.level} % intervals, from {source}: {share:.0%} of the test part lies within")
    for level in meta.missing_levels:
        lines.append(f"no {level} % intervals: they need {fewest(level)} errors a step, and there are {trial.errors}")
    return lines
