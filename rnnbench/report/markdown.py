"""A report in Markdown, with all columns."""

from collections.abc import Iterator

from rnnbench.report.document import Report, Section
from rnnbench.report.text import printable

_ESCAPES = {"\\": "\\\\", "|": "\\|", "<": "&lt;", "&": "&amp;", "`": "\\`", "*": "\\*", "_": "\\_"}
_TABLE = str.maketrans(_ESCAPES)


def escape(text: str) -> str:
    """`text` as it reads: no table, markup, link or image can come out of it."""
    return printable(text).translate(_TABLE).replace("](", "]\\(")


def render(report: Report) -> str:
    """The whole report as one Markdown text."""
    lines = [f"# {escape(report.title)}", ""]
    for section in report.sections:
        lines += _section(section)
    lines += [f"- {escape(line)}" for line in report.closing]
    return "\n".join(lines) + "\n"


def _section(section: Section) -> Iterator[str]:
    yield from (f"## {escape(section.title)}", "", escape(section.score), "")
    yield _row(f"{column.name} ({column.unit})" if column.unit else column.name for column in section.columns)
    yield "|" + "|".join("--:" if column.right else ":--" for column in section.columns) + "|"
    for cells in zip(*(column.cells for column in section.columns), strict=True):
        yield _row(cells)
    yield ""
    yield from (f"- {escape(line)}" for line in (*section.troubles, *section.findings, *section.basis))
    yield ""


def _row(cells: "Iterator[str] | tuple[str, ...]") -> str:
    return "| " + " | ".join(escape(cell) for cell in cells) + " |"
