"""`compare --track`: the suite's own rows, measured and recorded by asv, and then shown as any comparison."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from rnnbench.records.store import Run

ALLOWED = ("track", "quick", "results", "json_target", "exports", "traceback")
PROFILE = "RNNBENCH_PROFILE"


def record(ctx: click.Context, results: str, quick: bool) -> "Run":
    """Return the run that the suite has stored. Raises UsageError for options that would choose other rows than the
    suite's: a series over commits needs the same ones each time."""
    from rnnbench.cli._console import note
    from rnnbench.errors import UsageError
    from rnnbench.tracking import recording
    from rnnbench.tracking.commits import Repository

    for option in ctx.command.params:
        given = ctx.get_parameter_source(option.name or "") is not ParameterSource.DEFAULT
        if given and option.name not in ALLOWED:
            raise UsageError(f"{option.opts[0]} does not go with --track: the asv suite settles what is measured")
    profile = "quick" if quick else os.environ.get(PROFILE, "default")
    recorded = recording.record(Repository(Path.cwd()), Path(results), profile)
    if recorded.commit is None:
        note("the working tree has changes: the run is marked dirty, and asv has no commit to file it under")
    else:
        note(f"filed under {recorded.commit}; `rnnbench history` shows it")
    return recorded.run
