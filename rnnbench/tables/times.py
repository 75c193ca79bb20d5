"""Times as people write them: 2021-01-31 10:00, 31.1.2021, 1/31/21, 31 Jan 2021, 2021Q1, 2021M01, 2021-W05, 2021.

Whether the day comes first is decided by the whole column; where each date may be read both ways, nobody decides.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rnnbench.errors import UsageError
from rnnbench.model import Array
from rnnbench.tables.numbers import MISSING
from rnnbench.tables.reading import Table

if TYPE_CHECKING:
    TypedColumn = pd.Series[Any]

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = f"({'|'.join(_MONTHS)})[a-z]*"
# Patterns with the orders that their parts may have: year, month, b for its name, quarter, week, day.
_FORMS = tuple(
    (re.compile(pattern, re.ASCII | re.IGNORECASE), tuple(orders.split()))
    for pattern, orders in (
        (r"(\d{4})[-/.](\d\d?)[-/.](\d\d?)", "ymd"),
        (r"(\d{4})(\d\d)(\d\d)", "ymd"),
        (r"(\d\d?)\.(\d\d?)\.(\d{4}|\d\d)", "dmy"),  # nobody writes month.day.year
        (r"(\d\d?)[-/](\d\d?)[-/](\d{4})", "dmy mdy"),
        (r"(\d\d?)[-/](\d\d?)[-/](\d\d)", "dmy mdy ymd"),
        (r"(\d{4})(?:[-/]|-?M)(\d\d?)", "ym"),
        (r"(\d{4})(\d\d)", "ym"),
        (r"(\d\d?)[-/](\d{4})", "my"),
        (r"(\d{4})[-/ ]?Q([1-4])", "yq"),
        (r"Q([1-4])[-/ ]?(\d{4})", "qy"),
        (r"(\d{4})-?W(\d\d?)", "yw"),
        (rf"(\d\d?)\.?[ -]?{_MONTH}\.?,?[ -]?(\d{{4}}|\d\d)", "dby"),
        (rf"{_MONTH}\.? (\d\d?),? (\d{{4}})", "bdy"),
        (rf"{_MONTH}\.?[ -]?(\d{{4}})", "by"),
        (r"(\d{4})", "y"),
    )
)
_FIRST = {"d": "day", "m": "month", "y": "year"}
_CLOCK = re.compile(
    r"(\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d{1,9})\d*)?)?(?: ?([ap])\.?m\.?)?(?: ?(z|utc|gmt|[+-]\d\d(?::?\d\d)?))?",
    re.ASCII | re.IGNORECASE,
)
_WHOLE = re.compile(r"[+-]?\d+(?:\.0*)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?", re.ASCII)
_YEARS = (1678, 2261)  # those that nanoseconds in 64 bits have room for
_SINCE_1970 = (
    ("s", "seconds", 1),
    ("ms", "milliseconds", 10**3),
    ("us", "microseconds", 10**6),
    ("ns", "nanoseconds", 10**9),
)
_NAMED = ("ds", "time", "date", "datetime", "timestamp", "datum", "zeit", "year", "jahr", "month")
_HEAD = 20  # texts that tell whether a column holds times


@dataclass(frozen=True)
class TimeColumn:
    """The times of n rows.

    values: datetime64[ns] [n], or int64 [n] where steps are only counted. clock: of no zone, so that hours may go
    forward and back. remarks: what was inferred, each in a few words.
    """

    values: Array
    clock: bool = False
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Column:
    """The different texts of a column. error: makes that of the row in which the text of an index stands first."""

    texts: list[str]
    error: Callable[[int, str], UsageError]

    def parts(self, parts: Sequence[str]) -> "tuple[Array, _Column]":
        """Return which part each text has, and the different parts."""
        codes, unique = pd.factorize(np.array(parts, object))
        return codes, _Column(list(unique), lambda at, why: self.error(int(np.argmax(codes == at)), why))


def find_times(table: Table, taken: Collection[str]) -> str | None:
    """Return the name of the column that plainly holds times, or None where none does. Raises UsageError for several.

    Texts count where most of the first ones are dates, or where the column's name says so; whole numbers if the name
    says so and they are years or days like 20210131, in `ds` always.
    """
    free = table.others(taken)
    if "ds" in free:
        return "ds"
    dated = [name for name in free if _looks_dated(table, name)]
    named = [name for name in dated if name.lower() in _NAMED]
    if len(dated) > 1 and len(named) != 1:
        raise table.place().error(f"times stand in {' and in '.join(map(repr, dated[:3]))}; say which with --time")
    return next(iter(named or dated), None)


def _looks_dated(table: Table, name: str) -> bool:
    typed = table.typed(name)
    if typed is not None and typed.dtype.kind == "M":
        return True
    head = _head(table, name)
    named = name.lower() in _NAMED
    if counted := _whole(head):
        return named and counted.values.dtype.kind == "M" and not counted.remarks
    words = [text for text in head if not _NUMBER.fullmatch(text) and not _CLOCK.fullmatch(text)]
    dated = sum(_form(_split(text)[0]) is not None for text in words)
    return 2 * (len(words) if named else dated) > len(head)


def find_clock(table: Table, time: str, taken: Collection[str]) -> str | None:
    """Return the name of the one column of times of day, where that of the times holds days alone."""
    if any(":" in text for text in _head(table, time)):
        return None
    clocks = [name for name in table.others(taken) if (head := _head(table, name)) and all(map(_CLOCK.fullmatch, head))]
    return clocks[0] if len(clocks) == 1 else None


def _head(table: Table, name: str) -> list[str]:
    return [text for text in table.head(name, 10 * _HEAD) if text.lower() not in MISSING][:_HEAD]


def read_times(table: Table, name: str, day_first: bool | None, clock: str | None = None) -> TimeColumn:
    """Return the times of a column. clock: the column of their times of day, where that is another.

    Raises UsageError, in one line that names file, row and column.
    """
    typed = table.typed(name)
    if typed is not None and typed.dtype.kind == "M":
        return _typed(table, name, typed)
    texts = table.texts(name)
    codes, unique = pd.factorize(texts if clock is None else texts + " " + table.texts(clock))
    column = _Column(list(unique), lambda at, why: table.place(int(np.argmax(codes == at)), name).error(why))
    for at, text in enumerate(column.texts):
        if text.lower() in MISSING:
            raise column.error(at, "the time is missing; fill it or take the row out")
    found = _whole(column.texts) or _written(column, day_first)
    return replace(found, values=found.values[codes])


def _typed(table: Table, name: str, typed: "TypedColumn") -> TimeColumn:
    if (missing := np.flatnonzero(typed.isna())).size:
        raise table.place(int(missing[0]), name).error("the time is missing; fill it or take the row out")
    try:
        if typed.dt.tz is None:
            return TimeColumn(typed.astype("datetime64[ns]").to_numpy(), clock=True)
        local = typed.dt.tz_localize(None).astype("datetime64[ns]").to_numpy()
        utc = typed.dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[ns]").to_numpy()
    except ValueError:  # pandas' own for what nanoseconds have no room for
        raise table.place(column=name).error(f"times lie outside the years {_YEARS[0]} to {_YEARS[1]}") from None
    return _of_a_zone(local, utc)


def _of_a_zone(local: Array, utc: Array) -> TimeColumn:
    """Take midnights for days, which have 23 to 25 hours, and all else for moments."""
    if (local == local.astype("M8[D]")).all():
        return TimeColumn(local)
    return TimeColumn(utc, remarks=("times converted to UTC",) if (local != utc).any() else ())


def _whole(texts: list[str]) -> TimeColumn | None:
    """Return what whole numbers stand for: 2021, 202101, 20210131, a time since 1970, or else a count."""
    if not texts or not all(_WHOLE.fullmatch(text) for text in texts):
        return None
    texts = [text.partition(".")[0] for text in texts]
    if {len(text) for text in texts} in ({4}, {6}, {8}) and (form := _form(texts[0])):
        matches = [form[0].fullmatch(text) for text in texts]
        days = _calendar([match.groups() for match in matches if match], form[1][0])
        if len(days) == len(texts) and not np.isnat(days).any():
            return TimeColumn(days.astype("M8[ns]"))
    if max(abs(int(text)) for text in texts) >= 2**63:
        return None
    counted = np.array(texts, np.int64)
    for unit, word, scale in _SINCE_1970:
        if counted.min() >= 10**8 * scale and counted.max() < 92 * 10**8 * scale:  # from 1973 to 2261
            return TimeColumn(counted.astype(f"M8[{unit}]").astype("M8[ns]"), remarks=(f"times in {word} since 1970",))
    return TimeColumn(counted)


def _written(column: _Column, day_first: bool | None) -> TimeColumn:
    pairs = [_split(text) for text in column.texts]
    which, dates = column.parts([date for date, _ in pairs])
    day, remarks = _days(dates, day_first)
    at, clocks = column.parts([clock for _, clock in pairs])
    told = [_clock(text) for text in clocks.texts]
    offsets = []
    for index, found in enumerate(told):
        if found is None:
            raise clocks.error(
                index, f"{clocks.texts[index]!r} is no time of day as it is read here; write it like 23:59"
            )
        offsets.append(found[1])
    zones = np.array([offset is not None for offset in offsets])
    if zones.any() and not zones.all():
        raise clocks.error(int(np.argmin(zones)), "the time has no offset from UTC, as others have; write all alike")
    nanoseconds = np.array([found[0] for found in told if found], np.int64)
    local = day.astype("M8[ns]")[which] + nanoseconds[at].astype("m8[ns]")
    if not zones.any():
        return TimeColumn(local, clock=True, remarks=remarks)
    shift = np.array([offset or 0 for offset in offsets], np.int64)[at].astype("m8[m]")
    moments = _of_a_zone(local, local - shift)
    return replace(moments, remarks=(*remarks, *moments.remarks))


def _split(text: str) -> tuple[str, str]:
    """Return the date and the time of day, "" where there is none."""
    colon = text.find(":")
    if colon < 0:
        return text, ""
    cut = max(text.rfind(" ", 0, colon), text.rfind("T", 0, colon))
    return text[: max(cut, 0)].rstrip(" ,"), text[cut + 1 :]


def _form(date: str) -> tuple[re.Pattern[str], tuple[str, ...]] | None:
    return next((form for form in _FORMS if form[0].fullmatch(date)), None)


def _days(dates: _Column, day_first: bool | None) -> tuple[Array, tuple[str, ...]]:
    """Return the days of the dates, datetime64[D] [n], and which part comes first where that was to be found out."""
    form = _form(dates.texts[0])
    if form is None:
        raise dates.error(0, f"{dates.texts[0]!r} is no date as it is read here; write it like 2021-01-31")
    parts = []
    for at, text in enumerate(dates.texts):
        match = form[0].fullmatch(text)
        if match is None:
            raise dates.error(at, f"{text!r} is no date like {dates.texts[0]!r}, the first; write all dates alike")
        parts.append(match.groups())
    wanted = {None: None, True: "dmy", False: "mdy"}[day_first]
    orders = (wanted,) if wanted in form[1] and len(form[1]) > 1 else form[1]
    read = {order: _calendar(parts, order) for order in orders}
    right = {order: days for order, days in read.items() if not np.isnat(days).any()}
    if not right:
        order, days = min(read.items(), key=lambda item: np.isnat(item[1]).sum())
        at = int(np.argmax(np.isnat(days)))
        others = f" with the {_FIRST[order[0]]} first, as others are written" if len(form[1]) > 1 else ""
        raise dates.error(at, f"{dates.texts[at]!r} is no day{others}, or outside the years {_YEARS[0]} to {_YEARS[1]}")
    order, days = next(iter(right.items()))
    if any((other != days).any() for other in right.values()):
        several = " or ".join(f"the {_FIRST[order[0]]}" for order in right)
        raise dates.error(0, f"each date here may have {several} first; say --day-first or --month-first")
    return days, (f"dates {_FIRST[order[0]]} first",) if order in ("dmy", "mdy") else ()


def _calendar(parts: Sequence[tuple[str, ...]], order: str) -> Array:
    """Return the days of dates by their parts in this order, datetime64[D] [n], NaT where there is no such day."""
    part = {letter: np.array(texts) for letter, texts in zip(order, zip(*parts, strict=True), strict=True)}
    number = {letter: texts.astype(np.int64) for letter, texts in part.items() if letter != "b"}
    year = number["y"]
    year = year + np.where(np.char.str_len(part["y"]) == 4, 0, np.where(year < 69, 2000, 1900))  # as POSIX says
    inside = (year >= _YEARS[0]) & (year <= _YEARS[1])
    if "w" in number:
        fourth = (year - 1970).astype("M8[Y]").astype("M8[D]") + 3  # of January, which is in week 1
        thursday = fourth + (3 - (fourth.astype(np.int64) + 3) % 7) + 7 * (number["w"] - 1)
        right = thursday.astype("M8[Y]").astype(np.int64) + 1970 == year
        return np.where(inside & right, thursday - 3, np.datetime64("NaT"))
    month = number.get("m", np.ones_like(year))
    if "b" in part:
        month = np.array([_MONTHS.index(text.lower()) + 1 for text in part["b"]])
    elif "q" in number:
        month = 3 * number["q"] - 2
    first = (12 * (year - 1970) + month - 1).astype("M8[M]")
    days = first.astype("M8[D]") + (number.get("d", np.ones_like(year)) - 1)
    right = (month >= 1) & (month <= 12) & (days.astype("M8[M]") == first)
    return np.where(inside & right, days, np.datetime64("NaT"))


def _clock(text: str) -> tuple[int, int | None] | None:
    """Return nanoseconds since midnight, 24:00 the next one, and the minutes that its zone is ahead, None without."""
    if not text:
        return 0, None
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    hour, minute, second = (int(digits or 0) for digits in match.groups()[:3])
    fraction, half, zone = match.groups()[3:]
    if half:
        hour = hour % 12 + 12 * (half in "pP") if 1 <= hour <= 12 else 99
    seconds = 3600 * hour + 60 * minute + second
    if minute > 59 or second > 59 or seconds > 86_400:
        return None
    offset = None
    if zone:
        digits = zone[1:].replace(":", "").ljust(4, "0")
        offset = 0 if zone[0].isalpha() else int(f"{zone[0]}1") * (60 * int(digits[:2]) + int(digits[2:]))
    return seconds * 10**9 + int((fraction or "").ljust(9, "0")), offset
