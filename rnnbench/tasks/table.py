"""Reads number columns of a CSV file, and says in one line what is wrong with it and where.

Rows are numbered as an editor shows them, from 1 at the header. The file is UTF-8, with a byte order mark or without.
"""

import csv
import math
import reprlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from rnnbench.errors import did_you_mean
from rnnbench.model import Array
from rnnbench.tables.place import Place

MOST_COLUMNS = 10_000  # with more it is no table of series, and near names would be looked for among them for minutes
MOST_BYTES = 1 << 28  # far above any series that a cell could be trained on
MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "-", "?"))


def read_columns(path: Path, names: Sequence[str]) -> Array:
    """Return the columns of these names, float64 [n, len(names)] with n >= 1.

    Raises UsageError, in one line that names file, row and column.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ValueError("not an ordinary file")
        if path.exists() and path.stat().st_size > MOST_BYTES:
            raise ValueError(f"larger than the {MOST_BYTES} bytes that are read")
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise Place(path).error(f"{reason.lower()}; give the path of a CSV file") from None
    rows = _rows(path, content)
    first, header = next(rows, (1, []))
    if not header:
        raise Place(path).error("the file is empty; it needs a header and a row per time step")
    positions = _positions(Place(path, first), [field.strip() for field in header], names)
    values = []
    for row, fields in rows:
        if len(fields) != len(header):
            raise Place(path, row).error(f"{len(fields)} fields where the header has {len(header)}; mend the row")
        values.append([_number(Place(path, row, name), fields[at]) for name, at in zip(names, positions, strict=True)])
    if not values:
        raise Place(path).error("there is a header and no row under it; it needs a row per time step")
    return np.array(values, dtype=np.float64)


def _rows(path: Path, content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yield (the line it begins in, fields) of each row; blank lines are let pass at the end alone."""
    reader = csv.reader(_lines(path, content), skipinitialspace=True, strict=True)
    row, blank = 1, None
    try:
        for fields in reader:
            if not fields:
                blank = blank or row
            elif blank:
                raise Place(path, blank).error("the line is blank; fill it or take it out")
            else:
                yield row, fields
            row = reader.line_num + 1
    except csv.Error as error:
        raise Place(path, row).error(f"not well-formed CSV ({error}); mend the row") from None


def _lines(path: Path, content: bytes) -> Iterator[str]:
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:  # every other byte of ASCII in UTF-16
            raise Place(path, number).error("not UTF-8 text; save the file as CSV in UTF-8")
        yield text


def _positions(place: Place, header: list[str], names: Sequence[str]) -> list[int]:
    if len(header) > MOST_COLUMNS:
        raise place.error(f"{len(header)} columns, at most {MOST_COLUMNS} are taken; keep those you need")
    for name in names:
        if name not in header:
            raise place.error(f"there is no column {name!r}; {_hint(header, name)}")
        if header.count(name) > 1:
            raise place.error(f"there are {header.count(name)} columns {name!r}; rename all but one")
    return [header.index(name) for name in names]


def _hint(header: list[str], name: str) -> str:
    if question := did_you_mean(name, header):
        return question
    if len(header) == 1 and any(separator in header[0] for separator in ";\t|"):
        return "separate the columns by commas"
    return f"the columns are {reprlib.repr(header)}"


def _number(place: Place, field: str) -> float:
    text = field.strip()
    if text.lower() in MISSING:
        raise place.error("the value is missing; fill it or take the row out")
    try:
        value = float("no number" if "_" in text else text)  # float takes 1_000; other programs do not
    except ValueError:
        raise place.error(f"{reprlib.repr(text)} is not a number; write it like 1234.5") from None
    if not math.isfinite(value):
        raise place.error(f"{reprlib.repr(text)} is not finite; fill it or take the row out")
    return value
