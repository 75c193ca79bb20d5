"""The one definition of every figure: its unit, which direction is better, and how rounds and seeds become one number.

A record holds a figure of one process, which runs one seed; a row is its records over the seeds. Reports, history, the
gate, the asv suite and `Run.frame()` read all of it here, so that a run has one `infer_seconds`, wherever it is shown.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from rnnbench.records.record import Record
from rnnbench.records.statistics import Interval, exponential, mean_interval, median_interval

Better = Literal["lower", "higher"]
Pick = Callable[[Sequence[Record]], Sequence[Record]]
Reducer = Callable[[Sequence[float]], Interval]


def geometric(values: Sequence[float]) -> Interval:
    """Return the geometric mean with the interval of the logarithms: times and rates compare by ratios."""
    if min(values) <= 0:
        return Interval(fmean(values), None, None, len(values))
    return exponential(mean_interval([math.log(value) for value in values]))


def largest(values: Sequence[float]) -> Interval:
    """Return the largest: for errors, and for counts, which no seed changes."""
    return Interval(max(values), None, None, len(values))


def percentile(percent: int) -> Reducer:
    """Return the choice of that percentile of single values; no interval is told of it."""
    return lambda values: Interval(
        sorted(values)[min(len(values) - 1, len(values) * percent // 100)], None, None, len(values)
    )


def after_the_first(values: Sequence[float]) -> Interval:
    """Return the median of all but the first, which may compile."""
    return median_interval(values[1:] or values)


def every(records: Sequence[Record]) -> Sequence[Record]:
    """Return them all, failed ones too: what they are does not depend on how they ended."""
    return records


def passed(records: Sequence[Record]) -> Sequence[Record]:
    """Return those that came through."""
    return [record for record in records if record.status == "ok"]


def steady(records: Sequence[Record]) -> Sequence[Record]:
    """Return those of processes that had no kernel to compile; all, where each had: compiling takes memory."""
    return [record for record in passed(records) if record.compile_cache != "cold"] or passed(records)


def compiled(cache: str) -> Pick:
    """Return the choice of records whose kernels came from such a cache: "cold" or "warm"."""
    return lambda records: [record for record in passed(records) if record.compile_cache == cache]


@dataclass(frozen=True)
class Figure:
    """A number that records hold.

    name: what it is called everywhere; column: the record's, where that is another. unit: "s", "B", "1/s", or "" for a
    plain number. better: None where the task says it (scores). over_seeds: of the values of a row's records, one a
    seed; a seed's folds count as one, with their mean. over_rounds: of the samples that one process took, where the
    record's value comes from them. pick: the records that count. complete: there is no value unless every record that
    counts has one.
    """

    name: str
    unit: str
    better: Better | None
    over_seeds: Reducer
    over_rounds: Reducer = median_interval
    pick: Pick = passed
    complete: bool = False
    column: str = ""

    def of(self, records: Iterable[Record]) -> Interval | None:
        """Return a row's figure from its records, one a seed or one a fold of it; None where nothing is known.

        The interval is the one between processes; a single process has that of its own rounds, where its record has it.
        """
        counted = self.pick(list(records))
        known = [record for record in counted if getattr(record, self.column or self.name) is not None]
        if not known or (self.complete and len(known) < len(counted)):
            return None
        of_seeds: dict[int, list[float]] = {}
        for number, record in enumerate(known):
            seed = -1 - number if record.fold is None else record.seed
            of_seeds.setdefault(seed, []).append(float(getattr(record, self.column or self.name)))
        values = [fmean(own) if len(own) > 1 else own[0] for own in of_seeds.values()]
        if len(known) > 1:
            return self.over_seeds(values)
        low, high = (getattr(known[0], f"{self.name}_{end}", None) for end in ("low", "high"))
        return Interval(values[0], low, high, 1)


FIGURES = {
    figure.name: figure
    for figure in (
        Figure("infer_seconds", "s", "lower", geometric),
        Figure("first_step_seconds", "s", "lower", geometric),
        Figure("latency_p50_seconds", "s", "lower", geometric, percentile(50)),
        Figure("latency_p99_seconds", "s", "lower", geometric, percentile(99)),
        Figure("first_call_seconds", "s", "lower", geometric),
        Figure("train_seconds", "s", "lower", geometric),
        Figure("train_step_seconds", "s", "lower", geometric, after_the_first),
        Figure("seconds_to_learn", "s", "lower", geometric, complete=True),
        Figure("compile_seconds_cold", "s", "lower", geometric, pick=compiled("cold"), column="compile_seconds"),
        Figure("compile_seconds_warm", "s", "lower", geometric, pick=compiled("warm"), column="compile_seconds"),
        Figure("score", "", None, mean_interval),
        Figure("score_median", "", None, mean_interval),
        Figure("mae", "", "lower", mean_interval),
        Figure("rmse", "", "lower", mean_interval),
        Figure("mase", "", "lower", mean_interval),
        Figure("smape", "", "lower", mean_interval),
        Figure("persistence_ratio", "", "lower", mean_interval),
        Figure("train_steps", "", "lower", mean_interval),
        Figure("parameters", "", "lower", largest, pick=every),
        Figure("parameters_two_bias", "", "lower", largest, pick=every),
        Figure("peak_rss_bytes", "B", "lower", mean_interval, pick=steady),
        Figure("forward_error", "", "lower", largest),
        Figure("gradient_error", "", "lower", largest),
        Figure("flops_per_second", "1/s", "higher", geometric),
        Figure("roofline_fraction", "", "higher", geometric),
    )
}


def unit(name: str) -> str:
    """Return a figure's unit; of those that others keep, asv for one, the unit that the name says."""
    if name in FIGURES:
        return FIGURES[name].unit
    return "s" if "_seconds" in name else "B" if name.endswith("_bytes") else ""


def value(name: str, records: Iterable[Record]) -> float | None:
    """Return a row's figure without its interval."""
    found = FIGURES[name].of(records)
    return None if found is None else found.value
