"""How far one row's score is ahead of another's: over seeds, and over the times or series of the test part.

Seeds alone do not carry a verdict on a forecast: they train on the same past, and are tested on the same future.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from rnnbench.comparison.description import TaskNote
from rnnbench.model import Array
from rnnbench.records.comparisons import sampled
from rnnbench.records.forecast_tests import Paired, diebold_mariano, enough, friedman, mean_loss, signed_rank
from rnnbench.records.statistics import (
    CONFIDENCE,
    PROCESSES_FOR_A_VERDICT,
    Interval,
    chance,
    detectable,
    holm,
    paired_difference,
    paired_ratio,
)
from rnnbench.records.store import LOSSES, StoredGroup
from rnnbench.records.summary import TRAINER, Row, RowKey
from rnnbench.report.text import NO_BREAK, ROUNDING, bracketed, counted, percent, significant

Pair = tuple[Row, Row]
CHANCE = 1 - CONFIDENCE


@dataclass(frozen=True)
class Losses:
    """What each row of a task lost at each test time, or on each series where there are several, the mean of its seeds.

    lead: how many test times ahead was forecast.
    """

    of_rows: Mapping[RowKey, Array]
    series: int = 1
    lead: int = 1

    @classmethod
    def of(cls, groups: Iterable[StoredGroup], note: TaskNote) -> "Losses":
        """Take them from what was stored. The times of a fold follow those of the fold before it."""
        found = {}
        for key, by_fold in sampled(groups, LOSSES).items():
            folds = [
                [values for (_, each), values in by_fold.items() if each == fold]
                for fold in sorted({fold for _, fold in by_fold})
            ]
            if all(len(set(map(len, seeds))) == 1 for seeds in folds):
                parts = [np.mean(seeds, axis=0) for seeds in folds]
                found[key] = np.mean(parts, axis=0) if note.series > 1 else np.concatenate(parts)
        return cls(found, note.series, note.lead)

    def compared(self, one: Row, other: Row) -> Paired | None:
        """Return what the losses of two rows say; None where they are not known of both. Too few say nothing."""
        a, b = (self.of_rows.get(row.key) for row in (one, other))
        if a is None or b is None or len(a) != len(b):
            return None
        if not enough(len(a), 1 if self.series > 1 else self.lead):
            return Paired(False, 1.0)
        return signed_rank(a, b) if self.series > 1 else diebold_mariano(a, b, self.lead)

    def alike(self, rows: Iterable[Row]) -> float:
        """Return the p-value that more than two rows rank alike over series; 0 where that is no question."""
        known = [self.of_rows[key] for key in dict.fromkeys(row.key for row in rows) if key in self.of_rows]
        if self.series == 1 or len(known) < 3 or len({*map(len, known)}) > 1:
            return 0.0
        return friedman(known)

    def tested_on(self, row: Row) -> str:
        """Return how many test times, or series, a row's losses are of; nothing where none are known."""
        count = len(self.of_rows.get(row.key, ()))
        return "" if not count else f"{count} series" if self.series > 1 else counted(count, "test time")

    def mean(self, row: Row) -> Interval | None:
        """Return a row's score with its interval over test times, or series; None where it is not the mean of losses
        that are known."""
        score, losses = row.value("score"), self.of_rows.get(row.key)
        if score is None or losses is None:
            return None
        found = mean_loss(losses, None if self.series > 1 else self.lead)
        return found if math.isclose(found.value, score, rel_tol=1e-6) else None

    def basis(self, row: Row, pairs: int) -> str:
        """Return how a row's losses are tested, of so many pairs."""
        if not enough(len(self.of_rows.get(row.key, ())), 1 if self.series > 1 else self.lead):
            return "too few for a verdict"
        if self.series == 1:
            return "by Diebold and Mariano"
        return f"by Wilcoxon's signed ranks{' after Friedman' if pairs > 1 else ''}"


UNKNOWN = Losses({})


@dataclass(frozen=True)
class Gain:
    """How far one score is ahead of another over shared seeds. estimate: of the difference, of logarithms where it is
    `relative`; text: the same in words. over_test: what the losses at test times, or of series, say, where they are
    known. family: how many pairs were compared with this one; p-values are corrected for them."""

    text: str
    estimate: Interval
    relative: bool
    p_value: float
    over_test: Paired | None = None
    family: int = 1

    @property
    def seeds(self) -> int:
        return self.estimate.count

    @property
    def over_seeds(self) -> bool:
        """Return whether it is more than chance over seeds: the same demands as `verdict` makes of a ratio."""
        enough_seeds = self.seeds >= PROCESSES_FOR_A_VERDICT
        return enough_seeds and self.estimate.value > 0 and self.p_value < CHANCE

    @property
    def real(self) -> bool:
        """Return whether it is more than chance wherever it can be asked: over seeds, and over the test part."""
        return self.over_seeds and (self.over_test is None or self._over_test)

    @property
    def level(self) -> bool:
        """Return whether both scores are the same on every seed, but for rounding."""
        return self.estimate.value == 0 and self.estimate.half == 0

    @property
    def detectable(self) -> float | None:
        """Return the smallest lead that such seeds would have shown."""
        shift = detectable(self.estimate)
        return -math.expm1(-shift) if shift is not None and self.relative else shift

    @property
    def _over_test(self) -> bool:
        return self.over_test is not None and self.over_test.ahead and self.over_test.p_value < CHANCE

    def told(self, over: str) -> str:
        """Return the lead in words, and which of both shows it where only one does. over: what was tested on."""
        if self.over_test is None or self.over_seeds == self._over_test:
            return self.text
        tested = f"{over} (p{NO_BREAK}={NO_BREAK}{significant(self.over_test.p_value, 2)})"
        if self.over_seeds:
            return f"{self.text}, shown over seeds alone, not over {tested}"
        return f"{self.text}, shown over {tested} alone, not over seeds"


def gain(best: Mapping[int, float], other: Mapping[int, float], lower: bool) -> Gain:
    """Return by how much the best is ahead: relative for errors, absolute where more is better or a score is not
    positive. Scores are by seed."""
    shared = best.keys() & other.keys()
    if all(math.isclose(best[seed], other[seed], rel_tol=ROUNDING) for seed in shared):
        return Gain("0", Interval(0.0, 0.0, 0.0, len(shared)), False, 1.0)
    if lower and min(*best.values(), *other.values()) > 0:
        ratio = paired_ratio(other, best)
        logs = ratio.mapped(math.log)
        return Gain(_less(ratio), logs, True, chance(logs))
    difference = paired_difference(other, best) if lower else paired_difference(best, other)
    return Gain(with_ends(difference), difference, False, chance(difference))


def gains(pairs: Iterable[Pair], losses: Losses) -> dict[Pair, Gain]:
    """Return how far each row is ahead of the other, both ways, where they share a seed: an interrupted run may hold
    other seeds of another cell. Holm's correction is over all pairs; of more than two rows over several series none is
    ahead unless Friedman's test says that they do not rank alike."""
    shared = [pair for pair in pairs if pair[0].scores.keys() & pair[1].scores.keys()]
    if not shared:
        return {}
    lower = shared[0][0].records[0].score_better == "lower"
    ahead = [gain(a.scores, b.scores, lower) for a, b in shared]
    corrected = holm([won.p_value for won in ahead])
    tested = [losses.compared(*pair) for pair in shared]
    known = [each for each in tested if each is not None]
    alike = losses.alike(row for pair in shared for row in pair) if known else 0.0
    over = iter([max(p_value, alike) for p_value in holm([each.p_value for each in known])])
    found: dict[Pair, Gain] = {}
    for (a, b), won, p_value, test in zip(shared, ahead, corrected, tested, strict=True):
        paired = None if test is None else Paired(test.ahead, next(over))
        found[a, b] = replace(won, p_value=p_value, over_test=paired, family=len(shared))
        lost = gain(b.scores, a.scores, lower)
        found[b, a] = replace(lost, p_value=p_value, over_test=paired and paired.turned, family=len(shared))
    return found


def comparable(rows: Sequence[Row]) -> list[Row]:
    """Return the cells' rows whose scores may be compared, best first: of the one backend, dtype and thread count that
    most rows with a score have, of `TRAINER` among equals."""
    found: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        if row.ranked and row.scores and not row.is_baseline:
            found.setdefault((row.backend, row.variant.dtype, row.variant.threads), []).append(row)
    chosen: list[Row] = max(found.values(), key=lambda own: (len(own), own[0].backend == TRAINER), default=[])
    return best_first(chosen)


def best_first(rows: Iterable[Row]) -> list[Row]:
    """Return those with a score in the order of their scores, then the others."""
    given = list(rows)
    scored = [row for row in given if row.scores]
    lower = bool(scored) and scored[0].records[0].score_better == "lower"
    ordered = sorted(scored, key=lambda row: fmean(row.scores.values()), reverse=not lower)
    return ordered + [row for row in given if not row.scores]


def with_ends(found: Interval) -> str:
    """Write an estimate with its interval: 0.500 [0.480, 0.520]."""
    return significant(found.value) + (NO_BREAK + bracketed(*found.ends) if found.ends else "")


def _less(ratio: Interval) -> str:
    """Write other / best as a share by which the error is smaller, or as a factor once that says more."""
    if ratio.value >= 2:
        return f"a factor of {with_ends(ratio)}"
    less = ratio.mapped(lambda times: 1 - 1 / times)
    return percent(less.value, less.ends)
