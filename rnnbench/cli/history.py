"""`rnnbench history`: a figure over commits, with the steps in it and the commits that made them."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rnnbench.cli._console import console, note, warn
from rnnbench.cli._listing import ListColumn, print_table
from rnnbench.cli._options import items_option, json_option, plot_option, results_option, traceback_option
from rnnbench.cli._output import STDOUT, check_targets, put_json
from rnnbench.errors import UnknownName, UsageError
from rnnbench.report.text import counted, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rnnbench.tracking.commits import Commit
    from rnnbench.tracking.sections import HistorySection
    from rnnbench.tracking.series import FigureSeries, Reading

HISTORY_SCHEMA = 1
DEFAULT_FIGURE = "infer_seconds"


@click.command()
@items_option("--figure", "figures", str, f"Figures: score, peak_rss_bytes, ...; {DEFAULT_FIGURE} by default.")
@items_option("--task", "task", str, "Tasks; all by default.")
@items_option("--cell", "cell", str, "Cells; all by default.")
@items_option("--backend", "backend", str, "Backends; all by default.")
@items_option("--machine", "machines", str, "Machines; all by default, and never in one table.")
@click.option(
    "--source",
    type=click.Choice(["asv", "runs", "both"]),
    help="Where to read; asv's results by default, the stored runs where there are none.",
)
@click.option("--asv", "asv_folder", default="results/asv", show_default=True, metavar="DIR", help="asv's results.")
@plot_option
@json_option
@results_option
@traceback_option
def command(
    source: str | None,
    asv_folder: str,
    results: str,
    plot_file: str | None,
    json_target: str | None,
    figures: tuple[str, ...],
    machines: tuple[str, ...],
    **rows: tuple[str, ...],
) -> None:
    """Show figures over the commits of this repository, from asv's results and from stored runs."""

    from rnnbench.tracking import plot
    from rnnbench.tracking.commits import Repository
    from rnnbench.tracking.sections import as_json, sections

    check_targets(json_target, plot_file=plot_file)
    commits = Repository(Path.cwd()).history()
    source = source or ("asv" if any(Path(asv_folder).glob("*/*-*.json")) else "runs")
    readings = _readings(source, Path(asv_folder), Path(results), commits)
    chosen = _chosen(readings, commits, figures or (DEFAULT_FIGURE,), machines, rows)
    if plot_file:
        plot.draw(sections(chosen), Path(plot_file))
    if json_target is not None:
        put_json(json_target, {"schema": HISTORY_SCHEMA, "series": [as_json(series) for series in chosen]})
    if json_target != STDOUT:
        _print(sections(chosen), commits)


def _readings(source: str, asv_folder: Path, results: Path, commits: "Sequence[Commit]") -> "Sequence[Reading]":
    """Read everything there is; print a warning for what had to be skipped."""
    from rnnbench.tracking import asv_results, from_runs

    parts = [asv_results.read(asv_folder)] if source != "runs" else []
    parts += [from_runs.read(results, commits)] if source != "asv" else []
    problems = [problem for part in parts for problem in part.problems]
    for problem in problems:
        warn(problem)
    if problems:
        note(f"{counted(len(problems), 'file')} skipped")
    return [reading for part in parts for reading in part.readings]


def _chosen(
    readings: "Sequence[Reading]",
    commits: "Sequence[Commit]",
    figures: "Sequence[str]",
    machines: "Sequence[str]",
    rows: "dict[str, tuple[str, ...]]",
) -> "list[FigureSeries]":
    """Return the series that were asked for, without those that hold nothing but gaps: backends that have no other are
    named on stderr. Raises UsageError for none."""
    from rnnbench.tracking.series import in_order

    if not readings:
        raise UsageError("there is nothing to show yet; record a commit with `rnnbench compare --track`")
    known = {reading.figure for reading in readings}
    for figure in figures:
        if figure not in known:
            raise UnknownName("figure", figure, sorted(known))
    wanted = [
        reading
        for reading in readings
        if reading.figure in figures
        and (not machines or reading.machine in machines)
        and all(not names or dict(reading.labels).get(label) in names for label, names in rows.items())
    ]
    series = in_order(wanted, commits)
    chosen = [one for one in series if any(value is not None for value in one.values)]
    absent = {one.column for one in series} - {one.column for one in chosen}
    if absent:
        note(f"n/a at every commit, as not installed or failed: {', '.join(sorted(absent))}")
    if not chosen:
        raise UsageError("no series fits; leave out --machine, --task, --cell or --backend to see what there is")
    return chosen


def _print(sections: "Sequence[HistorySection]", commits: "Sequence[Commit]") -> None:
    out = console()
    subjects = {commit.hash: commit.subject for commit in commits}
    for section in sections:
        out.print(printable(section.title), style="bold")
        figures = [ListColumn(name, right=True) for name in section.columns]
        print_table(
            section.rows(subjects),
            [ListColumn("commit"), ListColumn("date"), *figures, ListColumn("subject", wraps=True)],
        )
        for line in section.sentences(commits) or ["No steps."]:
            out.print(printable(line), soft_wrap=True)
        out.print("")
