"""`rnnbench doctor`: what may spoil a measurement on this machine, and its own noise."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rnnbench.cli._console import console
from rnnbench.cli._listing import put_listing
from rnnbench.cli._options import json_flag, load_plugins, plugin_option, results_option, traceback_option
from rnnbench.report.text import printable

if TYPE_CHECKING:
    from rnnbench.machine.doctor import HealthCheck


@click.command()
@click.option("--noise", is_flag=True, help="Time numba against itself; what that shows is the least that counts.")
@json_flag
@results_option
@plugin_option
@traceback_option
def command(noise: bool, as_json: bool, results: str, plugins: tuple[str, ...]) -> None:
    """Look at this machine, as a measurement would: one line a topic, one action for each warning.

    With --noise the result is kept beside the stored runs, and counts in every comparison after it.
    """
    from dataclasses import asdict

    from rnnbench.aa_noise import measure_noise
    from rnnbench.cli._progress import listening
    from rnnbench.machine.doctor import gather, judge
    from rnnbench.machine.environment import core_count, cpu_model, machine_id
    from rnnbench.records.store import Store

    registry, store, here = load_plugins(plugins), Store(Path(results)), machine_id(cpu_model(), core_count())
    if noise:
        with listening() as listener:
            store.keep_noise(here, measure_noise(listener))
    findings = list(judge(gather(registry, store.known_noise(here))))
    if as_json:
        put_listing(rows=[asdict(finding) for finding in findings])
        return
    for finding in findings:
        _print(finding)


def _print(finding: "HealthCheck") -> None:
    from rich.text import Text

    out = console()
    out.print(Text.assemble((f"{finding.topic:15} ", "bold"), printable(finding.value)), soft_wrap=True)
    if finding.warning:
        words = f"{finding.warning}; {finding.action}"
        out.print(Text.assemble(" " * 16, ("warning: ", "yellow"), printable(words)), soft_wrap=True)
