"""Speeds of a stored run against each other: rounds paired with rounds, processes (seeds) with processes."""

import math
from collections.abc import Iterable

from rnnbench.records.record import BASELINE
from rnnbench.records.statistics import Interval, mean_interval, median_interval, ratio, ratio_of_logs
from rnnbench.records.store import INFER, StoredGroup
from rnnbench.records.summary import RowKey, Variant

CONTROLLED = "numba"
CONTROL = "numba (twin)"  # a second process of `numba`; it has samples and no records
Sampled = dict[RowKey, dict[tuple[int, int], list[float]]]  # by row, then by seed and fold (0: the test part)


def speed_ratio(groups: Iterable[StoredGroup], fast: str, slow: str) -> Interval | None:
    """Return how many times faster backend `fast` is than `slow` at inference, over groups of unlike seeds.

    None where no group has rounds of both.
    """
    pairs = [pair for group in groups if (pair := _rounds(group, slow, fast))]
    return ratio([above for above, _ in pairs], [below for _, below in pairs]) if pairs else None


def noise(groups: Iterable[StoredGroup]) -> Interval | None:
    """Return the machine's A/A noise: one program in two processes, their times taken as if they were two backends.

    A seed has one pair of processes, so the groups of a seed are averaged first. None where no control was timed.
    """
    by_seed: dict[int, list[float]] = {}
    rounds: list[float] = []
    for group in groups:
        if pair := _rounds(group, CONTROL, CONTROLLED):
            logs = [math.log(control / original) for control, original in zip(*pair, strict=True)]
            rounds += logs
            by_seed.setdefault(group.records[0].seed, []).append(median_interval(logs).value)
    if not by_seed:
        return None
    if len(by_seed) == 1:
        return ratio([[math.exp(value) for value in rounds]], [[1.0] * len(rounds)])
    return ratio_of_logs([mean_interval(values).value for values in by_seed.values()])


def sampled(groups: Iterable[StoredGroup], name: str) -> Sampled:
    """Return what each row's predictions have under `LOSSES` or `LEAD_SCORES`, where they came through."""
    found: Sampled = {}
    for group in groups:
        for record in group.records:
            source = f"{BASELINE}:{record.cell}" if record.is_baseline else record.backend
            values = group.samples.get(source, {}).get(name)
            if values and record.status == "ok":
                key = Variant.of(record), record.backend, record.fold is not None
                found.setdefault(key, {})[record.seed, record.fold or 0] = values
    return found


def _rounds(group: StoredGroup, one: str, other: str) -> tuple[list[float], list[float]] | None:
    """Return the rounds of two, paired; None where either was not timed, or not to the end."""
    first, second = (group.samples.get(name, {}).get(INFER) or [] for name in (one, other))
    return (first, second) if group.records and first and len(first) == len(second) else None
