"""`rnnbench roofline`: how much of what this machine allows the kernels reach."""

from pathlib import Path

import click

from rnnbench.cli._console import error, note
from rnnbench.cli._exit_codes import FAILED, OK
from rnnbench.cli._options import export_option, json_option, plot_option, traceback_option
from rnnbench.cli._output import STDOUT, check_targets, print_report, put_json
from rnnbench.report.text import counted

ROOFLINE_SCHEMA = 1
DTYPE = "float32"


@click.command()
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads for all of it.")
@plot_option
@json_option
@export_option
@traceback_option
def command(threads: int, plot_file: str | None, json_target: str | None, exports: tuple[str, ...]) -> int:
    """Measure this machine's peak and bandwidths, and set LSTM and GRU forward passes against them.

    Takes about half a minute. docs/roofline.md says what a limit counts.
    """
    from rnnbench.machine.environment import check_threads, machine
    from rnnbench.report.export import export
    from rnnbench.roofline import report as roofline
    from rnnbench.roofline.limits import limits
    from rnnbench.roofline.plot import draw
    from rnnbench.roofline.points import CASES, measure
    from rnnbench.workers.failure import Failure

    check_targets(json_target, exports, plot_file)
    check_threads(threads)
    note("measuring the machine's peak and bandwidths")
    found = limits(DTYPE, threads)
    note(f"timing {counted(len(CASES), 'case')}")
    try:
        points = list(measure(CASES, found))
    except Failure as failure:
        error(failure.reason)
        return FAILED
    here = machine()
    report, rows = roofline.report(points, found, here), [point.as_row() for point in points]
    if plot_file:
        draw(points, found, Path(plot_file))
    for target in exports:
        export(Path(target), rows[0], (row.values() for row in rows), lambda: report)
    if json_target is not None:
        limits_json = roofline.as_json(found)
        put_json(json_target, {"schema": ROOFLINE_SCHEMA, "machine": here, "limits": limits_json, "rows": rows})
    if json_target != STDOUT:
        print_report(report)
    return OK
