"""Files for other programs: rows as CSV, the report as Markdown; written whole or not at all."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from rnnbench import atomic
from rnnbench.errors import UsageError
from rnnbench.records.record import COLUMNS, Record
from rnnbench.records.store import Run, StoredGroup
from rnnbench.report.document import Report
from rnnbench.report.markdown import render
from rnnbench.report.text import printable

FORMULA_STARTS = ("=", "+", "-", "@")  # a spreadsheet would run what follows


def check_suffix(path: Path) -> None:
    """Raise UsageError for a file that `export` does not know how to write."""
    if path.suffix not in _WRITERS:
        raise UsageError(f"cannot export to {path.name!r}: its name must end in {' or '.join(_WRITERS)}")


def export(path: Path, run: Run, groups: Sequence[StoredGroup] | None = None) -> None:
    """Write a run by the name's ending: .csv or .md. groups: the run's, where they are at hand. Raises UsageError where
    it cannot be written."""
    check_suffix(path)
    write_file(path, _WRITERS[path.suffix](run, run.groups() if groups is None else groups))


def records_csv(records: Iterable[Record]) -> str:
    """Return one line per record with the columns of `Record`; warnings are joined by semicolons, None is empty."""
    return rows_csv(COLUMNS, ([getattr(record, name) for name in COLUMNS] for record in records))


def rows_csv(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a head and one line a row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def write_file(path: Path, text: str) -> None:
    """Write a file that was asked for, whole or not at all. Raises UsageError where the system refuses."""
    try:
        atomic.write(path, text)
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror or error}; name another file") from None


def _cell(value: object) -> object:
    if isinstance(value, tuple):
        value = "; ".join(value)
    if isinstance(value, str):
        value = printable(value)
        return f"'{value}" if value.lstrip().startswith(FORMULA_STARTS) else value
    return value


def _csv(run: Run, groups: Sequence[StoredGroup]) -> str:
    return records_csv(record for group in groups for record in group.records)


def _markdown(run: Run, groups: Sequence[StoredGroup]) -> str:
    return render(Report.of(run, groups))


_WRITERS = {".csv": _csv, ".md": _markdown}
