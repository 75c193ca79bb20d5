"""`rnnbench plugins`: what was loaded and from where, whether a backend or baseline keeps its promises, a new one."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rnnbench.cli._complete import NAMES
from rnnbench.cli._console import console
from rnnbench.cli._exit_codes import FAILED, OK
from rnnbench.cli._group import Strict
from rnnbench.cli._listing import ListColumn, put_listing, show
from rnnbench.cli._options import json_flag, load_plugins, plugin_option, traceback_option
from rnnbench.errors import UsageError
from rnnbench.report.text import printable

if TYPE_CHECKING:
    from rnnbench.testing import PropertyResult


@click.group(cls=Strict)
def command() -> None:
    """See which plugins are loaded, check a backend, begin a new one."""


@command.command("list")
@plugin_option
@json_flag
@traceback_option
def list_plugins(plugins: tuple[str, ...], as_json: bool) -> None:
    """List every plugin, the built-in ones too, and those left out with the reason."""
    registry = load_plugins(plugins)
    rows: list[dict[str, object]] = [
        {"plugin": name, "origin": origin, "status": "loaded", "problem": ""}
        for name, origin in registry.plugins.items()
    ]
    rows += [
        {"plugin": problem.plugin, "origin": "", "status": "left out", "problem": problem.message}
        for problem in registry.problems
    ]
    show(
        rows,
        [ListColumn("plugin"), ListColumn("origin"), ListColumn("status"), ListColumn("problem", wraps=True)],
        as_json,
    )


@command.command()
@click.argument("name", metavar="BACKEND|BASELINE", shell_complete=NAMES["--backend"])
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads it may use.")
@plugin_option
@json_flag
@traceback_option
def check(name: str, threads: int, plugins: tuple[str, ...], as_json: bool) -> int:
    """Hold a backend or a baseline to every promise of the contract, one line each.

    Exit code 0 where it keeps them all, 1 where it breaks one.
    """
    from dataclasses import asdict

    from rnnbench.testing import check_backend, check_baseline

    registry, told = load_plugins(plugins), None if as_json else _print
    if name in registry.baselines and name not in registry.backends:
        findings = []
        for finding in check_baseline(registry.baselines[name]):
            findings.append(finding)
            if told:
                told(finding)
    else:
        findings = check_backend(registry.backend(name), threads, on_result=told)
    if as_json:
        put_listing(rows=[asdict(finding) for finding in findings])
    return FAILED if any(finding.ok is False for finding in findings) else OK


def _print(finding: "PropertyResult") -> None:
    """Print a result as soon as it is there: some take their time."""
    from rich.text import Text

    verdict, colour = {True: ("ok", "green"), False: ("FAILED", "red"), None: ("not judged", "yellow")}[finding.ok]
    figure = "" if finding.figure is None else f"{finding.figure:.2g} of {finding.tolerance:g}"
    line = Text.assemble(
        f"{finding.property:18}", (f"{verdict:11}", colour), f"{figure:17} ", printable(finding.reason)
    )
    line.rstrip()
    console().print(line, soft_wrap=True)


@command.command()
@click.argument("name")
@click.option(
    "--in", "folder", default=".", metavar="DIR", type=click.Path(exists=True, file_okay=False), help="Where to write."
)
@traceback_option
def new(name: str, folder: str) -> None:
    """Write a package for a backend of your own, which passes every check, to begin from."""
    from rnnbench.scaffold import write_package

    if name in load_plugins(()).backends:
        raise UsageError(f"there is a backend {name!r} already; take another name")
    written = write_package(name, Path(folder))
    click.echo(f"wrote {written}; next:")
    click.echo(f"  pip install -e {written}")
    click.echo(f"  rnnbench plugins check {name}")
