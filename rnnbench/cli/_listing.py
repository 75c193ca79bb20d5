"""Rows of a listing, as a table that gives every line its room or as JSON."""

from typing import Any

from rnnbench.cli._console import console
from rnnbench.cli._output import STDOUT, put_json
from rnnbench.report.text import printable, significant

LISTING_SCHEMA = 1


def show(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Prints `rows`, which share their keys."""
    if as_json:
        put_json(STDOUT, {"schema": LISTING_SCHEMA, "rows": rows})
    else:
        print_table(rows)


def print_table(rows: list[dict[str, Any]]) -> None:
    """Columns that are empty throughout are left out."""
    from rich.table import Table

    from rnnbench.report.terminal import RULED

    names = [name for name in (rows[0] if rows else ()) if any(row[name] not in ("", [], None) for row in rows)]
    table = Table(box=RULED, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for name in names:
        numeric = all(isinstance(row[name], int | float) and not isinstance(row[name], bool) for row in rows)
        first = name == names[0]
        table.add_column(name, justify="right" if numeric else "left", no_wrap=first or numeric, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in names))
    console().print(table)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return significant(value, 4)
    if isinstance(value, list):
        return printable(", ".join(value))
    return printable(str(value))
