"""Half-widths of intervals: which error it is, and that so many of exchangeable values lie within."""

import numpy as np
import pytest

from rnnbench.forecasting.conformal import Band, coverage, fewest, intervals, rank


@pytest.mark.parametrize(
    ("count", "level", "expected"),
    [(4, 80, 4), (3, 80, None), (19, 95, 19), (18, 95, None), (99, 80, 80), (99, 95, 95), (100, 95, 96), (39, 95, 38)],
)
def test_the_rank_is_the_finite_sample_s(count, level, expected):
    """⌈(n+1)(1−α)⌉ by hand; 20 · 0.95 is a float above 19, which would ask for one error more."""
    assert rank(count, level) == expected


def test_how_many_a_level_needs():
    assert (fewest(80), fewest(95), fewest(50)) == (4, 19, 1)


def test_widths_are_by_step_ahead_and_of_absolute_errors():
    errors = np.stack([np.arange(-19.0, 0.0), 10 * np.arange(1.0, 20.0)], axis=1)
    assert intervals(errors) == (Band(80, (16.0, 160.0)), Band(95, (19.0, 190.0)))


def test_a_level_that_needs_more_errors_is_left_out():
    assert [interval.level for interval in intervals(np.ones((18, 1)))] == [80]
    assert intervals(np.ones((3, 1))) == ()


def test_coverage_is_the_share_within():
    assert coverage(np.array([[1.0, 3.0], [-2.0, -5.0]]), Band(80, (2.0, 4.0))) == 0.75


@pytest.mark.parametrize("count", [4, 19, 57])
def test_a_further_value_is_covered_as_often_as_the_rank_says(count):
    """Of exchangeable values: k / (n+1) exactly, here within four standard errors of 40,000 draws."""
    draws = 40_000
    values = np.random.default_rng(0).standard_cauchy((count + 1, draws))
    for interval in intervals(values[:-1]):
        expected = rank(count, interval.level) / (count + 1)
        found = (np.abs(values[-1]) <= np.array(interval.half_widths)).mean()
        assert abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / draws)
        assert expected >= interval.level / 100
