"""A report for a terminal: as many columns as it is wide, lines broken between words."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from rich.box import Box
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from rnnbench.report.columns import ALWAYS, Column
from rnnbench.report.document import Report, Section
from rnnbench.report.text import printable

RULED = Box("    \n    \n ── \n    \n    \n    \n    \n    \n")  # a rule under the head and nothing else


def render(report: Report, console: Console) -> Iterator[RenderableType]:
    """What to print on `console`, in order."""
    for section in report.sections:
        yield from _section(section, console)
    for line in report.closing:
        yield _paragraph(line, console.width, "dim")


def _section(section: Section, console: Console) -> Iterator[RenderableType]:
    yield _paragraph(section.title, console.width, "bold")
    yield _paragraph(section.score, console.width, "dim")
    yield Text("")
    yield fitted(section, console)
    yield Text("")
    for line in section.troubles:
        yield _paragraph(line, console.width, "yellow")
    for line in section.findings:
        yield _paragraph(line, console.width, "")
    for line in section.basis:
        yield _paragraph(line, console.width, "dim")
    yield Text("")


def fitted(section: Section, console: Console) -> Table:
    """The table with the columns there is room for, the most important first."""
    chosen = [column for column in section.columns if column.priority == ALWAYS]
    options = console.options.update(width=10_000)
    for column in sorted(section.columns, key=lambda column: column.priority):
        if column.priority == ALWAYS:
            continue
        wider = [c for c in section.columns if c in chosen or c is column]
        if Measurement.get(console, options, _table(wider, section.failed)).maximum <= console.width:
            chosen = wider
    return _table(chosen, section.failed)


def _table(columns: Sequence[Column], failed: Iterable[bool]) -> Table:
    table = Table(box=RULED, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        head = f"{column.name}\n{column.unit}" if any(c.unit for c in columns) else column.name
        table.add_column(head, justify="right" if column.right else "left", no_wrap=True)
    for cells, bad in zip(zip(*(column.cells for column in columns), strict=True), failed, strict=True):
        table.add_row(*(printable(cell) for cell in cells), style="yellow" if bad else None)
    return table


def _paragraph(text: str, width: int, style: str) -> Text:
    """Broken between words only, never inside a name or an interval; later lines stand in by two."""
    lines = textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False)
    return Text("\n".join(printable(line) for line in lines), style=style)
