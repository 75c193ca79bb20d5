"""What our intervals cover, by simulation: processes drawn from laws whose true mean is known."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from rnnbench.records.statistics import CONFIDENCE, PROCESSES_FOR_A_VERDICT, chance, holm, mean_interval

Draw = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]

# Of a process's log ratio, with mean 0. Those of one side's layouts, and the exponential, are lopsided: the worst case.
LAWS: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "Student's t, 3 degrees of freedom": lambda rng, shape: rng.standard_t(3, shape),
    "one process in ten is three times as far out": lambda rng, shape: (
        rng.normal(size=shape) * np.where(rng.random(shape) < 0.1, 3, 1)
    ),
    "two memory layouts, one process in four in the other": lambda rng, shape: layouts(rng, shape),
    "the same layouts on either side": lambda rng, shape: layouts(rng, shape) - layouts(rng, shape),
    "exponential": lambda rng, shape: rng.exponential(size=shape) - 1,
}


def layouts(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return (rng.random(shape) < 0.25) * 2.0 - 0.5 + 0.3 * rng.normal(size=shape)


SIZES = (3, PROCESSES_FOR_A_VERDICT, 7, 10)
RESAMPLES = 1000
CHECKED = 50  # draws for which the vectorised formula is held to the library's own
FAMILIES = (2, 3, 5)  # cells whose scores are compared


def coverage(count: int) -> dict[str, Any]:
    """Count the shares of `count` runs whose interval holds the true mean, by law, number of processes and method."""
    rng = np.random.default_rng(0)
    rows = []
    for name, law in LAWS.items():
        for n in SIZES:
            values = law(rng, (count, n))
            rows.append(
                {"law": name, "processes": n, "t": student(values), "bootstrap": percentile_bootstrap(values, rng)}
            )
            print(
                f"{name}, {n} processes: t {rows[-1]['t']:.3f}, percentile bootstrap {rows[-1]['bootstrap']:.3f}",
                flush=True,
            )
    families = [{"cells": cells, **familywise(cells, count, rng)} for cells in FAMILIES]
    for family in families:
        print(
            f"{family['cells']} cells alike: one called better {family['holm']:.3f}, uncorrected {family['plain']:.3f}"
        )
    return {"count": count, "rows": rows, "families": families}


def student(values: NDArray[np.float64]) -> float:
    """Return how often `mean_interval` holds 0; values [runs, processes]."""
    n = values.shape[1]
    half = stdtrit(n - 1, (1 + CONFIDENCE) / 2) * values.std(axis=1, ddof=1) / math.sqrt(n)
    mean = values.mean(axis=1)
    for run in range(CHECKED):
        found = mean_interval(values[run].tolist())
        assert found.high is not None
        assert math.isclose(found.high, mean[run] + half[run], rel_tol=1e-9, abs_tol=1e-12)
    return float(np.mean(np.abs(mean) <= half))


def percentile_bootstrap(values: NDArray[np.float64], rng: np.random.Generator) -> float:
    """Return the same of what we do not use: the middle 95 % of resampled means."""
    held, n = 0, values.shape[1]
    for run in values:
        means = run[rng.integers(0, n, (RESAMPLES, n))].mean(axis=1)
        low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        held += low <= 0 <= high
    return held / len(values)


def familywise(cells: int, runs: int, rng: np.random.Generator) -> dict[str, float]:
    """Return how often the best of several cells that are alike is called better than some other, over five seeds: by
    the rule of the report, Holm's over all pairs, and without a correction."""
    called = {"holm": 0, "plain": 0}
    for _ in range(runs):
        scores = rng.normal(size=(cells, PROCESSES_FOR_A_VERDICT))
        order = np.argsort(-scores.mean(axis=1))
        pairs = [(a, b) for a in range(cells) for b in range(a + 1, cells)]
        chances = [chance(mean_interval((scores[order[a]] - scores[order[b]]).tolist())) for a, b in pairs]
        for name, values in (("holm", holm(chances)), ("plain", chances)):
            of_best = [value for (a, _), value in zip(pairs, values, strict=True) if a == 0]
            called[name] += min(of_best) < 1 - CONFIDENCE
    return {name: number / runs for name, number in called.items()}
