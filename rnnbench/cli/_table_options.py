"""The options of commands that take a table of the user's own, by the names of `rnnbench.compare`."""

from collections.abc import Callable
from functools import reduce

import click

from rnnbench.cli._options import Command, number_option

FILLINGS = ("none", "forward", "interpolate", "seasonal")


def _columns(flag: str, help: str) -> Callable[[Command], Command]:
    """Return an option of column names, which may hold commas: whoever knows the columns tells which separate names."""
    return click.option(flag, multiple=True, metavar="COLUMN[,...]", help=help)


WRITTEN = (
    click.option("--separator", metavar="CHAR", help="Between columns; inferred by default."),
    click.option("--decimal", type=click.Choice([".", ","]), help="The decimal mark; inferred by default."),
    click.option("--encoding", metavar="NAME", help="Of the file's text; inferred by default."),
    click.option("--day-first/--month-first", default=None, help="How 1/2/2024 is meant; inferred where it is plain."),
    click.option("--sheet", metavar="NAME", help="Of an .xlsx file; the first by default."),
)
READING = (
    click.option("--csv", "csv", metavar="FILE|-", help="Forecast series of your own: CSV, .csv.gz, .parquet, .xlsx."),
    _columns("--target", "The column to forecast; or several of a wide table, with * for any letters, or all."),
    click.option("--time", metavar="COLUMN", help="The column of times; found by itself where it is plain."),
    click.option("--id", metavar="COLUMN", help="The column that tells series apart, where there are several."),
    _columns("--past", "Columns known as late as the target, to forecast from too."),
    _columns("--features", "The same as --past."),
    _columns("--known", "Columns known ahead: of each forecast's steps too."),
    _columns("--static", "Columns that stay as they are within a series."),
    click.option("--fill", type=click.Choice(FILLINGS), help="Fill gaps and missing values, which are refused else."),
    click.option("--frequency", metavar="F", help="Step in time as pandas writes it (D, h, MS), or rows; inferred."),
    number_option("--season", "season", int, "Steps of a period; as the frequency suggests by default."),
)
CUTTING = (
    number_option("--window", "window", int, "Past rows that a forecast sees; 24 where the series are long enough."),
    number_option("--horizon", "horizon", int, "Steps ahead that are forecast, all from 1 on; 1 by default."),
    click.option("--at-horizon", is_flag=True, help="Forecast the step --horizon alone."),
    click.option(
        "--recursive", is_flag=True, help="Learn one step and feed forecasts back, instead of learning all steps."
    ),
    click.option(
        "--metric", metavar="NAME", help="The score that ranks: persistence (default), mae, rmse, mase, smape."
    ),
    click.option(
        "--relative", is_flag=True, help="Take each window's last value off it: for series with a trend or a drift."
    ),
    number_option("--test", "test", int, "Rows of each series to test on, its last; a fifth by default."),
    number_option("--step", "step", int, "Rows between the forecasts of the test part; 1 by default."),
)


def table_options(command: Command) -> Command:
    """Add the options that say what a table is and how it is cut."""
    return reduce(lambda made, option: option(made), reversed((*READING, *WRITTEN, *CUTTING)), command)


def file_options(command: Command) -> Command:
    """Add the options that say how a table's file is written."""
    return reduce(lambda made, option: option(made), reversed(WRITTEN), command)
