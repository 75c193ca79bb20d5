"""`rnnbench forecast`: the steps after a table's end, by a model that `rnnbench train` has saved."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnbench.cli._exit_codes import OK
from rnnbench.cli._options import load_plugins, name_option, plot_option, plugin_option, traceback_option
from rnnbench.cli._table_options import file_options

if TYPE_CHECKING:
    import pandas as pd


@click.command()
@click.argument("model", metavar="MODEL")
@click.option("--csv", required=True, metavar="FILE|-", help="The series up to now, with the columns of training.")
@click.option("--out", default="-", metavar="FILE|-", help="Write the forecasts as CSV; - is stdout, the default.")
@plot_option
@name_option("--backend", "Who computes it; any that infers.", "numba")
@file_options
@plugin_option
@traceback_option
def command(
    model: str, csv: str, out: str, plot_file: str | None, backend: str, plugins: tuple[str, ...], **written: Any
) -> int:
    """Forecast the series of a table with the forecaster in file MODEL.

    There is a row for each series and step ahead, in the series' own unit: y, and the ends of its intervals.
    """
    from rnnbench.cli._console import note, warnings_told
    from rnnbench.cli._output import STDOUT, check_targets
    from rnnbench.forecasting.forecaster import load_forecaster
    from rnnbench.tables.options import TableOptions

    load_plugins(plugins)
    check_targets(out, plot_file=plot_file)
    with warnings_told():
        forecaster = load_forecaster(model)
        table = forecaster.read(csv, TableOptions(csv, **written))
        note(f"{table.source}: {', '.join(table.remarks)}")
        found = forecaster.forecast_series(table, backend)
    if plot_file:
        from rnnbench.forecasting.plot import draw

        draw(table, found, Path(plot_file))
    _put(found, out, out == STDOUT)
    if missing := forecaster.metadata.missing_levels:
        note(f"no {' and '.join(map(str, missing))} % intervals: the model's folds had too few errors for them")
    return OK


def _put(found: "pd.DataFrame", out: str, to_stdout: bool) -> None:
    text = found.to_csv(index=False, lineterminator="\n")
    if to_stdout:
        sys.stdout.write(text)
        return
    from rnnbench.report.export import write_file

    write_file(Path(out), text)
