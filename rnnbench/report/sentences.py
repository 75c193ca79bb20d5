"""What the figures allow us to say, in plain words; which words is up to `records.statistics.verdict`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from rnnbench.records.comparisons import speed_ratio
from rnnbench.records.statistics import (
    PROCESSES_FOR_A_VERDICT,
    Interval,
    Ratio,
    paired_difference,
    paired_ratio,
    verdict,
)
from rnnbench.records.store import StoredGroup
from rnnbench.report.summary import TRAINER, Row, Variant, label, varying
from rnnbench.report.text import NO_BREAK, bracketed, counted, joined, percent, significant


def score_sentences(rows: Sequence[Row]) -> list[str]:
    """Which cell has the best score, by how much, and what stays undecided; on one backend, dtype and thread count."""
    entrants = _entrants(rows)
    if not entrants:
        return []
    several = varying(entrants)
    task = entrants[0].records[0]
    lower = task.score_better == "lower"
    best, *others = sorted(entrants, key=lambda row: fmean(row.scores.values()), reverse=not lower)
    gains = [
        (label(other.variant, several), gain(best.scores, other.scores, lower))
        for other in others
        if best.scores.keys() & other.scores.keys()  # an interrupted run may hold other seeds of another cell
    ]
    if not gains:
        return []
    name = label(best.variant, several)
    basis = f"({task.score_name} on {best.backend}, {counted(min(won.seeds for _, won in gains), 'seed')}, paired)"
    beaten = [f"{other} by {won.text}" for other, won in gains if won.real]
    undecided = [f"{other} ({won.text})" for other, won in gains if not won.real]
    said = [f"Score: {name} beats {joined(beaten)} {basis}."] if beaten else []
    if undecided:
        said.append(f"Score: undecided whether {name} is better than {joined(undecided, 'or')} {basis}.")
    return said


def learning_sentence(rows: Sequence[Row]) -> str | None:
    """Which rows did not beat the trivial answer on every seed; None where all did."""
    several = varying(rows)
    short: dict[str, list[str]] = {}
    for row in rows:
        if row.learned and row.learned[0] < row.learned[1]:
            short.setdefault(f"{label(row.variant, several)} {row.learned[0]}/{row.learned[1]}", []).append(row.backend)
    every = len({row.backend for row in rows})
    words = [name if len(on) == every else f"{name} on {joined(on)}" for name, on in short.items()]
    if not words:
        return None
    return f"Did not learn on every seed (did not clearly beat the trivial answer): {joined(words)}."


def speed_sentences(rows: Sequence[Row], groups: Sequence[StoredGroup], least: float) -> list[str]:
    """Which backend ran inference fastest, hyperfine's way; a pair of backends has one sentence for all variants.

    least: the smallest effect that counts, as a share.
    """
    several = varying(rows)
    said: dict[tuple[str, str, str], list[str]] = {}
    for variant in dict.fromkeys(row.variant for row in rows):
        timed = [row for row in rows if row.variant == variant and row.ranked and row.infer]
        timed.sort(key=lambda row: row.infer.value if row.infer else 0.0)
        own = [group for group in groups if group.records and Variant.of(group.records[0]) == variant]
        for slow in timed[1:]:
            ratio = speed_ratio(own, timed[0].backend, slow.backend)
            if ratio is not None:
                figures = said.setdefault((verdict(ratio, least), timed[0].backend, slow.backend), [])
                times = "" if figures else " times"
                figures.append(f"{_with_ends(ratio.value, ratio)}{times} for {label(variant, several)}")
    return [f"Speed: {_SPEED[word].format(fast, slow)}: {joined(how)}." for (word, fast, slow), how in said.items()]


_SPEED = {
    "faster": "{} ran faster than {}",
    "slower": "{} ran slower than {}",
    "same": "{} ran as fast as {}",
    "inconclusive": "undecided whether {} is faster than {}",
}


@dataclass(frozen=True)
class Gain:
    """How far one score is ahead of another over shared seeds, and whether that is more than chance."""

    text: str
    real: bool
    seeds: int


def gain(best: Mapping[int, float], other: Mapping[int, float], lower: bool) -> Gain:
    """Relative for errors; absolute where more is better or a score is not positive. Scores are by seed."""
    if lower and min(*best.values(), *other.values()) > 0:
        ratio = paired_ratio(other, best)
        return Gain(_less(ratio), verdict(ratio, 0.0) == "faster", ratio.processes)
    difference = paired_difference(other, best) if lower else paired_difference(best, other)
    return Gain(_with_ends(difference.value, difference), _positive(difference), difference.count)


def _less(ratio: Ratio) -> str:
    """other / best as a share by which the error is smaller, or as a factor once that says more."""
    if ratio.value >= 2:
        return f"a factor of {_with_ends(ratio.value, ratio)}"
    ends = None if ratio.low is None or ratio.high is None else (1 - 1 / ratio.low, 1 - 1 / ratio.high)
    return percent(1 - 1 / ratio.value, ends)


def _with_ends(value: float, ends: Ratio | Interval) -> str:
    if ends.low is None or ends.high is None:
        return significant(value)
    return significant(value) + NO_BREAK + bracketed(ends.low, ends.high)


def _positive(difference: Interval) -> bool:
    """The same demand as `verdict` makes of a ratio."""
    enough = difference.count >= PROCESSES_FOR_A_VERDICT
    return enough and difference.low is not None and difference.low > 0


def _entrants(rows: Sequence[Row]) -> list[Row]:
    """Rows whose scores may be compared: of the one backend, dtype and thread count that most rows with a score have,
    of `TRAINER` among equals."""
    found: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        if row.ranked and row.scores:
            found.setdefault((row.backend, row.variant.dtype, row.variant.threads), []).append(row)
    return max(found.values(), key=lambda own: (len(own), own[0].backend == TRAINER), default=[])
