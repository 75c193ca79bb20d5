"""Speeds of a stored run against each other: rounds paired with rounds, processes (seeds) with processes."""

import math
from collections.abc import Iterable

from rnnbench.records.statistics import Interval, mean_interval, median_interval, ratio, ratio_of_logs
from rnnbench.records.store import INFER, StoredGroup

CONTROLLED = "numba"
CONTROL = "numba (twin)"  # a second process of `numba`; it has samples and no records


def speed_ratio(groups: Iterable[StoredGroup], fast: str, slow: str) -> Interval | None:
    """Return how many times faster backend `fast` is than `slow` at inference, over groups of unlike seeds.

    None where no group has rounds of both.
    """
    pairs = [(g.samples[slow][INFER], g.samples[fast][INFER]) for g in groups if _timed(g, fast) and _timed(g, slow)]
    return ratio([above for above, _ in pairs], [below for _, below in pairs]) if pairs else None


def noise(groups: Iterable[StoredGroup]) -> Interval | None:
    """Return the machine's A/A noise: one program in two processes, their times taken as if they were two backends.

    A seed has one pair of processes, so the groups of a seed are averaged first. None where no control was timed.
    """
    by_seed: dict[int, list[float]] = {}
    rounds: list[float] = []
    for group in groups:
        if _timed(group, CONTROL) and _timed(group, CONTROLLED):
            pairs = zip(group.samples[CONTROL][INFER], group.samples[CONTROLLED][INFER], strict=True)
            logs = [math.log(control / original) for control, original in pairs]
            rounds += logs
            by_seed.setdefault(group.records[0].seed, []).append(median_interval(logs).value)
    if not by_seed:
        return None
    if len(by_seed) == 1:
        return ratio([[math.exp(value) for value in rounds]], [[1.0] * len(rounds)])
    return ratio_of_logs([mean_interval(values).value for values in by_seed.values()])


def _timed(group: StoredGroup, backend: str) -> bool:
    return bool(group.records and group.samples.get(backend, {}).get(INFER))
