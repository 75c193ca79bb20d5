"""`rnnbench list`: the cells, tasks, baselines and backends there are."""

from typing import TYPE_CHECKING

import click

from rnnbench.cli._listing import ListColumn, Row, show
from rnnbench.cli._options import json_flag, load_plugins, plugin_option, traceback_option

if TYPE_CHECKING:
    from rnnbench.backends.base import BackendInfo
    from rnnbench.baselines.spec import Baseline
    from rnnbench.cells.spec import Cell
    from rnnbench.tasks.spec import Task


KINDS = ("cells", "tasks", "baselines", "backends")


@click.command()
@click.argument("kind", type=click.Choice(KINDS), metavar="|".join(KINDS))
@plugin_option
@json_flag
@traceback_option
def command(kind: str, plugins: tuple[str, ...], as_json: bool) -> None:
    """List the cells, tasks, baselines or backends that can be compared."""
    registry = load_plugins(plugins)
    if kind == "cells":
        show([_cell(cell) for cell in registry.cells.values()], CELL_COLUMNS, as_json)
    elif kind == "tasks":
        show([_task(task) for task in registry.tasks.values()], TASK_COLUMNS, as_json)
    elif kind == "baselines":
        show([_method(baseline) for baseline in registry.baselines.values()], BASELINE_COLUMNS, as_json)
    else:
        show([_backend(info) for info in registry.backends.values()], BACKEND_COLUMNS, as_json)


CELL_COLUMNS = (*map(ListColumn, ("cell", "title", "states", "gates")), ListColumn("source", wraps=True))


def _cell(cell: "Cell") -> Row:
    return {
        "cell": cell.id,
        "title": cell.title,
        "states": list(cell.states),
        "gates": [accumulator.name for accumulator in cell.accumulators],
        "source": cell.source,
    }


def _baseline(row: Row) -> str:
    return f"{'>' if row['better'] == 'higher' else '<'} {row['baseline']:.4g}"


TASK_COLUMNS = (
    ListColumn("task"),
    ListColumn("title", wraps=True),
    ListColumn("score"),
    ListColumn("baseline", _baseline, right=True),
    ListColumn("steps", right=True),
    ListColumn("batch", wide=True, right=True),
    ListColumn("hidden", wide=True, right=True),
    ListColumn("source", wraps=True, wide=True),
)


def _task(task: "Task") -> Row:
    return {
        "task": task.id,
        "title": task.title,
        "score": task.score_name,
        "better": task.score_better,
        "baseline": task.baseline,
        "margin": task.margin,
        "steps": task.budget.steps,
        "batch": task.budget.batch_size,
        "hidden": task.budget.hidden_size,
        "source": task.source,
    }


BASELINE_COLUMNS = (
    ListColumn("baseline"),
    ListColumn("title", wraps=True),
    ListColumn("blind", lambda row: "yes" if row["blind"] else "no"),
    ListColumn("source", wraps=True),
)


def _method(baseline: "Baseline") -> Row:
    return {
        "baseline": baseline.id,
        "title": baseline.title,
        "blind": baseline.blind,
        "source": baseline.source,
    }


BACKEND_COLUMNS = (
    ListColumn("backend"),
    ListColumn("title", wraps=True),
    ListColumn("status"),
    ListColumn("remedy", wraps=True),
    ListColumn("trains", lambda row: "yes" if row["trains"] else "no"),
    ListColumn("devices", wide=True),
    ListColumn("dtypes", wide=True),
    ListColumn("cells", wraps=True),
)


def _backend(info: "BackendInfo") -> Row:
    absent = info.missing()
    return {
        "backend": info.id,
        "title": info.title,
        "status": f"needs {absent.module}" if absent else "installed",
        "remedy": absent.remedy if absent else "",
        "trains": info.trains,
        "devices": list(info.devices),
        "dtypes": list(info.dtypes),
        "cells": "all" if info.cells is None else list(info.cells),
    }
