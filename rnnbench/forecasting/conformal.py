"""Split conformal intervals: a forecast, and on either side what the errors of past forecasts have stayed within.

Of n errors of forecasts whose targets were not trained on, the ⌈(n+1)(1−α)⌉-th smallest absolute one covers a further
error with a probability of at least 1−α, where all n+1 are exchangeable: Vovk, Gammerman and Shafer 2005; Lei et al.
2018, arXiv:1604.04173. Where n is too small for a level, no width does, and none is given.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Annotated

import numpy as np

from rnnbench.model import Array
from rnnbench.records.fields import Amount, Within

LEVELS = (80, 95)  # percent


@dataclass(frozen=True)
class Band:
    """level: in percent. half_widths: of each step ahead, in the scale of its series."""

    level: Annotated[int, Within(1, 99)]
    half_widths: tuple[Amount, ...]


def rank(count: int, level: int) -> int | None:
    """Return which of `count` errors, the smallest first from 1, is the half-width of a level's interval; None where
    there are too few."""
    place = ceil((count + 1) * Fraction(level, 100))  # in floats (19 + 1) * 0.95 is more than 19
    return place if place <= count else None


def fewest(level: int) -> int:
    """Return how many errors a level needs."""
    return next(count for count in range(1, 1000) if rank(count, level))


def intervals(errors: Array, levels: tuple[int, ...] = LEVELS) -> tuple[Band, ...]:
    """Return the intervals that errors [N, O] of past forecasts allow; none of a level that N is too small for."""
    ordered = np.sort(np.abs(errors), axis=0)
    ranks = [(level, rank(len(ordered), level)) for level in levels]
    return tuple(Band(level, tuple(map(float, ordered[place - 1]))) for level, place in ranks if place)


def coverage(errors: Array, interval: Band) -> float:
    """Return the share of errors [N, O] that an interval covers."""
    return float((np.abs(errors) <= np.array(interval.half_widths)).mean())
