"""Numbers as people write them: 1234.5, 1.234,5, 1'234.50, (1,234), 12 %, 3,50 €.

Which mark is the decimal one is decided by a whole column: 1201,006 cannot be of thousands, 0.123 neither, and 1,234.5
is one reading alone. Where every number of it may be either (1.234), the file's other columns decide, or nobody does.
"""

import re
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rnnbench.model import Array

MISSING = frozenset(
    ("", "na", "n/a", "n.a.", "#n/a", "#nv", "<na>", "nan", "nat", "null", "none", "-", "–", "—", "?", ".", "..")
)
LONGEST = 400  # characters of a number: the largest float has 309 digits
_SPACE = "[ \u00a0\u2009\u202f]"
_SIGN = "[+\u2212-]?"
_CODES = "EUR|USD|GBP|CHF|JPY|CNY|INR|AUD|CAD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|RON|TRY|RUB|BRL|MXN|ZAR|KRW|SGD|HKD"
_MONEY = rf"[A-Z]{{0,2}}[$€£¥₹₩₽₺₫₪฿¢]|zł|kr|{_CODES}"
_BODY = rf"[0-9.,](?:[0-9.,'’]|{_SPACE}(?=[0-9]))*(?:[eE][+-]?[0-9]+)?"
_NUMBER = re.compile(rf"(\()?({_SIGN}){_SPACE}*({_MONEY})?{_SPACE}*({_SIGN})({_BODY}){_SPACE}*(%|{_MONEY})?(-)?(\))?")


def _grammar(decimal: str, mark: str) -> re.Pattern[str]:
    """Return what a number looks like with this decimal mark and, maybe, that one for thousands."""
    plain = rf"(?:[0-9]+(?:{decimal}[0-9]*)?|{decimal}[0-9]+)(?:[eE][+-]?[0-9]+)?"
    groups = "|".join(rf"(?:{between}[0-9]{{3}})+" for between in (mark, "['’]", _SPACE))
    return re.compile(rf"{plain}|[1-9][0-9]{{0,2}}(?:{groups})(?:{decimal}[0-9]*)?")


_GRAMMARS = {".": _grammar(r"\.", ","), ",": _grammar(",", r"\.")}
_THOUSANDS = str.maketrans("", "", "'’ \u00a0\u2009\u202f")


class BadCell(Exception):
    """A cell that is no number: which one, and in words that lead out."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


@dataclass(frozen=True)
class Numbers:
    """values float64 [n], NaN where missing. decimal: the mark that was seen as such, None where no cell tells."""

    values: Array
    decimal: str | None = None
    remarks: tuple[str, ...] = ()


class _Written(NamedTuple):
    at: int
    negative: bool
    body: str  # digits and marks
    unit: str  # "%", a currency, or ""


def read_numbers(cells: Sequence[str], decimal: str | None, elsewhere: Callable[[], set[str]]) -> Numbers:
    """Return the numbers of a column. decimal: the mark, if told; elsewhere: what the file's other columns say.

    Values are those of `float`, to the last bit. Raises BadCell.
    """
    for mark in decimal or ".,":
        values = _of_plain(cells, mark)
        if values is not None and (decimal or not _may_be_thousands(cells, mark)):
            seen = any(mark in cell for cell in cells)
            return Numbers(values, mark if seen else None, ("decimal commas",) if seen and mark == "," else ())
    written = _written(cells)
    _one_unit(cells, written)
    mark = _mark(cells, written, decimal, elsewhere)
    values = np.full(len(cells), np.nan)
    as_python_writes = _THOUSANDS | {ord("," if mark == "." else "."): None, ord(mark): "."}
    for index, negative, body, _ in written:
        value = float(body.translate(as_python_writes))
        if value == np.inf:
            raise BadCell(index, f"{reprlib.repr(cells[index])} is not finite; fill it or take the row out")
        values[index] = -value if negative else value
    return Numbers(values, *_seen(written, mark))


def _of_plain(cells: Sequence[str], mark: str) -> Array | None:
    """Return the values where each cell is empty or written like 1234.5 or 1e3: the most frequent case, and fast."""
    text = "".join(cells)  # float takes 1_000 and digits of other scripts; other programs do not
    if "_" in text or not text.isascii() or (mark == "," and "." in text):
        return None
    try:
        values = np.array(
            [float(cell.replace(",", ".") if mark == "," else cell) if cell else np.nan for cell in cells]
        )
    except ValueError:
        return None
    return values if np.isfinite(values).sum() == sum(map(bool, cells)) else None


def _may_be_thousands(cells: Sequence[str], mark: str) -> bool:
    """Tell whether each such mark may stand between thousands, and there is one."""
    grammar = _GRAMMARS["," if mark == "." else "."]
    marked = [cell for cell in cells if mark in cell]  # most often the first of them says no
    return bool(marked) and all(grammar.fullmatch(cell.lstrip("+-")) for cell in marked)


def _written(cells: Sequence[str]) -> list[_Written]:
    found = []
    for index, cell in enumerate(cells):
        text = cell.strip()
        if text.lower() in MISSING:
            continue
        parts = _parts(index, text)
        if parts is None:
            raise BadCell(index, _no_number(cells, index, text))
        found.append(parts)
    return found


def _parts(index: int, text: str) -> _Written | None:
    match = _NUMBER.fullmatch(text) if len(text) <= LONGEST else None
    if match is None:
        return None
    opened, sign, before, inner, body, after, trailing, closed = match.groups()
    signs = [one for one in (opened, sign, inner, trailing) if one]
    if bool(opened) != bool(closed) or len(signs) > 1 or (before and after):
        return None
    return _Written(index, bool(signs) and signs[0] != "+", body, before or after or "")


def _no_number(cells: Sequence[str], index: int, text: str) -> str:
    said = reprlib.repr(text)
    if text.lower().lstrip("+-") in ("inf", "infinity", "∞"):
        return f"{said} is not finite; fill it or take the row out"
    under = (cell.strip() for cell in cells[1:] if cell.strip().lower() not in MISSING) if index == 0 else iter(())
    if (following := next(under, None)) and _parts(1, following):
        return f"{said} is no number, unlike what is under it; take out lines of units or comments under the header"
    return f"{said} is not a number; write it like 1234.5"


def _one_unit(cells: Sequence[str], written: list[_Written]) -> None:
    """Refuse per cent beside plain numbers, and two currencies. Raises BadCell."""
    unit = next((one.unit for one in written if one.unit), "")
    for one in written:
        if one.unit != unit and (one.unit or unit == "%"):
            said = reprlib.repr(cells[one.at].strip())
            raise BadCell(one.at, f"{said} is in another unit than other cells, {unit!r}; write all of them alike")


def _mark(cells: Sequence[str], written: list[_Written], decimal: str | None, elsewhere: Callable[[], set[str]]) -> str:
    """Return the decimal mark of a column. Raises BadCell where none fits all cells, or both do."""
    marks = decimal or ".,"
    fitting = [mark for mark in marks if all(_GRAMMARS[mark].fullmatch(one.body) for one in written)]
    if not fitting:
        misfits = {mark: [one for one in written if not _GRAMMARS[mark].fullmatch(one.body)] for mark in marks}
        mark, (first, *_) = min(misfits.items(), key=lambda item: len(item[1]))
        said, words = reprlib.repr(cells[first.at].strip()), "points" if mark == "." else "commas"
        if "." not in first.body and "," not in first.body:
            raise BadCell(first.at, f"{said} is not a number; write it like 1234.5")
        message = f"{said} is no number with decimal {words}, as others here; write it alike or give --decimal"
        raise BadCell(first.at, message)
    marked = next((one for one in written if "." in one.body or "," in one.body), None)
    if len(fitting) == 1 or marked is None:
        return fitting[0]
    known = elsewhere()
    if len(known) != 1:
        said = cells[marked.at].strip()
        message = f"{reprlib.repr(said)} may have thousands or decimals; say which with --decimal . or --decimal ,"
        raise BadCell(marked.at, message)
    return next(iter(known))


def _seen(written: list[_Written], mark: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the decimal mark if a cell has it or the other one, and what is worth saying."""
    text = "".join(one.body for one in written)
    decimals, others = mark in text, ("," if mark == "." else ".") in text
    unit = next((one.unit for one in written if one.unit), "")
    remarks = {
        "decimal commas": decimals and mark == ",",
        "thousands marks": others or text.translate(_THOUSANDS) != text,
        "per cent as written" if unit == "%" else f"amounts in {unit}": unit,
    }
    return mark if decimals or others else None, tuple(words for words, seen in remarks.items() if seen)
