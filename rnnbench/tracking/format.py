"""Changes of the gate as rows of a table and as plain sentences."""

from rnnbench.report.text import amount, percent, significant
from rnnbench.tracking.gate import GateResult, Regression
from rnnbench.tracking.regressions import BrokenCell, Change

FACTOR = 10.0  # from which a percentage says less than a factor


def row(change: Change, outcome: GateResult) -> dict[str, object]:
    """Return a line of the table in JSON; shares are signed so that a positive one is worse."""
    return {
        "series": change.name,
        "figure": change.words,
        "base": change.before,
        "candidate": change.after,
        "unit": change.unit,
        "worse_by": change.share.value,
        "worse_by_low": change.share.low,
        "worse_by_high": change.share.high,
        "least": change.least,
        "verdict": verdict(change, outcome),
    }


def cells(change: Change, outcome: GateResult) -> dict[str, str]:
    """Return a line of the table for people."""
    return {
        "series": change.name,
        "figure": change.words,
        "base": amount(change.before, change.unit),
        "candidate": amount(change.after, change.unit),
        "worse by": worse_by(change),
        "noise": "" if change.exact else percent(change.least),
        "verdict": verdict(change, outcome),
    }


def verdict(change: Change, outcome: GateResult) -> str:
    if any(regression.first is change for regression in outcome.regressions):
        return change.worse
    return "not confirmed" if any(other is change for other in outcome.unconfirmed) else ""


def worse_by(change: Change) -> str:
    """Write how much worse it is, with its interval where there is chance in it: 15 % [14, 17]."""
    share = change.share
    if share.value >= FACTOR - 1:
        return f"{significant(share.value + 1)} times"
    return percent(share.value, None if change.exact else share.ends)


def sentence(regression: Regression) -> str:
    """State what got worse, by how much, and whether it did so twice."""
    change, again = regression.first, regression.again
    what = f"{change.words} went from {amount(change.before, change.unit)} to {amount(change.after, change.unit)}"
    figures = f"worse by {worse_by(change)}"
    if again is not None and not change.exact:
        figures += f"; measured again: {worse_by(again)}"
    if not change.exact:
        figures += f"; less than {percent(change.least)} would be noise"
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
