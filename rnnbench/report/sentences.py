"""What the figures allow us to say, in plain words; which words is up to `records.statistics.verdict`."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean

from rnnbench.records.comparisons import speed_ratio
from rnnbench.records.statistics import (
    CONFIDENCE,
    POWER,
    PROCESSES_FOR_A_VERDICT,
    Interval,
    chance,
    detectable,
    detectable_effect,
    holm,
    paired_difference,
    paired_ratio,
    verdict,
)
from rnnbench.records.store import StoredGroup
from rnnbench.records.summary import TRAINER, Row, Variant, label, varying
from rnnbench.report.text import NO_BREAK, bracketed, counted, joined, percent, ranged, significant


def score_sentences(rows: Sequence[Row]) -> list[str]:
    """State which cell has the best score, by how much, and what is undecided; on one backend, dtype and thread count.

    The best one is picked by looking at all of them, so all pairs count as compared: Holm's correction is over them.
    """
    ranking = _ranking(rows)
    if ranking is None:
        return []
    best, gains = ranking
    several, first = varying([best, *gains]), best.records[0]
    name, seeds = label(best.variant, several), min(won.seeds for won in gains.values())
    family = next(iter(gains.values())).family
    corrected = f", corrected for {family} pairs" if family > 1 else ""
    basis = f"({first.score_name} on {best.backend}, {counted(seeds, 'seed')}, paired{corrected})"
    beaten = [f"{label(other.variant, several)} by {won.text}" for other, won in gains.items() if won.real]
    undecided = [f"{label(other.variant, several)} ({won.text})" for other, won in gains.items() if not won.real]
    lines = [f"Score: {name} beats {joined(beaten)} {basis}."] if beaten else []
    if undecided:
        lines.append(f"Score: undecided whether {name} is better than {joined(undecided, 'or')} {basis}.")
    return lines


def detectable_sentence(rows: Sequence[Row], groups: Sequence[StoredGroup], least: float) -> str | None:
    """State what this run could have told apart, given how far its processes and seeds lie apart; None where nothing is
    compared. least: the smallest effect in speed that counts, as a share."""
    effects = [detectable_effect(pair.ratio) for pair in speed_comparisons(rows, groups)]
    words = [_span([max(effect, least) for effect in effects if effect is not None], percent, "in speed")]
    ranking = _ranking(rows)
    gains = ranking[1].values() if ranking else ()
    for relative, text in ((True, percent), (False, significant)):
        shifts = [won.detectable for won in gains if won.relative is relative]
        words.append(_span([shift for shift in shifts if shift is not None], text, "in score"))
    found = [word for word in words if word]
    share = f"{POWER:.0%}".replace("%", f"{NO_BREAK}%")
    return f"Detectable in {share} of such runs: a difference of {joined(found)}." if found else None


def _span(sizes: Sequence[float], text: Callable[[float], str], of_what: str) -> str:
    return f"{ranged(sizes, text)} {of_what}" if sizes else ""


def learning_sentence(rows: Sequence[Row]) -> str | None:
    """Name the rows that did not beat the trivial answer on every seed; None where all did."""
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


@dataclass(frozen=True)
class SpeedComparison:
    """The fastest backend of a variant against another: ratio is the other's time over the fastest's."""

    variant: Variant
    fast: str
    slow: str
    ratio: Interval


def speed_comparisons(rows: Sequence[Row], groups: Sequence[StoredGroup]) -> Iterator[SpeedComparison]:
    """Yield the pairs whose inference times are compared: by variant, the fastest with each of the others."""
    for variant in dict.fromkeys(row.variant for row in rows):
        timed = [row for row in rows if row.variant == variant and row.ranked and row.value("infer_seconds")]
        timed.sort(key=lambda row: row.value("infer_seconds") or 0.0)
        own = [group for group in groups if group.records and Variant.of(group.records[0]) == variant]
        for slow in timed[1:]:
            ratio = speed_ratio(own, timed[0].backend, slow.backend)
            if ratio is not None:
                yield SpeedComparison(variant, timed[0].backend, slow.backend, ratio)


def speed_sentences(rows: Sequence[Row], groups: Sequence[StoredGroup], least: float) -> list[str]:
    """State which backend ran inference fastest, as hyperfine does; a pair of backends has one sentence for all
    variants.

    least: the smallest effect that counts, as a share.
    """
    several = varying(rows)
    found: dict[tuple[str, str, str], list[str]] = {}
    for pair in speed_comparisons(rows, groups):
        word = verdict(pair.ratio, least)
        figures = found.setdefault((word, pair.fast, pair.slow), [])
        times = "" if figures else " times"
        figures.append(f"{_with_ends(pair.ratio)}{times} for {label(pair.variant, several)}")
    return [f"Speed: {_SPEED[word].format(fast, slow)}: {joined(how)}." for (word, fast, slow), how in found.items()]


_SPEED = {
    "faster": "{} ran faster than {}",
    "slower": "{} ran slower than {}",
    "same": "{} ran as fast as {}",
    "inconclusive": "undecided whether {} is faster than {}",
}


@dataclass(frozen=True)
class Gain:
    """How far one score is ahead of another over shared seeds. estimate: of the difference, of logarithms where it is
    `relative`; text: the same in words. family: how many pairs were compared with this one; p_value is corrected for
    them."""

    text: str
    estimate: Interval
    relative: bool
    p_value: float
    family: int = 1

    @property
    def seeds(self) -> int:
        return self.estimate.count

    @property
    def real(self) -> bool:
        """Return whether it is more than chance: the same demands as `verdict` makes of a ratio."""
        enough = self.seeds >= PROCESSES_FOR_A_VERDICT
        return enough and self.estimate.value > 0 and self.p_value < 1 - CONFIDENCE

    @property
    def detectable(self) -> float | None:
        """Return the smallest lead that such seeds would have shown."""
        shift = detectable(self.estimate)
        return -math.expm1(-shift) if shift is not None and self.relative else shift


def gain(best: Mapping[int, float], other: Mapping[int, float], lower: bool) -> Gain:
    """Return by how much the best is ahead: relative for errors, absolute where more is better or a score is not
    positive. Scores are by seed."""
    if lower and min(*best.values(), *other.values()) > 0:
        ratio = paired_ratio(other, best)
        logs = ratio.mapped(math.log)
        return Gain(_less(ratio), logs, True, chance(logs))
    difference = paired_difference(other, best) if lower else paired_difference(best, other)
    return Gain(_with_ends(difference), difference, False, chance(difference))


def _ranking(rows: Sequence[Row]) -> tuple[Row, dict[Row, Gain]] | None:
    """Return the best of the rows whose scores may be compared, and how far it is ahead of each other, best first."""
    comparable = _comparable(rows)
    if not comparable:
        return None
    lower = comparable[0].records[0].score_better == "lower"
    ordered = sorted(comparable, key=lambda row: fmean(row.scores.values()), reverse=not lower)
    pairs = {  # an interrupted run may hold other seeds of another cell
        (a, b): gain(ordered[a].scores, ordered[b].scores, lower)
        for a, b in combinations(range(len(ordered)), 2)
        if ordered[a].scores.keys() & ordered[b].scores.keys()
    }
    corrected = dict(zip(pairs, holm([won.p_value for won in pairs.values()]), strict=True))
    gains = {
        ordered[b]: replace(won, p_value=corrected[a, b], family=len(pairs)) for (a, b), won in pairs.items() if a == 0
    }
    return (ordered[0], gains) if gains else None


def _less(ratio: Interval) -> str:
    """Write other / best as a share by which the error is smaller, or as a factor once that says more."""
    if ratio.value >= 2:
        return f"a factor of {_with_ends(ratio)}"
    less = ratio.mapped(lambda times: 1 - 1 / times)
    return percent(less.value, less.ends)


def _with_ends(found: Interval) -> str:
    return significant(found.value) + (NO_BREAK + bracketed(*found.ends) if found.ends else "")


def _comparable(rows: Sequence[Row]) -> list[Row]:
    """Return the rows whose scores may be compared: of the one backend, dtype and thread count that most rows with a
    score have, of `TRAINER` among equals."""
    found: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        if row.ranked and row.scores:
            found.setdefault((row.backend, row.variant.dtype, row.variant.threads), []).append(row)
    return max(found.values(), key=lambda own: (len(own), own[0].backend == TRAINER), default=[])
