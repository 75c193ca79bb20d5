"""Where results go: tables to stdout, rows and reports to files. What cannot be written is refused before any work."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rnnbench.cli._console import console, warn
from rnnbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rnnbench.records.store import Run
    from rnnbench.report.document import Report

STDOUT = "-"


def check_targets(json_target: str | None, exports: tuple[str, ...] = (), plot_file: str | None = None) -> None:
    """Raise UsageError where a result could not be written later."""
    from rnnbench.report.export import check_suffix
    from rnnbench.report.plot_file import check_figure

    for name in exports:
        check_suffix(Path(name))
    for target in (*exports, json_target, plot_file):
        if target not in (None, STDOUT):
            _check_writable(target)
    if plot_file:
        check_figure(Path(plot_file))


def _check_writable(target: str) -> None:
    path = Path(target)
    if path.is_dir():
        raise UsageError(f"{target!r} is a folder; name a file")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {str(path.parent)!r} to put {path.name!r} in; create it first")
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise UsageError(f"{target!r} cannot be written; name another file")


def put_json(target: str, payload: "Mapping[str, object]") -> None:
    """Write one JSON object, never with NaN or Infinity, to a file or for "-" to stdout."""
    text = json.dumps(payload, indent=2, allow_nan=False) + "\n"
    if target == STDOUT:
        sys.stdout.write(text)
        return
    from rnnbench.report.export import write_file

    write_file(Path(target), text)


def put_results(run: "Run", json_target: str | None, exports: tuple[str, ...]) -> None:
    """Write everything asked for, of what is stored. With the JSON on stdout nothing else is printed there."""
    from rnnbench.records.record import COLUMNS, SCHEMA
    from rnnbench.report.document import Report
    from rnnbench.report.export import export

    for problem in run.problems():
        warn(problem)
    groups = run.groups()
    rows = [record.as_json() for group in groups for record in group.records]
    for target in exports:
        export(Path(target), COLUMNS, (row.values() for row in rows), lambda: Report.of(run, groups))
    if json_target is not None:
        summary = [row.as_json() for row in run.rows()]
        put_json(json_target, {"schema": SCHEMA, "run_id": run.id, "rows": rows, "summary": summary})
    if json_target != STDOUT:
        print_report(Report.of(run, groups))


def print_report(report: "Report") -> None:
    """Print a report, as wide as the terminal is."""
    from rnnbench.report.terminal import render

    out = console()
    for part in render(report, out):
        out.print(part)
