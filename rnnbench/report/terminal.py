"""A report for a terminal: as many columns as it is wide, lines broken between words."""

import textwrap
from collections.abc import Iterator, Sequence

from rich.box import Box
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from rnnbench.report.columns import ALWAYS
from rnnbench.report.document import Report, Section
from rnnbench.report.text import joined, printable

RULED = Box("    \n    \n ── \n    \n    \n    \n    \n    \n")  # a rule under the head and nothing else


def render(report: Report, console: Console) -> Iterator[RenderableType]:
    """Yield what to print on `console`, in order. All tables show the same columns: those that the widest has room
    for."""
    level = _level(report.sections, console)
    for section in report.sections:
        yield from _section(section, level, console.width)
    if left_out := _left_out(report.sections, level):
        yield _paragraph(left_out, console.width, "dim")
    for line in report.closing:
        yield _paragraph(line, console.width, "dim")


def _section(section: Section, level: int, width: int) -> Iterator[RenderableType]:
    yield _paragraph(section.title, width, "bold")
    yield from (_paragraph(line, width, "dim") for line in (section.score, section.inferred) if line)
    yield Text("")
    yield _table(section, level)
    yield Text("")
    for lines, style in ((section.troubles, "yellow"), (section.findings, ""), (section.basis, "dim")):
        yield from (_paragraph(line, width, style) for line in lines)
    yield Text("")


def _level(sections: Sequence[Section], console: Console) -> int:
    """Return the highest priority up to which the columns of every section fit."""
    unlimited = console.options.update(width=10_000)
    chosen = ALWAYS
    for level in sorted({column.priority for section in sections for column in section.columns}):
        widths = (Measurement.get(console, unlimited, _table(section, level)).maximum for section in sections)
        if max(widths) > console.width:
            break
        chosen = level
    return chosen


def _left_out(sections: Sequence[Section], level: int) -> str | None:
    """Name the columns that there is no room for, and where they are; None where all are shown."""
    names = {
        column.long or column.name: None
        for section in sections
        for column in section.columns
        if column.priority > level
    }
    where = "a wider terminal shows them, --export report.md writes all"
    return f"No room for the columns {joined(list(names))}: {where}." if names else None


def _table(section: Section, level: int) -> Table:
    """Return the columns up to priority `level`; lines with a failure are coloured."""
    columns = [column for column in section.columns if column.priority <= level]
    two_lines = any(column.unit for column in columns)
    table = Table(box=RULED, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        head = f"{column.name}\n{column.unit}" if two_lines else column.name
        table.add_column(head, justify="right" if column.right else "left", no_wrap=True)
    for cells, bad in zip(zip(*(column.cells for column in columns), strict=True), section.failed, strict=True):
        table.add_row(*(printable(cell) for cell in cells), style="yellow" if bad else None)
    return table


def _paragraph(text: str, width: int, style: str) -> Text:
    """Break lines between words only, never inside a name or an interval; later lines stand in by two."""
    lines = textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False)
    return Text("\n".join(printable(line) for line in lines), style=style)
