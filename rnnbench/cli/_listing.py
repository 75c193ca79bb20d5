"""Rows of a listing: as JSON with every field, or as a table with those that a terminal has room for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rnnbench.cli._console import console
from rnnbench.cli._output import STDOUT, put_json
from rnnbench.report.text import printable

LISTING_SCHEMA = 1
WIDE = 110  # columns of a terminal from which the wide ones are shown too
Row = Mapping[str, object]


@dataclass(frozen=True)
class ListColumn:
    """name: the head, and the row's field unless `text` makes the cell. wraps: may be broken into lines. wide: left
    out on a narrow terminal. right: aligned so, for figures."""

    name: str
    text: Callable[[Row], str] | None = None
    wraps: bool = False
    wide: bool = False
    right: bool = False

    def cell(self, row: Row) -> str:
        value = self.text(row) if self.text else row[self.name]
        return printable(", ".join(value) if isinstance(value, list) else str(value))


def put_listing(**content: object) -> None:
    """Write what a command lists to stdout as JSON."""
    put_json(STDOUT, {"schema": LISTING_SCHEMA, **content})


def show(rows: Sequence[Row], columns: Sequence[ListColumn], as_json: bool) -> None:
    """Print `rows`."""
    if as_json:
        put_listing(rows=rows)
    else:
        print_table(rows, columns)


def print_table(rows: Sequence[Row], columns: Sequence[ListColumn]) -> None:
    """Print a table, without the columns that are empty throughout."""
    from rich.table import Table

    from rnnbench.report.terminal import RULED

    out = console()
    table = Table(box=RULED, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    shown = [c for c in columns if (out.width >= WIDE or not c.wide) and any(c.cell(row) for row in rows)]
    for column in shown:
        table.add_column(
            column.name, justify="right" if column.right else "left", no_wrap=not column.wraps, overflow="fold"
        )
    for row in rows:
        table.add_row(*(column.cell(row) for column in shown))
    out.print(table)
