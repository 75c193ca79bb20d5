"""Files for other programs: rows as CSV, the report as Markdown; written whole or not at all."""

import csv
import io
from collections.abc import Callable, Iterable
from pathlib import Path

from rnnbench import atomic
from rnnbench.errors import UsageError
from rnnbench.report.document import Report
from rnnbench.report.markdown import render
from rnnbench.report.text import printable

SUFFIXES = (".csv", ".md")
FORMULA_STARTS = ("=", "+", "-", "@")  # a spreadsheet would run what follows


def check_suffix(path: Path) -> None:
    """Raise UsageError for a file that `export` does not know how to write."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"cannot export to {path.name!r}: its name must end in {' or '.join(SUFFIXES)}")


def export(path: Path, columns: Iterable[str], rows: Iterable[Iterable[object]], report: Callable[[], Report]) -> None:
    """Write by the name's ending: rows to .csv, the report to .md. Raises UsageError where it cannot be written."""
    write_file(path, rows_csv(columns, rows) if path.suffix == ".csv" else render(report()))


def rows_csv(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a head and one line a row; the items of a list are joined by semicolons, None is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file that was asked for, whole or not at all. Raises UsageError where the system refuses."""
    try:
        atomic.write(path, content)
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror or error}; name another file") from None


def _cell(value: object) -> object:
    if isinstance(value, list):
        value = "; ".join(value)
    if isinstance(value, str):
        value = printable(value)
        return f"'{value}" if value.lstrip().startswith(FORMULA_STARTS) else value
    return value
