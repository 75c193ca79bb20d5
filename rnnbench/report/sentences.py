"""What the figures allow us to say, in plain words; which words is up to `records.statistics.verdict`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from rnnbench.records.comparisons import speed_ratio
from rnnbench.records.statistics import POWER, Interval, detectable_effect, verdict
from rnnbench.records.store import StoredGroup
from rnnbench.records.summary import Row, Variant, label, varying
from rnnbench.report.gains import UNKNOWN, Gain, Losses, comparable, gains, with_ends
from rnnbench.report.text import NO_BREAK, counted, joined, percent, ranged, significant


def score_sentences(rows: Sequence[Row], losses: Losses = UNKNOWN) -> list[str]:
    """State which cell has the best score, by how much, and what is undecided; on one backend, dtype and thread count.

    The best one is picked by looking at all of them, so all pairs count as compared: Holm's correction is over them.
    """
    ranking = _ranking(rows, losses)
    if ranking is None:
        return []
    best, ahead = ranking
    several, over = varying([best, *ahead]), losses.tested_on(best)
    name, basis = label(best.variant, several), basis_of(best, list(ahead.values()), losses)
    beaten = [f"{label(other.variant, several)} by {won.told(over)}" for other, won in ahead.items() if won.real]
    level = [other for other, won in ahead.items() if won.level]
    undecided = [
        f"{label(other.variant, several)} ({won.told(over)})"
        for other, won in ahead.items()
        if not (won.real or won.level)
    ]
    lines = [f"Score: {name} beats {joined(beaten)} {basis}."] if beaten else []
    if level:
        lines.append(f"Score: {_level(best, level, len(level) == len(ahead), several)} {basis}.")
    if undecided:
        lines.append(f"Score: undecided whether {name} is better than {joined(undecided, 'or')} {basis}.")
    return lines


def _level(best: Row, others: Sequence[Row], every: bool, several: Sequence[str]) -> str:
    """State a tie, with the score where it is one on all seeds. every: whether there is nobody else."""
    names = "all" if every else joined([label(row.variant, several) for row in (best, *others)])
    scores = set(map(significant, best.scores.values()))
    if len(scores) > 1:
        return f"level: {names} have the same score on every seed"
    text, verb = scores.pop(), "reach" if best.records[0].score_better == "higher" else "have"
    return f"level: {names} {verb} {text} on every seed"


def basis_of(row: Row, found: Sequence[Gain], losses: Losses) -> str:
    """Return what scores were compared on, in brackets. row: one of them."""
    first, family = row.records[0], found[0].family
    backend = "" if row.is_baseline else f" on {row.backend}"
    words = [f"{first.score_name}{backend}", counted(min(each.seeds for each in found), "seed"), "paired"]
    if any(each.over_test for each in found):
        words.append(f"{losses.tested_on(row)} {losses.basis(row, family)}")
    return f"({', '.join([*words, *([f'corrected for {family} pairs'] if family > 1 else [])])})"


def detectable_sentence(rows: Sequence[Row], groups: Sequence[StoredGroup], least: float) -> str | None:
    """State what this run could have told apart, given how far its processes and seeds lie apart; None where nothing is
    compared. least: the smallest effect in speed that counts, as a share."""
    effects = [detectable_effect(pair.ratio) for pair in speed_comparisons(rows, groups)]
    words = [_span([max(effect, least) for effect in effects if effect is not None], percent, "in speed")]
    ranking = _ranking(rows, UNKNOWN)
    ahead = ranking[1].values() if ranking else ()
    for relative, text in ((True, percent), (False, significant)):
        shifts = [won.detectable for won in ahead if won.relative is relative and not won.level]
        words.append(_span([shift for shift in shifts if shift is not None], text, "in score"))
    found = [word for word in words if word]
    share = f"{POWER:.0%}".replace("%", f"{NO_BREAK}%")
    return f"Detectable in {share} of such runs: a difference of {joined(found)}." if found else None


def _span(sizes: Sequence[float], text: Callable[[float], str], of_what: str) -> str:
    return f"{ranged(sizes, text)} {of_what}" if sizes else ""


def learning_sentence(rows: Sequence[Row]) -> str | None:
    """Name the cells' rows that did not beat the trivial answers on every seed; None where all did."""
    several = varying(rows)
    short: dict[str, list[str]] = {}
    for row in rows:
        if row.learned and row.learned[0] < row.learned[1] and not row.is_baseline:
            short.setdefault(f"{label(row.variant, several)} {row.learned[0]}/{row.learned[1]}", []).append(row.backend)
    every = len({row.backend for row in rows if not row.is_baseline})
    words = [name if len(on) == every else f"{name} on {joined(on)}" for name, on in short.items()]
    if not words:
        return None
    return f"Did not learn on every seed (did not clearly beat the trivial answers): {joined(words)}."


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
        figures.append(f"{with_ends(pair.ratio)}{times} for {label(pair.variant, several)}")
    return [f"Speed: {_SPEED[word].format(fast, slow)}: {joined(how)}." for (word, fast, slow), how in found.items()]


_SPEED = {
    "faster": "{} ran faster than {}",
    "slower": "{} ran slower than {}",
    "same": "{} ran as fast as {}",
    "inconclusive": "undecided whether {} is faster than {}",
}


def _ranking(rows: Sequence[Row], losses: Losses) -> tuple[Row, dict[Row, Gain]] | None:
    """Return the best of the rows whose scores may be compared, and how far it is ahead of each other, best first."""
    ordered = comparable(rows)
    found = gains(combinations(ordered, 2), losses)
    ahead = {other: won for (best, other), won in found.items() if best is ordered[0]}
    return (ordered[0], ahead) if ahead else None
