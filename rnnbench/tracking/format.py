"""Changes of the gate as rows of a table and as plain sentences."""

import math

from rnnbench.report.text import duration, mebibytes, percent, significant
from rnnbench.tracking.gate import GateResult, Regression
from rnnbench.tracking.regressions import WORDS, BrokenCell, Change

FACTOR = 10.0  # from which a percentage says less than a factor


def row(change: Change, outcome: GateResult) -> dict[str, object]:
    """Return a line of the table in JSON; shares are signed so that a positive one is worse."""
    return {
        "series": change.name,
        "figure": WORDS[change.figure][0],
        "base": change.before,
        "candidate": change.after,
        "unit": WORDS[change.figure][1],
        "worse_by": share(change, change.effect.value),
        "worse_by_low": share(change, change.effect.low),
        "worse_by_high": share(change, change.effect.high),
        "least": share(change, change.floor),
        "verdict": verdict(change, outcome),
    }


def cells(change: Change, outcome: GateResult) -> dict[str, str]:
    """Return a line of the table for people."""
    return {
        "series": change.name,
        "figure": WORDS[change.figure][0],
        "base": amount(change, change.before),
        "candidate": amount(change, change.after),
        "worse by": worse_by(change),
        "noise": "" if change.exact else percent(share(change, change.floor) or 0.0),
        "verdict": verdict(change, outcome),
    }


def verdict(change: Change, outcome: GateResult) -> str:
    if any(regression.first is change for regression in outcome.regressions):
        return change.worse
    return "not confirmed" if any(other is change for other in outcome.unconfirmed) else ""


def share(change: Change, value: float | None) -> float | None:
    """Return the logarithm of a ratio as a share; scores are shares already."""
    if value is None or change.figure == "score":
        return value
    return math.expm1(value)


def amount(change: Change, value: float) -> str:
    """Write a figure with its unit."""
    unit = WORDS[change.figure][1]
    if unit == "s":
        return duration(value)
    if unit == "B":
        return mebibytes(value)
    return f"{value:.0f}" if change.figure.startswith("parameters") else significant(value)


def worse_by(change: Change) -> str:
    """Write how much worse it is, with its interval where there is chance in it: 15 % [14, 17]."""
    middle, low, high = (share(change, end) for end in (change.effect.value, change.effect.low, change.effect.high))
    assert middle is not None
    if middle >= FACTOR - 1:
        return f"{significant(middle + 1)} times"
    if change.exact or low is None or high is None:
        return percent(middle)
    return percent(middle, (low, high))


def sentence(regression: Regression) -> str:
    """State what got worse, by how much, and whether it did so twice."""
    change, again = regression.first, regression.again
    what = f"{WORDS[change.figure][0]} went from {amount(change, change.before)} to {amount(change, change.after)}"
    figures = f"worse by {worse_by(change)}"
    if again is not None and not change.exact:
        figures += f"; measured again: {worse_by(again)}"
    if not change.exact:
        figures += f"; less than {percent(share(change, change.floor) or 0.0)} would be noise"
    return f"{change.name} is {change.worse}: {what} ({figures})."


def broken_sentence(cell: BrokenCell) -> str:
    if cell.regressed:
        return f"{cell.name} no longer runs: {cell.reason}."
    return f"{cell.name} cannot be compared, since the base does not run it: {cell.reason}."


def summary(outcome: GateResult) -> str:
    """Return the last line: how it ended, and over how much."""
    count = len(outcome.changes)
    worse = len(outcome.regressions) + sum(cell.regressed for cell in outcome.broken)
    if not worse:
        return f"No regression in {count} series."
    return f"{worse} regression{'s' if worse > 1 else ''} in {count} series."
