"""Markdown: a report with all its columns, and the tables of other pages."""

from collections.abc import Collection, Iterable, Iterator, Sequence

from rnnbench.report.document import Report, Section
from rnnbench.report.text import printable

_ESCAPES = {"\\": "\\\\", "|": "\\|", "<": "&lt;", "&": "&amp;", "`": "\\`", "*": "\\*", "_": "\\_"}
_TABLE = str.maketrans(_ESCAPES)


def escape(text: str) -> str:
    """Return what reads as `text`: no table, markup, link or image can come out of it."""
    return printable(text).translate(_TABLE).replace("](", "]\\(")


def render(report: Report) -> str:
    """Return the whole report as one text."""
    lines = [f"# {escape(report.title)}", ""]
    for section in report.sections:
        lines += _section(section)
    lines += [f"- {escape(line)}" for line in report.closing]
    return "\n".join(lines) + "\n"


def _section(section: Section) -> Iterator[str]:
    yield from (f"## {escape(section.title)}", "", escape(section.score), "")
    if section.inferred:
        yield from (escape(section.inferred), "")
    heads = [escape(f"{column.name} ({column.unit})" if column.unit else column.name) for column in section.columns]
    lines = zip(*(map(escape, column.cells) for column in section.columns), strict=True)
    yield table(heads, lines, [number for number, column in enumerate(section.columns) if not column.right])
    yield ""
    yield from (f"- {escape(line)}" for line in (*section.troubles, *section.findings, *section.basis))
    yield ""


def table(heads: Sequence[str], lines: Iterable[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """Return a table of cells that are Markdown already. left: the columns aligned so; the others hold figures."""
    rule = "|".join(":--" if number in left else "--:" for number in range(len(heads)))
    return "\n".join([row(heads), f"|{rule}|", *map(row, lines)])


def row(cells: Iterable[str]) -> str:
    """Return one line of a table."""
    return f"| {' | '.join(cells)} |"
