"""The calls that scripts start from. The command line calls nothing else.

`compare` carries out a comparison and stores it; `load_run` finds a stored one again. What works with one backend or
one file, and needs no comparison, is in loading.py.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import warn

from rnnbench.comparison.description import Description
from rnnbench.comparison.listener import Listener
from rnnbench.comparison.options import NAMES, OF_CSV, Options
from rnnbench.comparison.runner import ComparisonPlan, carry_out, plan_comparison
from rnnbench.comparison.sources import changed, changed_file
from rnnbench.errors import RnnbenchWarning, UsageError, did_you_mean
from rnnbench.forecasting.forecaster import Forecaster
from rnnbench.forecasting.training import requested, train_forecaster
from rnnbench.forecasting.winners import forecasts_of, prepare, save_winners
from rnnbench.machine.environment import machine
from rnnbench.records.store import RUN_FILE, Run, Store
from rnnbench.registry import configure, registry
from rnnbench.report.progress import LineProgress
from rnnbench.tasks.forecast import ForecastTask
from rnnbench.weights.spec import Trained

if TYPE_CHECKING:
    import pandas as pd

RESULTS = "results/runs"
PathLike = str | os.PathLike[str]
Names = str | Sequence[str] | None
Numbers = int | Sequence[int] | None


class Interrupted(KeyboardInterrupt):
    """The user stopped a comparison. run: what is stored of it; the same call with resume=True goes on from there."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"interrupted; finished groups are kept in {run.path}")
        self.run = run


def compare(
    data: "PathLike | pd.DataFrame | None" = None,
    /,
    *,
    task: Names = None,
    cell: Names = None,
    backend: Names = None,
    hidden: Numbers = None,
    layers: Numbers = None,
    bidirectional: bool = False,
    dtype: Names = None,
    batch: int | None = None,
    steps: int | None = None,
    lr: float | None = None,
    seeds: int | None = None,
    seed: int | None = None,
    threads: Numbers = None,
    quick: bool = False,
    folds: int | None = None,
    all_backends: bool = False,
    no_baselines: bool = False,
    csv: "PathLike | pd.DataFrame | None" = None,
    target: Names = None,
    time: str | None = None,
    id: str | None = None,
    past: Names = None,
    features: Names = None,
    known: Names = None,
    static: Names = None,
    fill: str | None = None,
    frequency: str | None = None,
    season: int | None = None,
    separator: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    day_first: bool | None = None,
    sheet: str | None = None,
    window: int | None = None,
    horizon: int | None = None,
    at_horizon: bool = False,
    recursive: bool = False,
    relative: bool = False,
    metric: str | None = None,
    test: int | None = None,
    step: int | None = None,
    model: PathLike | Trained | None = None,
    against: PathLike | None = None,
    seq_len: int | None = None,
    plugins: Sequence[str] | None = None,
    results: PathLike | None = None,
    resume: bool = False,
    control: bool = True,
    save_best: PathLike | None = None,
    progress: Listener | Callable[[str], object] | None = None,
) -> Run:
    """Run the same tasks on every backend, trained, checked and timed, and return the stored run.

    The options are those of `rnnbench compare`, with its defaults; where several values make sense, one may be given or
    a list. Workers are processes of their own: no main guard is needed, and a notebook or a thread may call this.

    data: series of your own to forecast, a pandas frame or what `csv` takes: a file, or "-" for standard input.
    no_baselines: leaves out the methods without recurrence; `learned` then knows the task's own trivial answer alone.
    model: a file, or a `Trained` in memory. plugins: as after `-p`, loaded anew; None takes what is loaded. results:
    the folder of the stored runs, `results/runs` by default. control: whether `numba` is timed against itself too,
    which gives the machine's noise. save_best: a folder for the best cell of each task that forecasts a series, trained
    once more with the first seed; `load_forecaster` reads it. progress: `print`, or anything that takes a line of text;
    or a `Listener`.

    Raises UsageError (UnknownName for a name that nobody registered) before anything is measured, Failure where
    `against` holds another network than `model`, and Interrupted after Ctrl-C. A backend that fails is a row with its
    reason.
    """
    given = locals()
    if data is not None:
        if csv is not None:
            raise UsageError("the data are given twice, as the first argument and as csv; give them once")
        given["csv"] = data
    options = Options.of(**{name: given[name] for name in NAMES})
    registered = registry() if plugins is None else configure(tuple(plugins))
    for problem in registered.problems:
        warn(f"plugin {problem.plugin}: {problem.message}", RnnbenchWarning, stacklevel=2)
    settings, tasks = options.resolve()
    plan = plan_comparison(settings, registered, tasks, control)
    if save_best is not None and forecasts_of(plan):
        prepare(Path(save_best))
    listener = LineProgress(progress) if callable(progress) else progress or Listener()
    run, notices = _open_run(Store(Path(results or RESULTS)), plan, resume)
    notices += [f"{task.source}: {', '.join(task.inferred)}" for task in tasks if isinstance(task, ForecastTask)]
    if not carry_out(plan, run, listener, notices=notices):
        raise Interrupted(run)
    if save_best is not None:
        save_winners(run.groups(), plan, options, Path(save_best), listener.told)
    return run


def train(
    data: "PathLike | pd.DataFrame",
    /,
    *,
    cell: str = "gru",
    hidden: int | None = None,
    layers: int | None = None,
    bidirectional: bool = False,
    dtype: str | None = None,
    batch: int | None = None,
    steps: int | None = None,
    lr: float | None = None,
    seed: int | None = None,
    folds: int | None = None,
    refit: bool = False,
    progress: Callable[[str], object] | None = None,
    **table: Any,
) -> Forecaster:
    """Train a model on your own series in this process, and return it with all that its forecasts need.

    data: a frame, a file, or "-" for standard input. table: the options of `compare` that say what the table is and
    how it is cut (target, time, id, horizon ...). folds: of the intervals' errors; 3 by default, or as many as there
    are rows for. refit: whether it is trained again on all rows at last, with the steps that the validation part chose.
    progress: `print`, or anything that takes a line of text.

    Raises UsageError for a table that cannot be used, values out of their range, and where training diverges.
    """
    if odd := [name for name in table if name not in OF_CSV]:
        hint = did_you_mean(odd[0], OF_CSV) or f"of a table it takes {', '.join(OF_CSV)}"
        raise UsageError(f"train takes no {odd[0]!r}; {hint}")
    given = {"hidden": hidden, "layers": layers, "dtype": dtype, "batch": batch, "steps": steps, "lr": lr, "seed": seed}
    options = Options.of(csv=data, cell=cell, bidirectional=bidirectional, **given, **table)
    return train_forecaster(requested(options, folds, refit), progress or (lambda line: None))


def load_run(run: PathLike = "latest", results: PathLike | None = None) -> Run:
    """Return a stored run: by its id, the beginning of it, "latest", or the path of its folder.

    results: where to look for an id, `results/runs` by default. Raises UsageError where there is no such run.
    """
    path = Path(run)
    if (path / RUN_FILE).is_file():
        return Store(path.resolve().parent).find(path.resolve().name)
    return Store(Path(results or RESULTS)).find(str(run))


def _open_run(store: Store, plan: ComparisonPlan, resume: bool) -> tuple[Run, list[str]]:
    """Return the newest unfinished run of the same settings where one is asked for and there, else a new one, and what
    to tell the user about it. Raises UsageError where what that run's rows come from has changed."""
    digest, notices = plan.settings.digest(), []
    if resume:
        if run := store.unfinished(digest):
            if others := changed(Description.from_json(run.settings).sources, plan.description.sources):
                raise UsageError(f"{others[0]} is not what it was when run {run.id} was begun; leave out --resume")
            return run, [f"resuming run {run.id}"]
        for run in store.runs():
            if not run.complete and (task := changed_file(run.settings.get("settings"), plan.settings)):
                why = f"the file of task {task!r} has changed since run {run.id} was begun, or is cut otherwise"
                raise UsageError(f"{why}; leave out --resume")
        notices = ["no unfinished run has these settings; starting a new one"]
    return store.create(plan.description.as_json(), digest, machine()), notices
