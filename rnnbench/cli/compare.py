"""`rnnbench compare`: the same task on every backend, trained, checked and timed."""

from typing import TYPE_CHECKING, Any

import click

from rnnbench.cli._exit_codes import FAILED, INTERRUPTED, NOTHING_RAN, OK
from rnnbench.cli._options import (
    export_option,
    finite,
    items_option,
    json_option,
    load_plugins,
    plugin_option,
    results_option,
    traceback_option,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rnnbench.comparison.plan import Settings
    from rnnbench.records.record import Record
    from rnnbench.records.store import Run, Store
    from rnnbench.registry import Registry
    from rnnbench.tasks.spec import Task

NEVER_RAN = ("skipped", "unsupported", "load_error", "interrupted")


@click.command()
@items_option("--task", "tasks", str, "Tasks; sunspots, adding and sine by default.")
@items_option("--cell", "cells", str, "Cells; rnn-tanh, lstm and gru by default.")
@items_option("--backend", "backends", str, "Backends; every installed one by default.")
@items_option("--hidden", "hidden_sizes", int, "Hidden sizes; the task's own by default.")
@items_option("--layers", "layers", int, "Numbers of layers; 1 by default.")
@click.option("--bidirectional", is_flag=True, help="Run each layer in both directions.")
@items_option("--dtype", "dtypes", str, "float32 (default), float64.")
@click.option("--batch", "batch_size", type=int, metavar="N", help="Batch size, of training and of timed inference.")
@click.option("--steps", type=int, metavar="N", help="Training steps; 0 leaves the initial weights.")
@click.option("--lr", "learning_rate", type=float, callback=finite, metavar="X", help="Learning rate.")
@click.option("--seeds", type=int, metavar="N", help="How many seeds, each with processes of its own; 5 by default.")
@click.option("--seed", type=int, metavar="S", help="The first seed; 0 by default.")
@items_option("--threads", "threads", int, "Threads per backend; 1 by default.")
@click.option("--quick", is_flag=True, help="A first look: one seed in one process, which allows no verdict.")
@click.option("--csv", "csv", metavar="FILE", help="Forecast a column of your own CSV file.")
@click.option("--target", metavar="COLUMN", help="The column to forecast, with --csv.")
@items_option("--features", "features", str, "Columns to forecast from, with --csv; the target alone by default.")
@click.option("--window", type=int, metavar="N", help="Past rows that a forecast sees, with --csv.")
@click.option("--horizon", type=int, metavar="K", help="Rows ahead that are forecast, with --csv; 1 by default.")
@click.option("--model", metavar="FILE", help="Time a trained model of your own: .onnx or .safetensors; no training.")
@click.option("--against", metavar="FILE", help="With --model: first hold its outputs to those of the same model here.")
@click.option("--seq-len", type=int, metavar="N", help="Steps of the random inputs, with --model; 100 by default.")
@json_option
@export_option
@results_option
@click.option("--resume", is_flag=True, help="Go on with the newest unfinished run of the same settings.")
@click.option(
    "--track", is_flag=True, help="Have asv measure and record its suite's rows for this commit (docs/tracking.md)."
)
@plugin_option
@traceback_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    plugins: tuple[str, ...],
    json_target: str | None,
    exports: tuple[str, ...],
    results: str,
    resume: bool,
    track: bool,
    **options: Any,
) -> int:
    """Compare cells and backends on sequence tasks.

    Options that take several values can be repeated or take commas: --cell lstm,gru.
    """
    from pathlib import Path

    from rnnbench.cli._console import error, note
    from rnnbench.cli._model import model_tasks
    from rnnbench.cli._output import check_targets, put_results
    from rnnbench.cli._progress import listening
    from rnnbench.cli._track import record
    from rnnbench.comparison.runner import compare
    from rnnbench.records.store import Store
    from rnnbench.workers.failure import Failure

    check_targets(json_target, exports)
    if track:
        run = record(ctx, results, options["quick"])
        put_results(run, json_target, exports)
        return exit_code(run.records()) if run.complete else INTERRUPTED
    registry = load_plugins(plugins)
    try:
        extra = (*model_tasks(options), *_extra_tasks(options))
    except Failure as failure:
        error(failure.reason)
        return FAILED
    settings = _settings(options, extra)
    _check_names(settings, registry, extra)
    run = _open_run(Store(Path(results)), settings, registry, resume)
    with listening() as listener:
        outcome = compare(settings, registry, run, listener, extra)
    put_results(run, json_target, exports)
    note(f"stored as {run.path}; `rnnbench show` prints it again")
    if outcome.interrupted:
        note("interrupted; finished groups are kept: the same command with --resume goes on from there")
    return INTERRUPTED if outcome.interrupted else exit_code(outcome.records)


def _extra_tasks(options: dict[str, Any]) -> "tuple[Task, ...]":
    """Return the task of --csv, whose options are taken out of `options`; none without --csv."""
    from rnnbench.errors import UsageError

    given = {name: options.pop(name) for name in ("csv", "target", "features", "window", "horizon")}
    given = {name: value for name, value in given.items() if value not in (None, ())}
    path = given.pop("csv", None)
    if path is None:
        if given:
            raise UsageError(f"--{next(iter(given))} belongs to --csv FILE, which is missing")
        return ()
    if "target" not in given:
        raise UsageError("--csv needs --target COLUMN: which column is to be forecast?")
    from rnnbench.tasks.csv_file import csv_task

    return (csv_task(path, **given),)


def _settings(options: dict[str, Any], extra: "Sequence[Task]") -> "Settings":
    """Return what was given as settings: the defaults live in `Settings`."""
    from rnnbench.comparison.plan import Settings
    from rnnbench.machine.environment import check_threads

    given = {name: value for name, value in options.items() if value not in (None, ())}
    if extra:
        given["tasks"] = (*given.get("tasks", ()), *(task.id for task in extra))
    if given["quick"]:
        given.setdefault("seeds", 1)
    settings = Settings(**given)
    check_threads(max(settings.threads))
    return settings


def _check_names(settings: "Settings", registry: "Registry", extra: "Sequence[Task]") -> None:
    """Raise UnknownName for whatever nobody registered, UsageError without a backend; before a run is begun."""
    from rnnbench.comparison.plan import groups
    from rnnbench.comparison.runner import choose

    registry.tasks.update({task.id: task for task in extra})
    choose(settings, registry)
    for _ in groups(settings, registry):
        pass


def _open_run(store: "Store", settings: "Settings", registry: "Registry", resume: bool) -> "Run":
    """Return the newest unfinished run of the same settings where one is asked for and there, else a new one."""
    from rnnbench.cli._console import note
    from rnnbench.comparison.description import Description
    from rnnbench.machine.environment import machine

    if resume:
        if run := store.unfinished(settings.digest()):
            note(f"resuming run {run.id}")
            return run
        note("no unfinished run has these settings; starting a new one")
    return store.create(Description.of(settings, registry).as_json(), settings.digest(), machine())


def exit_code(records: "Sequence[Record]") -> int:
    """Return 0 for ok, 1 where a row failed, 3 where nothing ran at all."""
    if all(record.status in NEVER_RAN for record in records):
        return NOTHING_RAN
    return FAILED if any(record.failed for record in records) else OK
