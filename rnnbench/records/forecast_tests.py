"""Whether one method is better than another beyond the few times or series that both were tested on.

Pure functions of losses, the smaller the better, which two methods have at the same times or of the same series. Seeds
tell how far chance in training goes; these tell how far the choice of the test part does.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rnnbench.records.statistics import Interval, mean_interval

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

SMALLEST_SAMPLE = 8  # times or series that a verdict takes
TIMES_A_LEAD = 10  # and so many times a lead: of fewer the test errs in a fifth of all cases, of these in 1 of 12


class Paired(NamedTuple):
    """What two methods' paired losses say. ahead: whether the first has the smaller ones; p_value: two-sided, 1 where
    there is no difference."""

    ahead: bool
    p_value: float

    @property
    def turned(self) -> "Paired":
        """Return the same with the second method as the first."""
        return Paired(not self.ahead and self.p_value < 1, self.p_value)


def enough(count: int, lead: int = 1) -> bool:
    """Tell whether so many test times, or series, allow a verdict."""
    return count >= max(SMALLEST_SAMPLE, TIMES_A_LEAD * lead if lead > 1 else 0)


def diebold_mariano(one: "ArrayLike", other: "ArrayLike", lead: int = 1) -> Paired:
    """Test whether losses [n] at the same test times have the same mean.

    Diebold and Mariano 1995, with the correction and Student's t, n - 1 degrees of freedom, of Harvey, Leybourne and
    Newbold, "Testing the equality of prediction mean squared errors", 1997:

        S = d̄ √((n - h)(n - h + 1) / n / (γ₀ + 2 Σ γₖ)),   k from 1 to h - 1

    d are the differences, γ their autocovariances, h is `lead`: forecasts that reach h test times ahead have errors in
    common at times less than h apart. It errs too often where n is not `enough`.
    """
    from scipy.special import stdtr

    d = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    n, mean = len(d), float(d.mean()) if len(d) else 0.0
    if n <= lead or mean == 0:
        return Paired(False, 1.0)
    rest = d - mean
    covariances = [float(np.einsum("i,i", rest[k:], rest[: n - k])) / n for k in range(lead)]  # `@` wakes all cores
    variance = covariances[0] + 2 * sum(covariances[1:])
    if variance <= 0:
        variance = covariances[0]  # of errors that alternate: what R's `dm.test` falls back to
    if variance == 0:
        return Paired(mean < 0, 0.0)
    statistic = mean * ((n - lead) * (n - lead + 1) / n / variance) ** 0.5
    return Paired(mean < 0, 2 * float(stdtr(n - 1, -abs(statistic))))


def mean_loss(losses: "ArrayLike", lead: int | None) -> Interval:
    """Return the mean of losses [n] with its interval over test times, which hang together: by Newey and West 1987,
    with as many lags as forecasts overlap or the rule of thumb says. lead: None for losses of series, which do not."""
    values = np.asarray(losses, np.float64)
    n, mean = len(values), float(values.mean())
    plain = mean_interval(values.tolist())
    if lead is None or plain.half is None:
        return plain
    rest, lags = values - mean, min(n - 1, max(lead - 1, int(4 * (n / 100) ** (2 / 9))))
    own, *others = (float(np.einsum("i,i", rest[k:], rest[: n - k])) for k in range(lags + 1))
    share = 1 + 2 * sum((1 - k / (lags + 1)) * other for k, other in enumerate(others, 1)) / own if own else 1.0
    half = plain.half * max(0.0, share) ** 0.5
    return Interval(mean, mean - half, mean + half, n)


def signed_rank(one: "ArrayLike", other: "ArrayLike") -> Paired:
    """Test whether losses [n] of the same series differ either way, by Wilcoxon's signed ranks: a few series of large
    errors do not decide. Series without a difference are left out."""
    from scipy.stats import wilcoxon

    d = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    if not d.any():
        return Paired(False, 1.0)
    less, greater = (float(wilcoxon(d[d != 0], alternative=end).pvalue) for end in ("less", "greater"))
    return Paired(less < greater, min(1.0, 2 * min(less, greater)))


def friedman(methods: "Sequence[ArrayLike]") -> float:
    """Return the p-value that several methods' losses [n] of the same series rank alike (Friedman 1937): pairs of more
    than two methods are looked at only where it is small."""
    from scipy.stats import friedmanchisquare

    losses = np.asarray(methods, np.float64)
    return 1.0 if (losses == losses[0]).all() else float(friedmanchisquare(*losses).pvalue)
