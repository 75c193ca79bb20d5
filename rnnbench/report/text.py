"""Text as people read it: figures at a sensible precision, and names that cannot upset the place they are shown in."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rnnbench.units import MIB

DASH = "–"  # not measured; the reason stands elsewhere
ROUNDING = 1e-9  # as a share: what sums in another order differ by, and more
NO_BREAK = "\N{NO-BREAK SPACE}"  # until lines are broken; `printable` turns it into a space


def printable(text: str) -> str:
    """Return `text` without control, escape, bidirectional and other invisible characters; white space becomes a
    space."""
    return "".join(" " if char.isspace() else char for char in text if char.isprintable() or char.isspace())


def significant(value: float, digits: int = 3) -> str:
    """Write at least `digits` significant digits, in full unless tiny or huge: 0.0123, 5.21, 203, 5210, 3.1e-07."""
    if value == 0:
        return "0"
    magnitude = _magnitude(value, digits)
    if not -4 <= magnitude < 7:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{max(0, digits - 1 - magnitude)}f}"


def plus_minus(value: float, half: float | None) -> str:
    """Write a value and its half-width, both to the second digit of the half-width: 0.5123 ± 0.0034. A half-width that
    rounding makes is none."""
    if not half or half < ROUNDING * abs(value):
        return significant(value)
    magnitude = _magnitude(half, 2)
    if magnitude < -6 or magnitude > 6:
        return f"{significant(value)} ± {significant(half, 2)}"
    decimals = max(0, 1 - magnitude)
    return f"{value:.{decimals}f} ± {half:.{decimals}f}"


def bracketed(low: float, high: float, digits: int = 3) -> str:
    """Write the ends of an interval, which a line break must not part: [2.20, 2.40]."""
    return f"[{significant(low, digits)},{NO_BREAK}{significant(high, digits)}]"


def percent(share: float, ends: tuple[float, float] | None = None) -> str:
    """Write a share with the ends of its interval: 4.3 % [2.1, 6.5]. A tenth of a percent is as fine as it gets."""
    text = f"{_tenths(100 * share)}{NO_BREAK}%"
    if ends is None:
        return text
    return f"{text}{NO_BREAK}[{_tenths(100 * ends[0])},{NO_BREAK}{_tenths(100 * ends[1])}]"


def _tenths(value: float) -> str:
    if abs(value) >= 1e7:
        return significant(value)
    return f"{value:.0f}" if abs(value) >= 9.95 else f"{round(value, 1) + 0.0:.1f}"


@dataclass(frozen=True)
class Unit:
    """A unit of time, in seconds."""

    name: str
    seconds: float

    def write(self, seconds: float) -> str:
        """Write a time in this unit, without its name."""
        return significant(seconds / self.seconds)


UNITS = (Unit("s", 1.0), Unit("ms", 1e-3), Unit("µs", 1e-6), Unit("ns", 1e-9))


def time_unit(values: Iterable[float]) -> Unit:
    """Return the largest unit in which the smallest of `values` (seconds) is at least 1, so that one unit serves them
    all."""
    smallest = min((value for value in values if value > 0), default=1.0)
    return next((unit for unit in UNITS if smallest >= unit.seconds), UNITS[-1])


def rounded(seconds: float) -> str:
    """Write a time to the second: 39 s, 2 min 05 s."""
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 120 else f"{whole} s"


def duration(seconds: float) -> str:
    """Write a time by itself: 3.21 ms, 12.3 s, 2 min 05 s."""
    if seconds >= 120:
        return rounded(seconds)
    unit = time_unit([seconds])
    return f"{unit.write(seconds)} {unit.name}"


def amount(value: float | None, unit: str) -> str:
    """Write a figure with its unit ("s", "B" or another): 3.21 ms, 312 MiB, 4385, 0.527; a dash for None."""
    if value is None:
        return DASH
    if unit == "s":
        return duration(value)
    if unit == "B":
        return f"{significant(value / MIB)} MiB"
    return f"{value:.0f}" if value == int(value) else significant(value)


def ranged(values: Sequence[float], write: Callable[[float], str]) -> str:
    """Write the smallest and the largest, at least one value: 2.1 s to 3.4 s; once where both read alike."""
    low, high = write(min(values)), write(max(values))
    return low if low == high else f"{low} to {high}"


def joined(items: Sequence[str], last: str = "and") -> str:
    """Join items as prose does: a; a and b; a, b and c."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def counted(number: int, noun: str) -> str:
    """Write a number of things: 1 seed, 5 seeds."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _magnitude(value: float, digits: int) -> int:
    """Return the exponent of ten after rounding to `digits`."""
    return math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
