"""`rnnbench gate`: is one commit slower, larger or less accurate than another?"""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnbench.cli._console import console, note
from rnnbench.cli._exit_codes import OK, REGRESSED
from rnnbench.cli._listing import ListColumn, print_table
from rnnbench.cli._options import (
    items_option,
    json_option,
    load_plugins,
    name_option,
    plugin_option,
    results_option,
    traceback_option,
)
from rnnbench.cli._output import STDOUT, check_targets, put_json
from rnnbench.errors import UsageError
from rnnbench.report.text import printable

if TYPE_CHECKING:
    from rnnbench.tracking.gate import GateResult

GATE_SCHEMA = 1
_RUN = re.compile(r"latest$|\d{8}-")  # a run's id begins with its date; no commit looks like that


@click.command()
@click.argument("base")
@click.argument("candidate", required=False)
@items_option("--cell", "cells", str, "Cells; rnn-tanh, lstm and gru by default.")
@name_option("--backend", "The backend to measure.", "numba")
@name_option("--task", "The task whose score is compared.", "sunspots")
@click.option("--processes", type=click.IntRange(min=2), metavar="N", help="Processes a side; 5 by default.")
@click.option(
    "--base-python", default=sys.executable, metavar="FILE", help="Python of the base, where its requirements differ."
)
@click.option("--candidate-python", default=sys.executable, metavar="FILE", help="Python of the candidate, likewise.")
@json_option
@results_option
@plugin_option
@traceback_option
def command(
    base: str, candidate: str | None, json_target: str | None, results: str, plugins: tuple[str, ...], **options: Any
) -> int:
    """Compare CANDIDATE (HEAD by default) with BASE; exit with 4 where it got worse.

    Both are commits, measured now and interleaved, in processes of their own; or both are stored runs of one machine.
    """
    check_targets(json_target)
    if candidate is not None and bool(_RUN.match(base)) != bool(_RUN.match(candidate)):
        raise UsageError("a run cannot be compared with a commit; give two commits or the ids of two runs")
    if _RUN.match(base):
        sides, outcome = _runs(base, candidate or "latest", results)
    else:
        sides, outcome = _commits(base, candidate or "HEAD", plugins, options)
    if json_target is not None:
        put_json(json_target, _document(sides, outcome))
    if json_target != STDOUT:
        _print(outcome)
    return OK if outcome.passed else REGRESSED


def _runs(base: str, candidate: str, results: str) -> "tuple[tuple[str, str], GateResult]":
    from rnnbench.records.store import Store
    from rnnbench.tracking.gate import gate_runs

    store = Store(Path(results))
    before, after = store.find(base), store.find(candidate)
    note("two stored runs: times of different hours are compared, and nothing is measured again")
    return (before.id, after.id), gate_runs(before, after)


def _commits(
    base: str, candidate: str, plugins: tuple[str, ...], options: dict[str, Any]
) -> "tuple[tuple[str, str], GateResult]":
    from rnnbench.tracking.ab import GatePlan
    from rnnbench.tracking.commits import Repository
    from rnnbench.tracking.gate import gate_commits

    registry = load_plugins(plugins)
    pythons = (options.pop("base_python"), options.pop("candidate_python"))
    plan = GatePlan(**{name: value for name, value in options.items() if value not in (None, ())})
    registry.backend(plan.backend), registry.task(plan.task), [registry.cell(name) for name in plan.cells]
    repository = Repository(Path.cwd())
    before, after = repository.commit(base), repository.commit(candidate)
    note(f"base {before}; candidate {after}")
    if repository.changed():
        note("note: the working tree has changes, which belong to no commit and are not measured")
    outcome = gate_commits(repository, before, after, plan, note, pythons)
    return (before.hash, after.hash), outcome


def _document(sides: tuple[str, str], outcome: "GateResult") -> dict[str, object]:
    from rnnbench.tracking.format import broken_sentence, row, sentence

    regressed = [broken_sentence(cell) for cell in outcome.broken if cell.regressed]
    return {
        "schema": GATE_SCHEMA,
        "base": sides[0],
        "candidate": sides[1],
        "regressions": [sentence(regression) for regression in outcome.regressions] + regressed,
        "rows": [row(change, outcome) for change in outcome.changes],
    }


def _print(outcome: "GateResult") -> None:
    """Print the table of all series, a sentence for each regression, and how it ended."""
    from rnnbench.tracking.format import broken_sentence, cells, sentence, summary

    figures = [ListColumn(name, right=True) for name in ("base", "candidate", "worse by")]
    print_table(
        [cells(change, outcome) for change in outcome.changes],
        [
            ListColumn("series"),
            ListColumn("figure"),
            *figures,
            ListColumn("noise", right=True, wide=True),
            ListColumn("verdict"),
        ],
    )
    out = console()
    lines = [sentence(regression) for regression in outcome.regressions]
    lines += [broken_sentence(cell) for cell in outcome.broken]
    for line in ["", *lines, summary(outcome)]:
        out.print(printable(line), soft_wrap=True)
