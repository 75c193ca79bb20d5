"""What is a regression. Pure functions of samples; who measured them, and how, is not their business.

Every series is brought to one form: an interval on how much worse it became (0: not at all), and a floor below which a
change does not count. It is a regression when

- the whole 95 % interval lies above 0, and
- the middle lies above the floor: at least the machine's own A/A noise, measured in the same minutes, and
- Student's t rejects "no change" at 5 % after Holm's correction for the number of series looked at.

Figures without chance in them (parameter counts, the error against the reference) have an interval of no width and
take no part in the correction. The gate demands all of it twice: what is flagged is measured again.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, NamedTuple

from rnnbench.records.figures import FIGURES
from rnnbench.records.statistics import (
    CONFIDENCE,
    SMALLEST_EFFECT,
    Interval,
    chance,
    holm,
    mean_interval,
    minimum_effect,
    paired_difference,
    paired_ratio,
    ratio,
)
from rnnbench.tracking.ab import BASE, CANDIDATE, SIDES, TIMED, ABSamples
from rnnbench.tracking.checkout_worker import ModelFacts

Worse = Literal["slower", "larger", "less accurate"]
# A kernel that sums in another order moves its error by a factor of two or so; two bits lost are no rounding.
ERROR_FACTOR = 4.0
FLOAT32_EPSILON = 2.0**-23


class GateFigure(NamedTuple):
    """words: what it is called in a sentence; name: by `records.figures`, which says its unit and typical value."""

    words: str
    name: str


GATE_FIGURES = {
    "infer": GateFigure("inference", "infer_seconds"),
    "step": GateFigure("single step", "latency_p50_seconds"),
    "train": GateFigure("training step", "train_step_seconds"),
    "memory": GateFigure("peak memory", "peak_rss_bytes"),
    "parameters": GateFigure("parameters", "parameters"),
    "parameters_two_bias": GateFigure("params (2 biases)", "parameters_two_bias"),
    "score": GateFigure("score", "score"),
    "error": GateFigure("error (float64)", "forward_error"),
}


@dataclass(frozen=True)
class Change:
    """One series. name: its cell or row; figure: a key of GATE_FIGURES. before, after: typical values. effect: how much
    worse, as a logarithm of a ratio (or for scores as a share of the score before). floor: on the same scale. exact:
    there is no chance in it."""

    name: str
    figure: str
    worse: Worse
    before: float
    after: float
    effect: Interval
    floor: float
    exact: bool = False

    @property
    def words(self) -> str:
        """Return what the figure is called in a sentence."""
        return GATE_FIGURES[self.figure].words

    @property
    def unit(self) -> str:
        """Return the figure's unit, "" for a plain number."""
        return FIGURES[GATE_FIGURES[self.figure].name].unit

    @property
    def share(self) -> Interval:
        """Return how much worse it is as a share: `effect`, without its logarithm."""
        return self.effect if self.figure == "score" else self.effect.mapped(math.expm1)

    @property
    def least(self) -> float:
        """Return the floor as a share."""
        return self.floor if self.figure == "score" else math.expm1(self.floor)

    @property
    def beyond(self) -> bool:
        """Return whether it is worse beyond its interval and its floor; whether that is chance is up to `regressed`."""
        return self.effect.low is not None and self.effect.low > 0 and self.effect.value > self.floor


@dataclass(frozen=True)
class BrokenCell:
    """A cell that one side could not run. regressed: the base could."""

    name: str
    reason: str
    regressed: bool


def changes(samples: ABSamples, backend: str) -> list[Change]:
    """Return every series that both sides have, from an interleaved measurement. Memory is that of all cells together,
    so it is left out where a side could not run one."""
    found = []
    cells = dict.fromkeys(cell for _, cell in samples.facts if not samples.failed(cell))
    for cell in cells:
        name = f"{cell} on {backend}"
        found += [_time(samples, cell, figure, name) for figure in TIMED if (BASE, cell, figure) in samples.times]
        base, control, candidate = (samples.scores.get((side, cell), {}) for side in SIDES)
        if base and candidate:
            found.append(less_accurate(name, base, candidate, control, samples.better))
        found += exact(name, samples.facts[BASE, cell], samples.facts[CANDIDATE, cell])
    base_bytes, control_bytes, candidate_bytes = (dict(enumerate(samples.memory.get(side, []))) for side in SIDES)
    complete = base_bytes.keys() == control_bytes.keys() == candidate_bytes.keys()
    if complete and base_bytes and cells and not samples.failures:
        found.append(grown(backend, "memory", base_bytes, candidate_bytes, paired_ratio(control_bytes, base_bytes)))
    return found


def broken(samples: ABSamples, backend: str) -> list[BrokenCell]:
    """Return the cells without changes. Where the base fails too, there is nothing to compare with and nobody to
    blame."""
    found = []
    for cell in dict.fromkeys(cell for _, cell in samples.failures):
        reasons = [samples.failures[side, cell] for side in SIDES if (side, cell) in samples.failures]
        regressed = (BASE, cell) not in samples.failures and (CANDIDATE, cell) in samples.failures
        found.append(BrokenCell(f"{cell} on {backend}", reasons[0], regressed))
    return found


def regressed(found: Sequence[Change]) -> list[Change]:
    """Return those that got worse beyond interval, floor and the chance of so many series."""
    uncertain = [change for change in found if not change.exact]
    corrected = holm([chance(change.effect) for change in uncertain])
    real = {id(change) for change, p in zip(uncertain, corrected, strict=True) if p < 1 - CONFIDENCE}
    return [change for change in found if change.beyond and (change.exact or id(change) in real)]


def grown(
    name: str, figure: str, before: Mapping[int, float], after: Mapping[int, float], *noises: Interval | None
) -> Change:
    """Compare times or bytes by process (or seed); noises: of one program against itself."""
    worse: Worse = "larger" if figure == "memory" else "slower"
    was, now = (_typical(figure, list(side.values())) for side in (before, after))
    effect = paired_ratio(after, before).mapped(math.log)
    return Change(name, figure, worse, was, now, effect, math.log1p(minimum_effect(*noises)))


def less_accurate(
    name: str, before: Mapping[int, float], after: Mapping[int, float], noise: Mapping[int, float], better: str
) -> Change:
    """Compare scores by seed; noise: what another run of `before` scored, for backends that do not repeat
    themselves."""
    was, now = (_typical("score", list(side.values())) for side in (before, after))
    scale = abs(was) or 1.0
    sign = (1 if better == "lower" else -1) / scale
    change = mean_interval([sign * (after[seed] - before[seed]) for seed in sorted(before.keys() & after.keys())])
    floor = SMALLEST_EFFECT
    if noise.keys() & before.keys():
        own = paired_difference(noise, before)
        floor = max(floor, *(abs(end) / scale for end in (own.value, own.low, own.high) if end is not None))
    return Change(name, "score", "less accurate", was, now, change, floor)


def exact(name: str, before: ModelFacts, after: ModelFacts) -> list[Change]:
    """Compare parameter counts and the error against the reference, each one number a side."""
    found = [
        _certain(name, figure, "larger", getattr(before, figure), getattr(after, figure), 0.0)
        for figure in ("parameters", "parameters_two_bias")
        if getattr(before, figure) and getattr(after, figure)  # a row that failed early has no count
    ]
    if before.error is not None and after.error is not None:
        was, now = (max(error, FLOAT32_EPSILON) for error in (before.error, after.error))
        found.append(_certain(name, "error", "less accurate", was, now, math.log(ERROR_FACTOR)))
    return found


def _certain(name: str, figure: str, worse: Worse, before: float, after: float, floor: float) -> Change:
    effect = math.log(after / before)
    return Change(name, figure, worse, before, after, Interval(effect, effect, effect, 1), floor, exact=True)


def _time(samples: ABSamples, cell: str, figure: str, name: str) -> Change:
    """Compare round with round, so that drift within a process cancels too."""
    base, control, candidate = (samples.times[side, cell, figure] for side in SIDES)
    was, now = (_typical(figure, [median(rounds) for rounds in side]) for side in (base, candidate))
    floor = math.log1p(minimum_effect(ratio(control, base)))
    return Change(name, figure, "slower", was, now, ratio(candidate, base).mapped(math.log), floor)


def _typical(figure: str, values: Sequence[float]) -> float:
    """Return the value over processes (or seeds) that a table shows."""
    return FIGURES[GATE_FIGURES[figure].name].over_seeds(values).value
