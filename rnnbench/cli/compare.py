"""`rnnbench compare`: the same task on every backend, trained, checked and timed."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from rnnbench.cli._exit_codes import FAILED, INTERRUPTED, NOTHING_RAN, OK
from rnnbench.cli._options import (
    export_option,
    items_option,
    json_option,
    number_option,
    plugin_option,
    results_option,
    traceback_option,
)
from rnnbench.cli._table_options import table_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rnnbench.records.record import Record
    from rnnbench.records.store import Run

TRACKED_OPTIONS = ("track", "quick", "results", "json_target", "exports", "traceback")
PROFILE = "RNNBENCH_PROFILE"
TABLES = (".csv", ".tsv", ".txt", ".parquet", ".xlsx")
NEVER_RAN = ("unsupported", "load_error")


def _whole(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Return the number of seeds. Says how to ask for several, where they are listed."""
    if value is None:
        return None
    try:
        return int(value)
    except ValueError:
        count = len(value.split(","))
        hint = f"; {count} seeds from the first on are --seeds {count}" if count > 1 else ""
        raise click.BadParameter(f"{value!r} is not a whole number{hint}", ctx, param) from None


def _no_files(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> None:
    """Refuse what is no option. Says by which option the file may have been meant."""
    if values:
        name = values[0].lower().removesuffix(".gz")
        meant = f"--csv {values[0]} --target COLUMN" if name.endswith(TABLES) else f"--model {values[0]}"
        known = name.endswith((*TABLES, ".onnx", ".safetensors"))
        hint = f"; did you mean {meant}?" if known else "; options begin with --"
        raise click.UsageError(f"{values[0]!r} belongs to no option{hint}", ctx)


@click.command()
@click.argument("stray", nargs=-1, metavar="", expose_value=False, callback=_no_files)
@items_option("--task", "task", str, "Tasks; sunspots, adding and sine by default.")
@items_option("--cell", "cell", str, "Cells; rnn-tanh, lstm and gru by default.")
@items_option("--backend", "backend", str, "Backends; every installed one by default.")
@items_option("--hidden", "hidden", int, "Hidden sizes; the task's own by default.")
@items_option("--layers", "layers", int, "Numbers of layers; 1 by default.")
@click.option("--bidirectional", is_flag=True, help="Run each layer in both directions.")
@items_option("--dtype", "dtype", str, "float32 (default), float64.")
@number_option("--batch", "batch", int, "Batch size, of training and of timed inference.")
@number_option("--steps", "steps", int, "Training steps; 0 leaves the initial weights.")
@number_option("--lr", "lr", float, "Learning rate.")
@click.option(
    "--seeds", callback=_whole, metavar="N", help="How many seeds, each in processes of its own; 5 by default."
)
@click.option("--seed", type=int, metavar="S", help="The first seed; 0 by default.")
@items_option("--threads", "threads", int, "Threads per backend; 1 by default.")
@click.option("--quick", is_flag=True, help="A first look: one seed in one process, which allows no verdict.")
@click.option(
    "--folds",
    type=int,
    metavar="K",
    help="Choose cell and size on K folds inside the training part; only the best one is tested.",
)
@click.option(
    "--all-backends", is_flag=True, help="Run every variant of your own table on every backend, not the best 3."
)
@click.option("--no-baselines", is_flag=True, help="Leave out the methods without recurrence, and the bar they set.")
@table_options
@click.option("--model", metavar="FILE", help="Time a trained model of your own: .onnx or .safetensors; no training.")
@click.option("--against", metavar="FILE", help="With --model: first hold its outputs to those of the same model here.")
@click.option("--seq-len", type=int, metavar="N", help="Steps of the random inputs, with --model; 100 by default.")
@click.option("--save-best", metavar="DIR", help="Train the best cell of each table once more, and save it there.")
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
    from rnnbench.api import Interrupted, compare
    from rnnbench.cli._console import error, note, warnings_told
    from rnnbench.cli._output import check_targets, put_results
    from rnnbench.cli._progress import listening
    from rnnbench.workers.failure import Failure

    check_targets(json_target, exports)
    if track:
        run = _record(ctx, results, options["quick"])
        put_results(run, json_target, exports)
        return exit_code(run.records()) if run.complete else INTERRUPTED
    interrupted = False
    try:
        with warnings_told(), listening() as listener:
            run = compare(**options, plugins=plugins, results=results, resume=resume, progress=listener)
    except Interrupted as stopped:
        run, interrupted = stopped.run, True
    except Failure as failure:
        error(failure.reason)
        return FAILED
    put_results(run, json_target, exports)
    note(f"stored as {run.path}; `rnnbench show` prints it again")
    if interrupted:
        note("interrupted; finished groups are kept: the same command with --resume goes on from there")
    return INTERRUPTED if interrupted else exit_code(run.records())


def _record(ctx: click.Context, results: str, quick: bool) -> "Run":
    """Have asv measure and record the suite's own rows; return the run stored. Raises UsageError for options that would
    choose other rows than the suite's: a series over commits needs the same ones each time."""
    from rnnbench.cli._console import note
    from rnnbench.errors import UsageError
    from rnnbench.tracking import recording
    from rnnbench.tracking.commits import Repository

    for option in ctx.command.params:
        given = ctx.get_parameter_source(option.name or "") is not ParameterSource.DEFAULT
        if given and option.name not in TRACKED_OPTIONS:
            raise UsageError(f"{option.opts[0]} does not go with --track: the asv suite settles what is measured")
    profile = "quick" if quick else os.environ.get(PROFILE, "default")
    run, commit = recording.record(Repository(Path.cwd()), Path(results), profile)
    if commit is None:
        note("the working tree has changes: the run is marked dirty, and asv has no commit to file it under")
    else:
        note(f"filed under {commit}; `rnnbench history` shows it")
    return run


def exit_code(records: "Sequence[Record]") -> int:
    """Return 0 for ok, 1 where a row failed, 3 where nothing ran at all."""
    if all(record.status in NEVER_RAN for record in records if not record.is_baseline):
        return NOTHING_RAN
    return FAILED if any(record.failed for record in records) else OK
