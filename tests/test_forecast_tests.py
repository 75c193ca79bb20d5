"""Tests over test times and over series against published values, and by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from rnnbench.records.forecast_tests import Paired, diebold_mariano, enough, friedman, mean_loss, signed_rank

# Errors of two models of WWWusage, and what R's forecast::dm.test says of them: test/diebold_mariano.jl of
# JuliaStats/HypothesisTests.jl.
ETS = (0.002241270, -0.000661906, -1.200002613, -4.000218178, 3.799373533, 3.401005111, -1.199692125)
ETS += (-0.800490048, -1.200048999, 3.399847229, 7.000708948, 2.200989241, -4.800165569, -1.201043375)
ETS += (3.400167556, 3.000709085, 0.400267950, -6.800169207, -2.401259050, 1.200112198)
ARIMA = (0.1209998, 8.0622269, -0.9189429, -1.7952436, 5.3431277, 2.0459823, -0.6073261, 0.5516816, -0.7633238)
ARIMA += (4.1229472, 5.8785333, 1.2828331, -3.4854233, 1.1971370, 3.1709314, 2.3408457, 0.4962286, -5.9841362)
ARIMA += (0.1537114, 0.4207951)


@pytest.mark.parametrize(
    ("power", "lead", "p_value", "ahead"), [(2, 1, 0.8871, True), (2, 10, 0.9362, True), (1, 1, 0.7818, False)]
)
def test_diebold_mariano_is_that_of_r(power: int, lead: int, p_value: float, ahead: bool) -> None:
    one, other = ([abs(error) ** power for error in errors] for errors in (ETS, ARIMA))
    found = diebold_mariano(one, other, lead)
    assert found.p_value == pytest.approx(p_value, abs=5e-5)  # four digits are published
    assert found.ahead is ahead
    assert diebold_mariano(other, one, lead) == pytest.approx(found.turned)


def test_equal_losses_say_nothing_and_a_constant_lead_says_all() -> None:
    assert diebold_mariano(ETS, ETS) == Paired(False, 1.0)
    assert diebold_mariano([1.0] * 9, [2.0] * 9) == Paired(True, 0.0)
    assert diebold_mariano([1.0, 2.0], [2.0, 1.5], lead=2) == Paired(False, 1.0)
    assert signed_rank(ETS, ETS) == Paired(False, 1.0)
    assert friedman([ETS, ETS, ETS]) == 1.0


def simulated(n: int, lead: int, draws: int) -> float:
    """How often two methods that forecast equally well are told apart: their differences are sums over `lead` times."""
    rng = np.random.default_rng(0)
    shocks = np.cumsum(np.pad(rng.normal(size=(draws, n + lead - 1)), ((0, 0), (1, 0))), axis=1)
    differences = shocks[:, lead:] - shocks[:, :-lead]
    return float(np.mean([diebold_mariano(d, np.zeros(n), lead).p_value < 0.05 for d in differences]))


def test_where_it_says_enough_it_errs_about_as_often_as_it_should() -> None:
    """One step ahead it is Student's t; of more steps the estimate of their covariances errs too."""
    five_errors = 5 * math.sqrt(0.05 * 0.95 / 1000)
    assert abs(simulated(8, 1, 1000) - 0.05) < five_errors
    for lead in (2, 4, 8, 12):
        assert enough(10 * lead, lead)
        assert not enough(10 * lead - 1, lead)
        assert simulated(10 * lead, lead, 1000) < 1 / 12 + five_errors
    assert simulated(24, 12, 1000) > 0.2  # what the rule is for


def test_the_interval_of_independent_losses_is_students() -> None:
    found = mean_loss(ETS, None)
    low, high = stats.t.interval(0.95, 19, loc=np.mean(ETS), scale=stats.sem(ETS))
    assert (found.value, found.low, found.high) == pytest.approx((np.mean(ETS), low, high))
    assert found.count == 20
    assert mean_loss(ETS[:1], None).ends is None


@pytest.mark.parametrize(("again", "least"), [(0.0, 0.9), (0.5, 0.85)])
def test_the_interval_over_times_allows_for_losses_that_hang_together(again: float, least: float) -> None:
    """Of 100 times; what Student's t covers of losses that keep half of the one before is 0.74."""
    rng, covered, draws = np.random.default_rng(1), 0, 1000
    noise = rng.normal(size=(draws, 200))
    for now in range(1, 200):
        noise[:, now] += again * noise[:, now - 1]
    for losses in noise[:, 100:]:
        low, high = mean_loss(losses, 1).ends or (0.0, 0.0)
        covered += low <= 0 <= high
    assert least < covered / draws < 0.97


def test_the_signed_rank_test_is_wilcoxons() -> None:
    """Depression scores of nine patients, Hollander and Wolfe 1973: V = 40, one-sided p = 0.01953 (R's wilcox.test)."""
    before = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
    after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
    assert signed_rank(after, before) == (True, pytest.approx(2 * 0.01953, abs=1e-5))
    assert signed_rank(before, after).ahead is False


def test_friedmans_test_is_that_of_the_base_runners() -> None:
    """Rounding first base, three ways, 22 runners, Hollander and Wolfe 1973: p = 0.003805 (R's friedman.test)."""
    runs = """5.40 5.50 5.55 5.85 5.70 5.75 5.20 5.60 5.50 5.55 5.50 5.40 5.90 5.85 5.70 5.45 5.55 5.60 5.40 5.40 5.35
        5.45 5.50 5.35 5.25 5.15 5.00 5.85 5.80 5.70 5.25 5.20 5.10 5.65 5.55 5.45 5.60 5.35 5.45 5.05 5.00 4.95 5.50
        5.50 5.40 5.45 5.55 5.50 5.55 5.55 5.35 5.45 5.50 5.55 5.50 5.45 5.25 5.65 5.60 5.40 5.70 5.65 5.55 6.30 6.30
        6.25"""
    times = [float(word) for word in runs.split()]
    assert friedman([times[way::3] for way in range(3)]) == pytest.approx(0.003805, abs=5e-7)
