"""`rnnbench show`: a stored run printed again, or the list of runs; nothing is measured."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rnnbench.cli._complete import stored_runs
from rnnbench.cli._console import note, warn
from rnnbench.cli._listing import ListColumn, print_table
from rnnbench.cli._options import export_option, json_option, results_option, traceback_option
from rnnbench.cli._output import check_targets, put_json, put_results
from rnnbench.errors import UsageError

if TYPE_CHECKING:
    from rnnbench.records.store import Run, Store


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False, shell_complete=stored_runs)
@json_option
@export_option
@results_option
@traceback_option
def command(run_id: str | None, json_target: str | None, exports: tuple[str, ...], results: str) -> None:
    """Print a stored run again, without running anything.

    RUN is an id, the beginning of one, or "latest"; without it the stored runs are listed.
    """
    from rnnbench.records.store import Store

    store = Store(Path(results))
    if run_id is not None:
        check_targets(json_target, exports)
        put_results(store.find(run_id), json_target, exports)
    elif exports:
        raise UsageError('--export needs to know of which run; name one, or "latest"')
    else:
        _list(store, json_target)


def _list(store: "Store", json_target: str | None) -> None:
    from rnnbench.records.record import SCHEMA

    check_targets(json_target)
    for problem in store.problems():
        warn(problem)
    rows = [_row(run) for run in store.runs()]
    if json_target is not None:
        put_json(json_target, {"schema": SCHEMA, "rows": rows})
    elif rows:
        figures = [ListColumn("rows", right=True), ListColumn("failed", right=True)]
        what = [ListColumn(name, wraps=True) for name in ("tasks", "cells", "backends")]
        print_table(rows, [ListColumn("run"), ListColumn("state"), *figures, *what])
    else:
        note(f"there are no runs in {store.root}; make one with: rnnbench compare")


def _row(run: "Run") -> dict[str, object]:
    records = run.records()
    measured = [record for record in records if not record.is_baseline]
    return {
        "run": run.id,
        "state": "complete" if run.complete else "unfinished",
        "rows": len(records),
        "failed": sum(record.failed for record in records),
        "tasks": list(dict.fromkeys(record.task for record in records)),
        "cells": list(dict.fromkeys(record.cell for record in measured)),
        "backends": list(dict.fromkeys(record.backend for record in measured)),
    }
