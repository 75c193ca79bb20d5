"""Findings of the gate as rows of a table and as plain sentences."""

import math
from typing import Any

from rnnbench.report.text import duration, mebibytes, percent, significant
from rnnbench.tracking.gate import GateResult, Regression
from rnnbench.tracking.regressions import WORDS, Broken, Finding

FACTOR = 10.0  # from which a percentage says less than a factor


def row(finding: Finding, outcome: GateResult) -> dict[str, Any]:
    """For the table and for JSON; shares are signed so that a positive one is worse."""
    return {
        "series": finding.name,
        "figure": WORDS[finding.figure][0],
        "base": finding.before,
        "candidate": finding.after,
        "unit": WORDS[finding.figure][1],
        "worse_by": share(finding, finding.effect.value),
        "worse_by_low": share(finding, finding.effect.low),
        "worse_by_high": share(finding, finding.effect.high),
        "least": share(finding, finding.floor),
        "verdict": verdict(finding, outcome),
    }


def cells(finding: Finding, outcome: GateResult) -> dict[str, str]:
    """The same for people."""
    return {
        "series": finding.name,
        "figure": WORDS[finding.figure][0],
        "base": amount(finding, finding.before),
        "candidate": amount(finding, finding.after),
        "worse by": change(finding),
        "noise": "" if finding.exact else percent(share(finding, finding.floor) or 0.0),
        "verdict": verdict(finding, outcome),
    }


def verdict(finding: Finding, outcome: GateResult) -> str:
    if any(regression.first is finding for regression in outcome.regressions):
        return finding.worse
    return "not confirmed" if any(calm is finding for calm in outcome.calmed) else ""


def share(finding: Finding, value: float | None) -> float | None:
    """Logarithms of ratios as shares; scores are shares already."""
    if value is None or finding.figure == "score":
        return value
    return math.expm1(value)


def amount(finding: Finding, value: float) -> str:
    """A figure with its unit."""
    unit = WORDS[finding.figure][1]
    if unit == "s":
        return duration(value)
    if unit == "B":
        return mebibytes(value)
    return f"{value:.0f}" if finding.figure.startswith("parameters") else significant(value)


def change(finding: Finding) -> str:
    """By how much worse, with its interval where there is chance in it: 15 % [14, 17]."""
    middle, low, high = (share(finding, end) for end in (finding.effect.value, finding.effect.low, finding.effect.high))
    assert middle is not None
    if middle >= FACTOR - 1:
        return f"{significant(middle + 1)} times"
    if finding.exact or low is None or high is None:
        return percent(middle)
    return percent(middle, (low, high))


def sentence(regression: Regression) -> str:
    """What got worse, by how much, and whether it did so twice."""
    finding, again = regression.first, regression.again
    what = f"{WORDS[finding.figure][0]} went from {amount(finding, finding.before)} to {amount(finding, finding.after)}"
    figures = f"worse by {change(finding)}"
    if again is not None and not finding.exact:
        figures += f"; measured again: {change(again)}"
    if not finding.exact:
        figures += f"; less than {percent(share(finding, finding.floor) or 0.0)} would be noise"
    return f"{finding.name} is {finding.worse}: {what} ({figures})."


def broken_sentence(cell: Broken) -> str:
    if cell.regressed:
        return f"{cell.name} no longer runs: {cell.reason}."
    return f"{cell.name} cannot be compared, since the base does not run it: {cell.reason}."


def summary(outcome: GateResult) -> str:
    """The last line: how it ended, and over how much."""
    count = len(outcome.findings)
    worse = len(outcome.regressions) + sum(cell.regressed for cell in outcome.broken)
    if not worse:
        return f"No regression in {count} series."
    return f"{worse} regression{'s' if worse > 1 else ''} in {count} series."
