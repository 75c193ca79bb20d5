"""Scores of forecasts by hand, their parts by time, series and step ahead, and the published figures of linear fits."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from series_sets import series_set

from rnnbench.comparison.scoring import Scores
from rnnbench.errors import UsageError
from rnnbench.model import Array
from rnnbench.tables.series import SeriesSet
from rnnbench.tasks.cut import Cut, lengths_of
from rnnbench.tasks.forecast import ForecastTask
from rnnbench.tasks.forecast_scores import METRICS, Metric
from rnnbench.tasks.scores import persistence
from rnnbench.tasks.spec import Budget, Split
from rnnbench.tasks.sunspots import SUNSPOTS, years


def holding(table: SeriesSet, *targets: list[float]) -> SeriesSet:
    own = [replace(one, target=np.array(values)) for one, values in zip(table.series, targets, strict=True)]
    return replace(table, series=tuple(own))


def task_of(table: SeriesSet, cut: Cut, metric: Metric = "persistence") -> ForecastTask:
    about = {"id": "t", "title": "t", "source": "t", "budget": Budget(steps=1)}
    return ForecastTask(**about, table=table, cut=cut, metric=metric)


def forecasts(test: Split, own: list[list[float]]) -> Array:
    """Forecasts in the series' unit, as a model would give them."""
    return test.windows.scaled(np.array(own))


# Two steps ahead, once a series. Of the first, training's steps are 1, 2, 1; of the second 4, 4, 4, the season of one.
PANEL = holding(series_set([6, 6]), [1.0, 2.0, 4.0, 3.0, 5.0, 9.0], [10.0, 14.0, 18.0, 22.0, 20.0, 16.0])
CUT = Cut(window=2, horizon=2, test=2)
# Errors 1, 3 and 2, 0; of persistence 2, 6 and 2, 6
ANSWER = [[4.0, 12.0], [18.0, 16.0]]


@pytest.mark.parametrize(
    ("metric", "score", "by_lead", "losses"),
    [
        ("mae", 1.5, [1.5, 1.5], [2.0, 1.0]),
        ("rmse", (5**0.5 + 2**0.5) / 2, [1.5, 1.5], [5**0.5, 2**0.5]),
        ("mase", (2 / (4 / 3) + 1 / 4) / 2, [(0.75 + 0.5) / 2, 2.25 / 2], [1.5, 0.25]),
        (
            "smape",
            50 * (1 / 9 + 3 / 21 + 2 / 38),
            [100 * (1 / 9 + 2 / 38), 100 * 3 / 21],
            [100 * (1 / 9 + 3 / 21), 100 * 2 / 38],
        ),
    ],
)
def test_scores_by_hand(metric, score, by_lead, losses):
    task = task_of(PANEL, CUT, metric)
    test = task.data(0).test
    prediction = forecasts(test, ANSWER)
    # A few roundings, of standardising and back
    assert task.score(prediction, test) == pytest.approx(score, rel=1e-12)
    assert task.by_lead(prediction, test) == pytest.approx(by_lead, rel=1e-12)
    assert task.losses(prediction, test) == pytest.approx(losses, rel=1e-12)
    assert task.figures(prediction, test)[metric] == pytest.approx(score, rel=1e-12)


def test_the_median_is_over_the_series_where_there_are_several():
    """Errors of 1, 5 and 9 a series: of the three the median is 5; one series has none."""
    table = holding(series_set([4, 4, 4]), [0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0])
    cut = Cut(window=1, test=1)
    task = task_of(table, cut, "mae")
    test = task.data(0).test
    found = Scores.of(task, forecasts(test, [[4.0], [12.0], [8.0]]), test)
    assert (found.score, found.score_median) == (pytest.approx(5.0), pytest.approx(5.0))
    found = Scores.of(task, forecasts(test, [[3.0], [12.0], [4.0]]), test)
    assert (found.score, found.score_median) == (pytest.approx(10 / 3), pytest.approx(1.0))
    alone = task_of(holding(series_set([4]), [0.0, 1.0, 2.0, 3.0]), cut, "mae")
    test = alone.data(0).test
    assert Scores.of(alone, forecasts(test, [[4.0]]), test).score_median is None


def test_the_error_over_persistence_is_in_standard_deviations_of_each_series():
    task = task_of(PANEL, CUT)
    test = task.data(0).test
    deviations = [np.std([1, 2, 4, 3]), np.std([10, 14, 18, 22])]
    own, last = (2 / deviations[0] + 1 / deviations[1]) / 2, (4 / deviations[0] + 4 / deviations[1]) / 2
    prediction = forecasts(test, ANSWER)
    assert task.score(prediction, test) == pytest.approx(own / last, rel=1e-12)
    assert task.figures(prediction, test)["persistence_ratio"] == task.score(prediction, test)
    second = (3 / deviations[0]) / (6 / deviations[0] + 6 / deviations[1])
    assert task.by_lead(prediction, test)[1] == pytest.approx(second, rel=1e-12)


@pytest.mark.parametrize("metric", [*METRICS, "nrmse"])
@pytest.mark.parametrize("lengths", [[60], [60, 25, 40]])
def test_a_score_is_the_mean_of_its_losses(metric, lengths):
    task = task_of(series_set(lengths, season=3), Cut(5, 3, step=2), metric)
    test = task.data(0).test
    prediction = np.random.default_rng(1).standard_normal(test.target.shape)
    losses = task.losses(prediction, test)
    assert len(losses) == (test.count if len(lengths) == 1 else len(lengths))
    mean = losses.mean()
    squares = len(lengths) == 1 and metric in ("rmse", "nrmse")
    assert (mean**0.5 if squares else mean) == pytest.approx(task.score(prediction, test), rel=1e-12)
    assert len(task.by_lead(prediction, test)) == 3


@pytest.mark.parametrize("metric", METRICS)
def test_the_baseline_is_what_persistence_scores_and_the_truth_scores_0(metric):
    task = task_of(series_set([60, 40]), Cut(5, 3), metric)
    test = task.data(0).test
    assert task.score(np.broadcast_to(persistence(test), test.target.shape), test) == task.baseline
    assert task.score(test.target, test) == 0
    assert task.margin == pytest.approx(0.05 * task.baseline)
    assert task.score_name == {"mase": "MASE (season 1)", "persistence": "error / persistence"}.get(
        metric, {"mae": "MAE", "rmse": "RMSE", "smape": "sMAPE"}.get(metric)
    )


def test_mase_takes_the_season_that_the_table_has():
    values = [0.0, 5.0, 1.0, 7.0, 2.0, 9.0, 4.0, 6.0]
    task = task_of(holding(series_set([8], season=2), values), Cut(window=2, test=2), "mase")
    test = task.data(0).test
    # |1-0|, |7-5|, |2-1|, |9-7|: 1.5 a season; forecasts of 0 are off by 4 and 6
    assert task.score(forecasts(test, [[0.0], [0.0]]), test) == pytest.approx(5 / 1.5, rel=1e-12)
    assert task.score_name == "MASE (season 2)"


def test_a_series_that_never_moved_has_no_mase_and_is_left_out():
    table = holding(series_set([6, 6]), [1.0, 2.0, 4.0, 3.0, 5.0, 9.0], [7.0, 7.0, 7.0, 7.0, 9.0, 9.0])
    task = task_of(table, CUT, "mase")
    test = task.data(0).test
    assert task.score(forecasts(test, [[4.0, 12.0], [0.0, 0.0]]), test) == pytest.approx(1.5, rel=1e-12)
    assert len(task.losses(test.target, test)) == 1
    still = holding(series_set([6]), [7.0, 7.0, 7.0, 7.0, 9.0, 9.0])
    with pytest.raises(UsageError, match=r"^sales.csv: no series has a step over 1 rows .* choose another --metric"):
        task_of(still, CUT, "mase")
    assert "mase" not in task_of(still, CUT).figures(np.zeros((1, 2)), task_of(still, CUT).data(0).test)


def test_two_zeros_are_no_symmetric_error():
    task = task_of(holding(series_set([6]), [4.0, 4.0, 4.0, 4.0, 0.0, 9.0]), CUT, "smape")
    test = task.data(0).test
    answer = forecasts(test, [[0.0, 9.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert task.score(answer, test) == 0


def test_a_part_that_stays_as_it_was_is_scored_in_standard_deviations():
    """Early stopping looks at such a part; a test part is refused."""
    task = task_of(holding(series_set([30]), [float(n % 5) for n in range(16)] + [1.0] * 8 + [2.0] * 6), Cut(2))
    split = task.data(0).test
    constant = replace(split, target=np.broadcast_to(split.x[-1, :, :1], split.target.shape).copy())
    assert task.score(constant.target + 0.25, constant) == pytest.approx(0.25)


# ---- without recurrence, on the sunspots: the figures were computed elsewhere, to the digits given -------------------


def linear(lags: int, ridge: float) -> float:
    """Score least squares on the last lags of the task's own windows; the intercept is not penalised."""
    task = SUNSPOTS.anew(cut=replace(SUNSPOTS.cut, window=lags))
    data = task.data(0)
    x, mean = data.train.x[:, :, 0].T, data.train.target.mean()
    centre = x.mean(axis=0)
    w = np.linalg.solve(
        (x - centre).T @ (x - centre) + ridge * np.eye(lags), (x - centre).T @ (data.train.target - mean)
    )
    return task.score((data.test.x[:, :, 0].T - centre) @ w + mean, data.test)


@pytest.mark.parametrize(
    ("lags", "ridge", "score"),
    [(1, 0, 0.9667), (2, 0, 0.6620), (9, 0, 0.5581), (12, 0, 0.5720), (12, 10, 0.5450)],
)
def test_linear_fits_to_the_sunspots_score_as_elsewhere(lags, ridge, score):
    assert linear(lags, ridge) == pytest.approx(score, abs=5e-5)


def test_the_sunspots_of_eleven_years_ago_score_as_elsewhere():
    test = SUNSPOTS.data(0).test
    naive = years()[test.windows.origin - 11][:, None]
    assert SUNSPOTS.score(test.windows.scaled(naive), test) == pytest.approx(1.080, abs=5e-4)
    assert test.windows.season == 11


def test_folds_of_the_sunspots_lie_before_the_test_part():
    for number, rows in ((1, (56, 111)), (2, (111, 166)), (3, (166, 221))):
        fold = SUNSPOTS.fold(number, 3)
        origins = fold.data(0).test.windows.origin
        assert (origins[0], origins[-1] + 1) == rows
        assert len(fold.data(0).test.windows.series[0]) == rows[1]
        assert fold.id == SUNSPOTS.id
        assert fold.learned(0.9)
    with pytest.raises(UsageError, match="there is no fold 4 of 3"):
        SUNSPOTS.fold(4, 3)
    with pytest.raises(UsageError, match="no series has rows enough for a fold; give fewer --folds"):
        SUNSPOTS.fold(1, 220)


def test_a_fold_has_the_share_of_its_own_baseline():
    task = task_of(series_set([80]), Cut(5, 2), "mae")
    fold = task.fold(1, 2)
    assert fold.baseline != task.baseline
    assert fold.margin == pytest.approx(0.05 * fold.baseline)
    assert (lengths_of(fold.table) == [80]).all()


def test_a_task_that_has_to_beat_more_is_the_same_else():
    fold = SUNSPOTS.fold(2, 3)
    harder = replace(fold, baseline=0.7)
    assert not harder.learned(0.68)
    assert fold.learned(0.68)
    assert harder.data is fold.data
    assert harder.fold(3, 3).baseline == 1
