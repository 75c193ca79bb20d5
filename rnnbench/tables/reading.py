"""Reads a file, standard input or a frame into columns, and says in one line what is wrong with it and where.

Rows are numbered as an editor shows them, from 1 at the header. What was inferred is kept, to be said.
"""

import csv
import io
import os
import re
import reprlib
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rnnbench.errors import UsageError, did_you_mean
from rnnbench.model import Array
from rnnbench.tables.dialect import MARKS, NO_MARK, counted, decode, refuse_no_header, separator_of
from rnnbench.tables.numbers import BadCell, read_numbers
from rnnbench.tables.opening import kind_of, read_bytes
from rnnbench.tables.options import TableOptions
from rnnbench.tables.place import Place
from rnnbench.tables.typed import frame_cells, numeric, parquet_cells, sheet_cells

if TYPE_CHECKING:
    import pandas as pd

MOST_COLUMNS = 10_000  # with more it is no table of series, and near names would be looked for among them for minutes
LONGEST_NAME = 300  # characters
HEAD = 1 << 16  # characters, which tell how all the others are written
TELLING = 200  # rows of another column, for its decimal mark


class Cells(Protocol):
    """The columns of a table by position, as texts and as they came."""

    def texts(self, at: int, most: int | None = None) -> list[str]: ...
    def typed(self, at: int) -> "pd.Series[Any] | None": ...


@dataclass(frozen=True)
class TextCells:
    """The fields of a text file, row by row."""

    rows: list[list[str]]

    def texts(self, at: int, most: int | None = None) -> list[str]:
        return [row[at].strip() for row in self.rows[:most]]

    def typed(self, at: int) -> None:
        return None


@dataclass(frozen=True)
class Table:
    """A table of n rows as it was written.

    columns: names as written, stripped. source: the file's name, for messages. rows int64 [n]: the number of the line
    in which each row begins. decimal: the mark that was told. separator: None where the source is typed.
    """

    columns: tuple[str, ...]
    source: str
    rows: Array
    cells: Cells
    decimal: str | None = None
    separator: str | None = None
    said: list[str] = field(default_factory=list)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return what was inferred of the file, and of the columns taken until now, each in a few words."""
        return tuple(dict.fromkeys(self.said))

    def place(self, index: int | None = None, column: str | None = None) -> Place:
        """Return where errors of the row of this index are."""
        return Place(self.source, None if index is None else int(self.rows[index]), column)

    def position(self, name: str) -> int:
        """Return which column has this name. Raises UsageError, with the nearest name."""
        found = self._positions.get(_same(name), [])
        if not found:
            raise self.place().error(f"there is no column {name!r}; {self._hint(name)}")
        if len(found) > 1:
            raise self.place().error(f"there are {len(found)} columns {name!r}; rename all but one")
        return found[0]

    def numbers(self, name: str) -> Array:
        """Return a column's numbers, float64 [n], NaN where missing.

        Raises UsageError, in one line that names file, row and column.
        """
        at = self.position(name)
        typed = self.cells.typed(at)
        if typed is not None:
            return numeric(self.place(column=name), self.rows, typed)
        try:
            found = read_numbers(self.cells.texts(at), self.decimal, lambda: self._decimals)
        except BadCell as bad:
            raise self.place(bad.index, name).error(str(bad)) from None
        self.said.extend(found.remarks)
        return found.values

    def texts(self, name: str) -> Array:
        """Return a column as texts, object [n], "" where a field is empty."""
        texts = np.empty(len(self.rows), object)
        texts[:] = self.cells.texts(self.position(name))
        return texts

    def head(self, name: str, most: int) -> list[str]:
        """Return the first texts of a column, at most so many."""
        return self.cells.texts(self.position(name), most)

    def others(self, taken: Collection[str]) -> list[str]:
        """Return the names of the columns that are not taken, and not those of several."""
        return [name for name in self.columns if name not in taken and len(self._positions[_same(name)]) == 1]

    def typed(self, name: str) -> "pd.Series[Any] | None":
        """Return the column as numbers or times if it came as such, else None."""
        return self.cells.typed(self.position(name))

    @cached_property
    def _positions(self) -> dict[str, list[int]]:
        positions: dict[str, list[int]] = {}
        for at, name in enumerate(self.columns):
            positions.setdefault(_same(name), []).append(at)
        return positions

    @cached_property
    def _decimals(self) -> set[str]:
        """Return the decimal marks that columns tell by themselves; if none does, a comma between columns is none."""
        found = set()
        for at in range(len(self.columns)):
            try:
                found.add(read_numbers(self.cells.texts(at, TELLING), None, set).decimal)
            except BadCell:
                continue
        told = {mark for mark in found if mark}
        return told or ({"."} if self.separator == "," else set())

    def _hint(self, name: str) -> str:
        if question := did_you_mean(name, self.columns):
            return question
        if len(self.columns) == 1 and self.separator:
            return f"the only one is {self.columns[0]!r}; if it is several, give their --separator"
        return f"the columns are {reprlib.repr(list(self.columns))}"


def read_table(options: TableOptions) -> Table:
    """Return the table of a path, of standard input ("-") or of a pandas frame.

    Raises UsageError, in one line, for what cannot be read or is no table.
    """
    if options.decimal not in (None, ".", ","):
        raise UsageError(f"the decimal mark is . or ,; got {options.decimal!r}")
    if not isinstance(options.source, str | os.PathLike):
        place = Place("the frame")
        cells = frame_cells(place, options.source)
    else:
        place, content = read_bytes(options.source)
        kind = kind_of(place, content)
        if kind == "text":
            return _text_table(place, content, options)
        cells = parquet_cells(place, content) if kind == "parquet" else sheet_cells(place, content, options.sheet)
    _check_names(place, cells.columns)
    if not len(cells.rows):
        raise place.error("there is a header and no row under it; it needs a row per time step")
    return Table(cells.columns, str(place.source), cells.rows, cells, options.decimal, said=list(cells.remarks))


def _text_table(place: Place, content: bytes, options: TableOptions) -> Table:
    text, remark = decode(place, content, options.encoding)
    remarks = [remark] if remark else []
    head = text[:HEAD]
    if len(text) > HEAD:
        head = head[: 1 + max(head.rfind("\n"), head.rfind("\r"))] or head
    first = re.match(r"sep=(.)\r?\n", head)  # how Excel says it to itself
    separator = separator_of(place, head, options.separator or (first[1] if first else None))
    rows, numbers = _records(place, text, separator)
    if first:
        rows, numbers = rows[1:], numbers[1:]
    if not rows:
        raise place.error("the file is empty; it needs a header and a row per time step")
    header = [name.strip() for name in rows.pop(0)]
    _check_names(place, header)
    if not any(header):
        raise Place(place.source, 1).error("the line is blank; fill it or take it out")
    refuse_no_header(place, header)
    if not rows:
        raise place.error("there is a header and no row under it; it needs a row per time step")
    _even(place, len(header), rows, numbers[1:])
    while not header[-1]:  # each line ends in a separator
        if any(row[len(header) - 1].strip() for row in rows):
            raise Place(place.source, 1).error("the last column has values and no name; name it")
        header.pop()
    if separator not in (",", NO_MARK):
        remarks.append(MARKS.get(separator, f"columns separated by {separator!r}"))
    line_numbers = np.array(numbers[1:], np.int64)
    return Table(tuple(header), str(place.source), line_numbers, TextCells(rows), options.decimal, separator, remarks)


def _records(place: Place, text: str, separator: str) -> tuple[list[list[str]], list[int]]:
    """Return the fields of each row, and the line it begins in; what is blank at the end is left out."""
    lines = io.TextIOWrapper(io.BytesIO(text.encode("utf-8", "surrogatepass")), "utf-8", "surrogatepass", newline="")
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    rows: list[list[str]] = []
    numbers = []
    row = 1
    try:
        for fields in reader:
            rows.append(fields)
            numbers.append(row)
            row = reader.line_num + 1
    except csv.Error as error:
        raise Place(place.source, row).error(f"not well-formed CSV ({error}); mend the row") from None
    while rows and not any(field.strip() for field in rows[-1]):
        rows.pop()
        numbers.pop()
    return rows, numbers


def _even(place: Place, width: int, rows: Sequence[list[str]], numbers: Sequence[int]) -> None:
    """Refuse rows of another number of fields than the header has; a separator more at the end of each is let pass."""
    widths = set(map(len, rows))
    if widths == {width} or (widths == {width + 1} and not any(row[width].strip() for row in rows)):
        return
    number, fields = next((number, row) for number, row in zip(numbers, rows, strict=True) if len(row) != width)
    if not any(field.strip() for field in fields):
        raise Place(place.source, number).error("the line is blank; fill it or take it out")
    raise Place(place.source, number).error(f"{counted(len(fields))} where the header has {width}; mend the row")


def _check_names(place: Place, columns: Sequence[str]) -> None:
    place = Place(place.source, 1)
    if len(columns) > MOST_COLUMNS:
        raise place.error(f"{len(columns)} columns, at most {MOST_COLUMNS} are taken; keep those you need")
    if (longest := max(map(len, columns), default=0)) > LONGEST_NAME:
        raise place.error(
            f"the name of a column has {longest} characters, at most {LONGEST_NAME} are taken; shorten it"
        )


def _same(name: str) -> str:
    """Return a name as it is compared: ä has two ways to be written."""
    return unicodedata.normalize("NFC", name.strip())
