"""Intervals, ratios and verdicts against hand-computed figures and by simulation."""

import math

import numpy as np
import pytest

from rnnbench.records import statistics
from rnnbench.records.comparisons import CONTROL, CONTROLLED, INFER, noise, speed_ratio
from rnnbench.records.noise import KnownNoise
from rnnbench.records.record import Record
from rnnbench.records.statistics import Interval
from rnnbench.records.store import StoredGroup


def test_the_t_interval_of_one_to_five_is_the_textbooks():
    found = statistics.mean_interval([1, 2, 3, 4, 5])
    half = 2.7764451 * math.sqrt(2.5 / 5)  # the 97.5 % quantile of Student's t with 4 degrees of freedom, from a table
    assert found.value == 3
    assert found.low == pytest.approx(3 - half, rel=1e-6)
    assert found.high == pytest.approx(3 + half, rel=1e-6)
    assert found.count == 5


def test_one_value_has_no_interval_and_none_is_an_error():
    assert statistics.mean_interval([2.0]) == statistics.Interval(2.0, None, None, 1)
    with pytest.raises(ValueError, match="at least one value"):
        statistics.mean_interval([])


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_t_interval_covers_as_often_as_it_says(n):
    rng, draws = np.random.default_rng(0), 4000
    covered = 0
    for values in rng.normal(size=(draws, n)):
        found = statistics.mean_interval(values.tolist())
        covered += found.low <= 0 <= found.high
    # five standard errors of a share of 0.95 over 4000 draws
    assert abs(covered / draws - 0.95) < 5 * math.sqrt(0.95 * 0.05 / draws)


@pytest.mark.parametrize(("n", "ends"), [(5, None), (6, (0, 5)), (7, (0, 6)), (8, (0, 7)), (9, (1, 7)), (20, (5, 14))])
def test_the_medians_interval_takes_the_order_statistics_of_the_table(n, ends):
    """Ends from the table in David and Nagaraja for 95 %: n = 9 gives the 2nd and 8th, n = 20 the 6th and 15th."""
    values = [float(v) for v in np.random.default_rng(n).permutation(n)]
    found = statistics.median_interval(values)
    assert found.value == np.median(values)
    assert (found.low, found.high) == (ends or (None, None))


def test_a_ratio_pairs_rounds_so_that_drift_cancels():
    drift = [[1.0, 5.0, 2.0], [3.0, 0.5, 9.0]]
    doubled = [[2 * value for value in rounds] for rounds in drift]
    found = statistics.ratio(doubled, drift)
    assert (found.value, found.low, found.high) == pytest.approx((2, 2, 2))
    assert found.count == 2


def test_one_process_gives_the_interval_of_its_rounds():
    rounds = [2.0, 2.2, 1.8, 2.1, 1.9, 2.05, 40.0]
    found = statistics.ratio([rounds], [[1.0] * 7])
    assert found.count == 1
    assert (found.value, found.low, found.high) == pytest.approx((2.05, 1.8, 40.0))


def test_a_burst_in_one_round_does_not_move_a_process():
    quiet = [[2.0, 2.1, 1.9, 2.0, 2.0]] * 5
    burst = [[2.0, 2.1, 1.9, 2.0, 9.0]] * 5
    ones = [[1.0] * 5] * 5
    assert statistics.ratio(burst, ones) == statistics.ratio(quiet, ones)


def test_many_rounds_do_not_shrink_the_spread_between_processes():
    """Each process is constant within itself: only the spread between them is left, whatever the number of rounds."""
    levels = [1.9, 2.0, 2.1, 2.2, 1.8]
    few = statistics.ratio([[v] * 3 for v in levels], [[1.0] * 3] * 5)
    many = statistics.ratio([[v] * 300 for v in levels], [[1.0] * 300] * 5)
    assert (few.low, few.high) == pytest.approx((many.low, many.high))


def test_rounds_that_cannot_be_paired_are_an_error():
    with pytest.raises(ValueError, match=r"shorter|longer"):
        statistics.ratio([[1.0, 2.0]], [[1.0]])


def test_pairs_by_seed_use_the_seeds_that_both_have():
    found = statistics.paired_difference({0: 3.0, 1: 5.0, 2: 100.0}, {0: 1.0, 1: 2.0, 7: 0.0})
    assert (found.value, found.count) == (2.5, 2)
    assert statistics.paired_ratio({0: 8.0, 1: 2.0}, {0: 2.0, 1: 2.0}).value == pytest.approx(2)


@pytest.mark.parametrize(
    ("ratio", "word"),
    [
        (Interval(1.5, 1.4, 1.6, 5), "faster"),
        (Interval(1 / 1.5, 1 / 1.6, 1 / 1.4, 5), "slower"),
        (Interval(1.5, 1.4, 1.6, 4), "inconclusive"),  # too few processes for any word
        (Interval(1.0, 0.99, 1.01, 4), "inconclusive"),
        (Interval(1.5, None, None, 5), "inconclusive"),
        (Interval(1.5, 0.9, 2.5, 5), "inconclusive"),  # the interval holds 1
        (Interval(1.03, 1.01, 1.045, 5), "same"),  # a real difference, too small to count
        (Interval(1.04, 1.01, 1.07, 5), "inconclusive"),  # it may count or not
        (Interval(1.0, 0.96, 1.04, 5), "same"),
    ],
)
def test_the_rule_of_the_verdict_with_a_minimum_effect_of_5_percent(ratio, word):
    assert statistics.verdict(ratio, 0.05) == word


def test_the_minimum_effect_is_the_far_end_of_the_machines_own_noise():
    assert statistics.minimum_effect(None) == statistics.SMALLEST_EFFECT
    assert statistics.minimum_effect(Interval(1.0, 0.999, 1.001, 5)) == statistics.SMALLEST_EFFECT
    assert statistics.minimum_effect(Interval(1.0, 0.8, 1.1, 5)) == pytest.approx(0.25)  # 1 / 0.8
    assert statistics.minimum_effect(Interval(1.1, None, None, 1)) == pytest.approx(0.1)
    assert statistics.minimum_effect(Interval(1.0, 0.999, 1.001, 5), Interval(1.0, 0.97, 1.03, 8)) == pytest.approx(
        1 / 0.97 - 1
    )


def test_the_chance_of_one_to_five_is_that_of_a_t_table():
    """t = 3 / sqrt(2.5 / 5) = 4.2426 with 4 degrees of freedom: p = 0.01324 two-sided, from a table."""
    assert statistics.chance(statistics.mean_interval([1, 2, 3, 4, 5])) == pytest.approx(0.013236, rel=1e-4)
    assert statistics.chance(statistics.mean_interval([2.0])) == 1
    assert statistics.chance(statistics.mean_interval([2.0, 2.0])) == 0
    assert statistics.chance(statistics.mean_interval([0.0, 0.0])) == 1


def test_holms_correction_is_that_of_the_worked_example():
    """Four hypotheses of the usual example: 0.01, 0.04, 0.03, 0.005."""
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.5, 0.9]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def test_a_detectable_effect_is_detected_as_often_as_it_says():
    """1500 runs of five processes, with the true effect set to what the spread of 1 lets be detected."""
    rng, sigma = np.random.default_rng(0), 1.0
    typical = statistics.Interval(0.0, -2.7764451 * sigma / math.sqrt(5), 2.7764451 * sigma / math.sqrt(5), 5)
    shift = statistics.detectable(typical)
    runs = [statistics.mean_interval(values) for values in rng.normal(shift, sigma, (1500, 5)).tolist()]
    share = sum(found.low > 0 for found in runs) / len(runs)
    assert share == pytest.approx(statistics.POWER, abs=0.01 + 3 * math.sqrt(0.16 / 1500))  # the formula's own 1 %
    assert statistics.detectable(statistics.Interval(1.0, None, None, 1)) is None
    assert statistics.detectable_effect(Interval(1.1, 1.0, 1.2, 1)) is None


def _group(seed, **rounds):
    row = Record("t", "c", "b", 1, 1, 1, False, "float32", 1, seed, "ok")
    return StoredGroup(f"s{seed}", (row,), {name.replace("_", " "): {INFER: v} for name, v in rounds.items()})


def _controls(seed, control, original):
    row = _group(seed)
    return StoredGroup(row.key, row.records, {CONTROL: {INFER: control}, CONTROLLED: {INFER: original}})


def test_a_speed_ratio_says_how_many_times_faster():
    groups = [_group(seed, quick=[1.0, 2.0], slow=[3.0, 6.0]) for seed in range(5)]
    found = speed_ratio(groups, "quick", "slow")
    assert (found.value, found.count) == (pytest.approx(3), 5)
    assert speed_ratio(groups, "quick", "absent") is None


def test_noise_averages_the_groups_of_a_seed_because_they_share_processes():
    groups = [
        _controls(0, [1.1] * 3, [1.0] * 3),
        _controls(0, [1.1] * 3, [1.0] * 3),
        _controls(1, [1.0] * 3, [1.1] * 3),
    ]
    found = noise(groups)
    assert found.count == 2
    assert found.value == pytest.approx(1)
    assert noise([_group(0)]) is None


def test_noise_of_one_seed_comes_from_its_rounds():
    found = noise([_controls(0, [1.0, 1.2, 1.1], [1.0] * 3), _controls(0, [0.9, 1.05, 0.95], [1.0] * 3)])
    assert found.count == 1
    assert (found.low, found.high) == pytest.approx((0.9, 1.2))


KNOWN = {"value": 1.001, "low": 0.98, "high": 1.03, "processes": 8, "measured": "2026-11-23"}


def test_a_known_noise_is_read_again():
    known = KnownNoise.from_json(KNOWN)
    assert known.ratio == Interval(1.001, 0.98, 1.03, 8)
    assert known.as_json() == KNOWN


@pytest.mark.parametrize(
    "change",
    [
        {"low": None},
        {"value": "1"},
        {"high": 0.0},
        {"low": 1.5},
        {"high": math.nan},
        {"high": math.inf},
        {"value": -1.0},
    ],
)
def test_what_is_no_noise_is_not_taken_for_one(change):
    assert KnownNoise.from_json({**KNOWN, **change}) is None
    assert KnownNoise.from_json(None) is None
