"""Nixtla's models as baselines: fitted by the training part alone, and then given the past as it grows."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from rnnbench_statsforecast import METHODS, rnnbench_baselines

from rnnbench.baselines.spec import Problem
from rnnbench.tasks.spec import Split, Windows
from rnnbench.testing import check_baseline

LEADS = (1, 2, 3)
BASELINES = {baseline.id: baseline for baseline in rnnbench_baselines()}


def split_of(series, origins, season=None, end=None, leads=LEADS):
    """One sequence for each series and origin; known of a series is what comes before row `end`."""
    which = np.repeat(np.arange(len(series)), len(origins))
    origin = np.tile(origins, len(series))
    offset, scale = np.full(len(series), 5.0), np.full(len(series), 2.0)
    known = tuple(values[:end] for values in series)
    target = np.array([[series[w][o + lead - 1] for lead in leads] for w, o in zip(which, origin, strict=True)])
    names = tuple(f"s{number}" for number in range(len(series)))
    windows = Windows(known, which, origin, leads, offset, scale, season, names)
    return Split(np.zeros((1, len(which), 1)), windows.scaled(target), windows=windows)


def problem_of(train):
    return Problem(train, "mse", train.target.shape[1], "last", seed=0)


def walk(count, seed=0):
    return 50 + np.random.default_rng(seed).standard_normal(count).cumsum()


@pytest.mark.parametrize("name", BASELINES)
def test_forecasts_are_the_library_s_at_the_end_of_training(name):
    """Those of a model of its own class, fitted by the library's own call, in the unit of the targets."""
    from statsforecast import models

    series = [walk(60), walk(50, seed=1) * 3]
    train, test = split_of(series, [20, 30], end=40), split_of(series, [40])
    answers = BASELINES[name].fit(problem_of(train)).predict(test)
    kind = getattr(models, next(method.name for method in METHODS if method.id == name))
    expected = [kind(season_length=1).forecast(y=values[:40], h=3)["mean"] for values in series]
    # The fitted model runs over the same rows again, in another order of sums
    np.testing.assert_allclose(test.windows.unscaled(answers), expected, rtol=1e-6)


@pytest.mark.parametrize("name", BASELINES)
def test_the_test_part_changes_nothing_of_what_is_chosen(name):
    series = [walk(60)]
    train, test = split_of(series, [20, 30], end=40), split_of(series, [40, 45, 50])
    changed = replace(test, target=np.full_like(test.target, np.nan))
    one, other = (BASELINES[name].fit(problem_of(train)).predict(given) for given in (test, changed))
    assert one.tobytes() == other.tobytes()
    assert one.shape == test.target.shape
    later = [np.concatenate([series[0][:45], series[0][45:] + 1e3])]
    shifted = BASELINES[name].fit(problem_of(train)).predict(split_of(later, [40, 45, 50]))
    np.testing.assert_array_equal(shifted[:2], one[:2])  # a forecast knows nothing of what comes after it
    assert (shifted[2] != one[2]).any()  # and takes in what came before it


def test_exponential_smoothing_is_its_recursion():
    """Of a random walk ETS(A,N,N) is chosen or one like it; where it is, the level follows by hand."""
    values = np.random.default_rng(3).standard_normal(80)
    fitted = BASELINES["auto-ets"].fit(problem_of(split_of([values], [20], end=60)))
    (model,) = fitted.models
    assert model.model_["components"] == "ANNN"
    assert fitted.parameters == 2  # α and the first level
    alpha, level = model.model_["par"][0], model.model_["states"][0, 0]
    for value in values[:70]:
        level += alpha * (value - level)
    test = split_of([values], [70])
    np.testing.assert_allclose(test.windows.unscaled(fitted.predict(test)), np.full((1, 3), level), rtol=1e-6)


def test_a_season_is_used():
    t = np.arange(96)
    values = 100 + 10 * np.sin(2 * np.pi * t / 12) + 0.1 * np.random.default_rng(0).standard_normal(96)
    train, test = split_of([values], [40], season=12, end=84), split_of([values], [84], season=12)
    for baseline in BASELINES.values():
        error = np.abs(baseline.fit(problem_of(train)).predict(test) - test.target).mean()
        assert error < 0.1 * np.abs(test.windows.scaled(values[83:84, None]) - test.target).mean()


def test_only_the_last_step_is_forecast_where_only_it_is_asked_for():
    series = [walk(60)]
    path, point = (split_of(series, [40], leads=leads) for leads in (LEADS, (3,)))
    ets = BASELINES["auto-ets"]
    answers = [
        ets.fit(problem_of(replace(split, windows=replace(split.windows, series=(series[0][:40],)))))
        for split in (path, point)
    ]
    np.testing.assert_array_equal(answers[0].predict(path)[:, 2:], answers[1].predict(point))


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("values", [np.full(12, 7.0), np.arange(7.0), np.array([1.0, 2.0, 4.0, 3.0, 5.0, 4.0, 6.0])])
def test_constant_and_short_series_are_answered_with_numbers(name, values):
    split = split_of([np.concatenate([values, values[-1:].repeat(3)])], [len(values)], end=len(values))
    problem = problem_of(split)
    assert BASELINES[name].unsuitable(problem) is None
    assert np.isfinite(BASELINES[name].fit(problem).predict(split)).all()


@pytest.mark.parametrize(
    ("split", "left_out"),
    [
        (Split(np.zeros((3, 5, 1)), np.zeros((5, 1))), dict.fromkeys(BASELINES, "series")),
        (split_of([walk(60)], [6], end=6), dict.fromkeys(BASELINES, "7 rows")),
        (split_of([walk(3000)], [2500], season=12, end=2500), {"auto-arima": "minutes"}),
    ],
)
def test_what_is_left_out_is_told(split, left_out):
    found = {name: baseline.unsuitable(problem_of(split)) for name, baseline in BASELINES.items()}
    assert {name for name, why in found.items() if why} == left_out.keys()
    assert all(words in found[name] for name, words in left_out.items())


def test_a_series_that_cannot_be_fitted_is_named():
    train = split_of([walk(60), np.full(60, np.nan)], [20], end=40)
    with pytest.raises(ValueError, match="'s1'"):
        BASELINES["auto-arima"].fit(problem_of(train))


def test_is_offered_without_importing_its_library():
    assert list(BASELINES) == ["auto-ets", "auto-arima", "auto-theta"]
    code = (
        "import sys, rnnbench_statsforecast as p; list(p.rnnbench_baselines()); print('statsforecast' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", BASELINES)
def test_every_promise_of_a_baseline_is_kept(name):
    results = list(check_baseline(BASELINES[name]))
    assert results
    assert [str(result) for result in results if result.ok is not True] == []
