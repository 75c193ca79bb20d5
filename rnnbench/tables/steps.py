"""The step from row to row: a day, a business day, a month, 15 minutes. The commonest is it, named as pandas does."""

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from rnnbench.errors import UsageError
from rnnbench.model import Array

ROWS = "rows"  # the frequency of who says that each row is a step, whatever its time
_SECOND = 10**9
_HOUR = 3600 * _SECOND
_DAY = 24 * _HOUR
_UNITS = (
    ("D", "day", _DAY),
    ("h", "hour", _HOUR),
    ("min", "minute", 60 * _SECOND),
    ("s", "second", _SECOND),
    ("ms", "millisecond", 10**6),
    ("us", "microsecond", 10**3),
    ("ns", "nanosecond", 1),
)
_MONTH_UNITS = (("Y", "year", 12), ("Q", "quarter", 3), ("M", "month", 1))
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_FINEST_SEASON = _DAY // (60 * _SECOND)  # a day of minutes; of seconds, a window would show no part of it
# One zone for each way of changing the clocks that wide areas have.
_ZONES = (
    "Europe/Berlin",
    "Europe/London",
    "Europe/Helsinki",
    "America/New_York",
    "Australia/Sydney",
    "America/Santiago",
)


@dataclass(frozen=True)
class TimeStep:
    """The step from row to row. size: how many nanoseconds, months, business days or counts it is of.

    name: as pandas writes frequencies, None for counts and rows. words: for the user. season: steps of the period that
    such data are likely to have. ends: months stand for their last days, not their first.
    """

    kind: Literal["months", "business", "fixed", "counted", "rows"]
    size: int = 1
    name: str | None = None
    words: str = ""
    season: int | None = None
    ends: bool = False

    def positions(self, values: Array, start: Array) -> tuple[Array, Array]:
        """Return how many steps each row is after its series' first, int64 [n], and whether it lies on a step at all.

        start int64 [n]: the index of that first row.
        """
        if self.kind == "rows":
            return np.arange(len(values)) - start, np.ones(len(values), bool)
        on = np.ones(len(values), bool)
        if self.kind == "business":
            days = values.astype("M8[D]")
            on = np.is_busday(days)
            counted = np.busday_count(np.datetime64("1970-01-01"), days)
        else:
            counted = values.astype("M8[M]" if self.kind == "months" else values.dtype).astype(np.int64)
        whole, rest = np.divmod(counted - counted[start], self.size)
        return whole, on & (rest == 0)

    def times(self, first: Array, positions: Array) -> Array:
        """Return the times so many steps after the first ones, datetime64[ns] [n]."""
        times: Array = first + (self.size * positions).astype("m8[ns]")
        if self.kind == "business":
            clock = first - first.astype("M8[D]")
            times = np.busday_offset(first.astype("M8[D]"), positions).astype("M8[ns]") + clock
        elif self.kind == "months":
            months = first.astype("M8[M]") + self.size * positions
            times = ((months + 1).astype("M8[D]") - 1 if self.ends else months).astype("M8[ns]")
        return times


def told_step(frequency: str, values: Array, inner: Array) -> TimeStep:
    """Return the step of a frequency that the user gives, or ROWS, named as these times have it."""
    if frequency == ROWS:
        return TimeStep("rows", words="each row a step")
    hint = "write it as pandas does, like D, h, 15min, W, MS or QS, or give rows where each row is a step"
    if values.dtype.kind != "M":
        raise UsageError(f"--frequency {frequency!r} needs a column of times, and steps are only counted here")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that pandas is about to drop
            sample = pd.date_range("2001-01-01", periods=14, freq=frequency).to_numpy().astype("M8[ns]")
    except (ValueError, TypeError, ArithmeticError):  # pandas 2 divides by a step of nothing
        raise UsageError(f"--frequency {frequency!r} is none that is known; {hint}") from None
    step = commonest_step(sample, np.ones(13, bool))
    if step is None or step.size < 1 or not step.positions(sample, np.zeros(14, np.int64))[1].all():
        raise UsageError(f"--frequency {frequency!r} is not one step again and again; {hint}")
    return _named(step.kind, step.size, values)


def commonest_step(values: Array, inner: Array) -> TimeStep | None:
    """Return the commonest step, or None where no series has two rows.

    values: datetime64[ns] or int64 [n], ascending in each series. inner bool [n - 1]: both rows are of one series.
    """
    steps: Array = np.diff(values.astype(np.int64))[inner]
    if not steps.size:
        return None
    size = _commonest(steps)
    if values.dtype.kind != "M":
        return TimeStep("counted", size, words="steps as numbered")
    days = values.astype("M8[D]")
    # What is told by the month is so by its end, or the same day, or its steps are no multiples of days
    if size >= 28 * _DAY and (_at_ends(days) or _at_one_day(days) or (steps % size).any()):
        months = np.diff(days.astype("M8[M]").astype(np.int64))[inner]
        if (months > 0).all() and 2 * (months == (common := _commonest(months))).sum() > months.size:
            return _named("months", common, values)
    if size == _DAY and np.is_busday(days).all():
        over_weekends = np.diff(days).astype(np.int64)[inner & (_weekday(days)[:-1] == 4)] == 3
        if over_weekends.any():
            return _named("business", 1, values)
    return _named("fixed", size, values)


def _commonest(steps: Array) -> int:
    sizes, counts = np.unique(steps, return_counts=True)
    return int(sizes[counts.argmax()])


def _weekday(days: Array) -> Array:
    return (days.astype(np.int64) + 3) % 7  # 1970 began on a Thursday


def _at_one_day(days: Array) -> bool:
    return np.unique(days - days.astype("M8[M]").astype("M8[D]")).size == 1


def _at_ends(days: Array) -> bool:
    return bool((days + 1 == (days + 1).astype("M8[M]")).all())


def _named(kind: str, size: int, values: Array) -> TimeStep:
    """Return the step with its name, for these times."""
    days = values.astype("M8[D]")
    if kind == "business":
        return TimeStep("business", 1, "B", "business days", 5)
    if kind == "months":
        ends = _at_ends(days)
        month = int(days[0].astype("M8[M]").astype(np.int64)) % 12
        letter, unit, length = next(each for each in _MONTH_UNITS if size % each[2] == 0)
        anchor = {"Y": f"-{_MONTHS[month]}", "Q": f"-{_MONTHS[month % 3 + 9 * ends]}"}.get(letter, "")  # QS-JAN, QE-DEC
        name = f"{_times(size // length)}{letter}{'E' if ends else 'S'}{anchor}"
        season = 12 // size if size < 12 and 12 % size == 0 else None
        return TimeStep("months", size, name, _words(size // length, unit), season, ends)
    if size % (7 * _DAY) == 0 and np.unique(weekdays := _weekday(days)).size == 1:
        weeks = size // (7 * _DAY)
        name = f"{_times(weeks)}W-{_WEEKDAYS[weekdays[0]]}"
        return TimeStep("fixed", size, name, _words(weeks, "week"), {1: 52, 2: 26}.get(weeks))
    letter, unit, length = next(each for each in _UNITS if size % each[2] == 0)
    season = 7 if size == _DAY else None
    if size < _DAY and _DAY % size == 0 and _DAY // size <= _FINEST_SEASON:
        season = _DAY // size
    return TimeStep("fixed", size, f"{_times(size // length)}{letter}", _words(size // length, unit), season)


def _times(count: int) -> str:
    return "" if count == 1 else str(count)


def _words(count: int, unit: str) -> str:
    if count > 1:
        return f"a row every {count} {unit}s"
    if unit in ("hour", "week", "month", "quarter", "year"):
        return f"{unit}ly"
    return "daily" if unit == "day" else f"a row every {unit}"


def shown(time: np.datetime64 | np.int64) -> str:
    """Return a time as a message has it."""
    return str(pd.Timestamp(time)).removesuffix(" 00:00:00") if isinstance(time, np.datetime64) else str(time)


def winter_time(values: Array, inner: Array) -> tuple[Array, str] | None:
    """Return clock times without the hour of summer, datetime64[ns] [n], and a zone whose clocks go so.

    None where no zone's hours explain steps that differ from the commonest. values: in the order of the rows, so that
    of an hour that is there twice the earlier comes first. inner bool [n - 1]: both rows are of one series.
    """
    steps = np.diff(values).astype(np.int64)[inner]
    size = _commonest(steps) if steps.size else 0
    best, found = int((steps != size).sum()), None
    if not 0 < size < _DAY or 2 * best >= steps.size:
        return None
    for zone in _ZONES if best else ():
        try:
            moments = pd.DatetimeIndex(values).tz_localize(zone, ambiguous="infer", nonexistent="raise")
        except Exception:  # by version pandas' own or pytz's: an hour that this zone lacks, or that is there once
            continue
        ahead = values - moments.tz_convert("UTC").tz_localize(None).to_numpy().astype("M8[ns]")
        winter = values - (ahead - ahead.min())
        steps = np.diff(winter).astype(np.int64)[inner]
        odd = int((steps != size).sum())
        if odd < best:
            best, found = odd, (winter, zone)
    return found
