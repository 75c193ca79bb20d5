"""What may be said of repeated measurements. Pure functions of numbers; the processes a value came from are counted.

The error bar of a speed is the spread between processes, not between calls (Kalibera and Jones, "Rigorous
benchmarking in reasonable time", ISMM 2013). Three to ten values give a Student's t interval: a percentile bootstrap
of so few covers too little (Hesterberg, "What teachers should know about the bootstrap", 2015: at n = 5 it is about
√(4/5) · 1.96 / 2.78 = 0.63 as wide as it should be).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

CONFIDENCE = 0.95
POWER = 0.8  # how often a detectable effect is detected
PROCESSES_FOR_A_VERDICT = 5
LARGEST_LOG = 500.0  # an interval that is wider says nothing, and its ends would be no numbers
SMALLEST_EFFECT = 0.02  # below 2 % code alignment and page placement alone decide, on the quietest machine

Verdict = Literal["faster", "slower", "same", "inconclusive"]


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its 95 % interval; the ends are None where `count` values cannot give one.

    A ratio of two times counts the processes a side. With one, its interval comes from the rounds and leaves the
    spread between processes out.
    """

    value: float
    low: float | None
    high: float | None
    count: int

    @property
    def ends(self) -> tuple[float, float] | None:
        """Return both ends, or None without an interval."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def half(self) -> float | None:
        """Return how far the upper end is away, or None without an interval."""
        return None if self.high is None else self.high - self.value

    def mapped(self, function: Callable[[float], float]) -> "Interval":
        """Return the interval of a rising function of the value."""
        low, high = (None if end is None else function(end) for end in (self.low, self.high))
        return Interval(function(self.value), low, high, self.count)


def mean_interval(values: Sequence[float]) -> Interval:
    """Return the mean with its Student's t interval. Raises ValueError for no values."""
    n = len(values)
    if not n:
        raise ValueError("an interval needs at least one value")
    mean = math.fsum(values) / n
    if n < 2:
        return Interval(mean, None, None, n)
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    half = _quantile((1 + CONFIDENCE) / 2, n) * math.sqrt(variance / n)
    return Interval(mean, mean - half, mean + half, n)


def median_interval(values: Sequence[float]) -> Interval:
    """Return the median, with order statistics as ends: no law assumed, so one slow round does not stretch it.

    The ends are the k-th smallest and largest, k the largest for which they enclose the median with 95 %
    (David and Nagaraja, "Order statistics", 7.1); fewer than six values cannot.
    """
    n = len(values)
    if not n:
        raise ValueError("an interval needs at least one value")
    ordered = sorted(values)
    median = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    inside, outside, term = 0, 0, 2  # in units of 2**-n: whole numbers, however many values there are
    allowed = 2**n * round(1000 * (1 - CONFIDENCE)) // 1000
    for k in range(n // 2):
        outside += term
        if outside > allowed:
            break
        inside, term = k + 1, term * (n - k) // (k + 1)
    if not inside:
        return Interval(median, None, None, n)
    return Interval(median, ordered[inside - 1], ordered[n - inside], n)


def ratio(numerator: Sequence[Sequence[float]], denominator: Sequence[Sequence[float]]) -> Interval:
    """Return the quotient of two things timed interleaved: rounds (seconds) for each process, in the same order.

    Round is paired with round and process with process, so that a drift of the machine cancels. A process counts with
    the median of its rounds, which a neighbour's burst in one of them does not move. Raises ValueError where the two
    do not have the same processes and rounds.
    """
    logs = [
        [math.log(a / b) for a, b in zip(above, below, strict=True)]
        for above, below in zip(numerator, denominator, strict=True)
    ]
    if len(logs) == 1:
        return replace(median_interval(logs[0]).mapped(math.exp), count=1)
    return ratio_of_logs([median_interval(rounds).value for rounds in logs])


def ratio_of_logs(log_ratios: Sequence[float]) -> Interval:
    """Return the quotient whose logarithms, one per process, are given."""
    return exponential(mean_interval(log_ratios))


def exponential(logs: Interval) -> Interval:
    """Return the interval of what has these logarithms; without ends where they are beyond all bounds."""
    if logs.ends and max(map(abs, logs.ends)) > LARGEST_LOG:
        logs = replace(logs, low=None, high=None)
    return logs.mapped(math.exp)


def chance(estimate: Interval) -> float:
    """Return the two-sided p-value of Student's t test that the mean is 0, of what `mean_interval` gave; 1 where so few
    values cannot tell."""
    if estimate.low is None or estimate.count < 2:
        return 1.0
    error = _standard_error(estimate)
    if error == 0:
        return 1.0 if estimate.value == 0 else 0.0
    from scipy.special import stdtr

    return 2 * float(stdtr(estimate.count - 1, -abs(estimate.value) / error))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values corrected for there being several, in their order (Holm 1979): rejecting those below α errs
    with even one of them no more often than α, whatever they have to do with each other."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[position]))
        corrected[position] = largest
    return corrected


def detectable(estimate: Interval) -> float | None:
    """Return how far from 0 a mean would have to be for its interval to leave 0 out in `POWER` of all runs, given the
    spread that this one had; None where that is not known. The sum of the two quantiles, as for the normal law, is 1 %
    below what simulation gives at n = 5, and 5 % at n = 3."""
    if estimate.low is None or estimate.count < 2:  # the interval of a single process is that of its rounds
        return None
    n = estimate.count
    return (_quantile((1 + CONFIDENCE) / 2, n) + _quantile(POWER, n)) * _standard_error(estimate)


def detectable_effect(ratio: Interval) -> float | None:
    """Return what is `detectable` in a ratio, as a share (0.02 for 2 %)."""
    logs = detectable(ratio.mapped(math.log))
    return None if logs is None else math.exp(logs) - 1


def paired_difference(a: Mapping[int, float], b: Mapping[int, float]) -> Interval:
    """Return the mean of a - b over the seeds that both have. Raises ValueError where they share none."""
    return mean_interval([a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())])


def paired_ratio(a: Mapping[int, float], b: Mapping[int, float]) -> Interval:
    """Return a / b over the seeds that both have; the values must be positive."""
    return ratio_of_logs([math.log(a[seed] / b[seed]) for seed in sorted(a.keys() & b.keys())])


def minimum_effect(*noises: Interval | None) -> float:
    """Return the smallest effect that counts, as a share (0.02 for 2 %): what the machine shows between two processes
    of the same program, by the worst of these measurements, and never less than `SMALLEST_EFFECT`."""
    ends = [end for noise in noises if noise for end in (noise.value, noise.low, noise.high) if end is not None]
    return max([SMALLEST_EFFECT, *(math.exp(abs(math.log(end))) - 1 for end in ends)])


def verdict(ratio: Interval, minimum_effect: float) -> Verdict:
    """Return what a ratio (the other's time over this one's: above 1, this one is faster) allows us to say.

    - Fewer than five processes a side, or no interval: inconclusive.
    - faster / slower: the interval excludes 1, and the ratio is farther from 1 than the minimum effect.
    - same: the whole interval lies within the minimum effect of 1, either way.
    - Else inconclusive.
    """
    if ratio.low is None or ratio.high is None or ratio.count < PROCESSES_FOR_A_VERDICT:
        return "inconclusive"
    bound = 1 + minimum_effect
    if ratio.low > 1 and ratio.value > bound:
        return "faster"
    if ratio.high < 1 and ratio.value < 1 / bound:
        return "slower"
    if ratio.low >= 1 / bound and ratio.high <= bound:
        return "same"
    return "inconclusive"


def _quantile(probability: float, n: int) -> float:
    """Return a quantile of Student's t for the mean of n values."""
    from scipy.special import stdtrit  # scipy.stats has it too, and takes half a second to import

    return float(stdtrit(n - 1, probability))


def _standard_error(estimate: Interval) -> float:
    assert estimate.ends
    low, high = estimate.ends
    return (high - low) / 2 / _quantile((1 + CONFIDENCE) / 2, estimate.count)
