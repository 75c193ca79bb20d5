"""Methods without recurrence: each against a plain computation of its own, or a figure that is known."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from rnnbench.baselines import least_squares, mlp
from rnnbench.baselines.least_squares import RidgeFamily, ridge
from rnnbench.baselines.seasonal_last_value import found_season
from rnnbench.baselines.sequences import flat
from rnnbench.baselines.smoothing import GRID, smoothing
from rnnbench.baselines.spec import Baseline, Fitted, Problem
from rnnbench.registry import registry
from rnnbench.tasks.cut import data_of, lengths_of
from rnnbench.tasks.spec import Split
from rnnbench.tasks.sunspots import CUT, SUNSPOTS
from rnnbench.testing import baselines as kit
from rnnbench.testing import check_baseline
from rnnbench.testing.baselines import windowed

FORECASTING = ("constant", "last-value", "seasonal-last-value", "drift", "ses", "theta", "ridge", "mlp", "last-frame")


def sunspots(window: int) -> tuple[Problem, Split]:
    """The project's split, at any window."""
    cut = replace(CUT, window=window)
    data = data_of(SUNSPOTS.table, cut, cut.parts(lengths_of(SUNSPOTS.table)))
    return Problem(data.train, "mse", 1, "last", 0), data.test


def relative_error(prediction: np.ndarray, test: Split) -> float:
    """The mean absolute error over that of the last value."""
    return float(np.abs(prediction - test.target).mean() / np.abs(test.x[-1, :, :1] - test.target).mean())


def score(fitted: Fitted, test: Split) -> float:
    return relative_error(fitted.predict(test), test)


def baseline(name: str) -> Baseline:
    return registry().baseline(name)


def several(leads: tuple[int, ...] = (1, 2, 3)) -> tuple[Problem, Split]:
    """Three series of unlike lengths, and their continuations."""
    rng = np.random.default_rng(3)
    whole = [10 * rng.standard_normal() + np.cumsum(rng.standard_normal(n) + 0.3) for n in (31, 9, 18)]
    borders = [25, 6, 13]
    known = [one[:border] for one, border in zip(whole, borders, strict=True)]
    train, test = windowed(known, 4, leads, [0, 0, 0]), windowed(whole, 4, leads, borders)
    return Problem(train, "mse", len(leads), "last", 0), test


def classes(every_step: bool = False) -> tuple[Problem, Split]:
    (case,) = [
        case for case in kit.cases() if case.problem.loss == "cross-entropy" and case.test.every_step == every_step
    ]
    return case.problem, case.test


# ---- all of them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(registry().baselines))
def test_every_baseline_keeps_its_promises(name: str) -> None:
    found = list(check_baseline(baseline(name)))
    assert [str(result) for result in found if not result.ok] == []


def test_every_kind_of_problem_has_a_blind_answer_and_one_that_looks() -> None:
    for case in kit.cases():
        suited = [known for known in registry().baselines.values() if known.unsuitable(case.problem) is None]
        assert {known.blind for known in suited} == {True, False}, case.title


class Peeping:
    """A method that looks at what it must not, for the check to find out."""

    parameters = 0

    def __init__(self, at: str) -> None:
        self.at = at

    def predict(self, split: Split) -> np.ndarray:
        if self.at == "target":
            return split.target.astype(float)
        windows = split.windows
        last = np.array([windows.series[number][-1] for number in windows.which])
        return windows.scaled(np.repeat(last[:, None], len(windows.leads), axis=1))


@pytest.mark.parametrize("at", ["target", "future"])
def test_the_check_finds_a_method_that_looks_ahead(at: str) -> None:
    unsuitable = baseline("last-value").unsuitable
    peeping = Baseline(id="peeping", title="", source="", unsuitable=unsuitable, fit=lambda problem: Peeping(at))
    broken = {result.property for result in check_baseline(peeping) if not result.ok}
    assert broken == {"no look ahead"}


def test_the_check_finds_a_method_that_forgets_its_seed() -> None:
    rng = np.random.default_rng()

    def fit(problem: Problem) -> Fitted:
        constant = baseline("constant").fit(problem)
        return replace(constant, path=lambda *_: rng.random()) if hasattr(constant, "path") else constant

    unsure = Baseline(id="unsure", title="", source="", unsuitable=baseline("drift").unsuitable, fit=fit)
    assert {result.property for result in check_baseline(unsure) if not result.ok} >= {"repeatability"}


# ---- sunspots: figures that are known --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "strength", "known"),
    [
        *((1, 0, 0.9667), (2, 0, 0.6620), (9, 0, 0.5581), (12, 0, 0.5720)),
        *((12, 1, 0.5650), (12, 3, 0.5565), (12, 10, 0.5450), (12, 30, 0.5695)),
    ],
)
def test_ridge_on_sunspots_scores_what_autoregression_is_known_to(window: int, strength: float, known: float) -> None:
    problem, test = sunspots(window)
    linear = ridge(flat(problem.train, window), problem.train.target, [strength])
    assert relative_error(linear(flat(test, window)), test) == pytest.approx(known, abs=5e-5)


def test_the_season_of_sunspots_is_found_and_scores_what_is_known() -> None:
    problem, test = sunspots(12)
    assert found_season(problem.train.windows.series) == 11
    assert score(baseline("seasonal-last-value").fit(problem), test) == pytest.approx(1.080, abs=5e-4)
    assert score(baseline("last-value").fit(problem), test) == pytest.approx(1.0)


def test_parameters_are_those_that_were_fitted() -> None:
    problem, _ = sunspots(12)
    unknown = replace(problem, train=replace(problem.train, windows=replace(problem.train.windows, season=None)))
    counts = {name: baseline(name).fit(unknown).parameters for name in FORECASTING}
    units = mlp.UNITS
    assert counts == {
        "constant": 1,
        "last-value": 0,
        "seasonal-last-value": 1,
        "drift": 1,
        "ses": 2,
        "theta": 3,
        "ridge": 13,
        "last-frame": 2,
        "mlp": 13 * units + units + 1,
    }


# ---- from the past of a series ---------------------------------------------------------------------------------------


def by_hand(test: Split, forecast) -> np.ndarray:
    """Return what `forecast(past, series number, lead)` gives for each sequence, standardised."""
    windows = test.windows
    found = [
        [forecast(windows.past(row), windows.which[row], lead) for lead in windows.leads] for row in range(test.count)
    ]
    return windows.scaled(np.array(found))


def test_last_value_drift_and_constant_are_what_their_formulas_say() -> None:
    problem, test = several()
    known = problem.train.windows.series
    plain = {
        "last-value": lambda past, number, lead: past[-1],
        "drift": lambda past, number, lead: past[-1] + lead * (past[-1] - past[0]) / (len(past) - 1),
        "constant": lambda past, number, lead: sum(known[number]) / len(known[number]),
    }
    for name, forecast in plain.items():
        np.testing.assert_allclose(
            baseline(name).fit(problem).predict(test), by_hand(test, forecast), rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize("season", [2, 4, 7])
def test_the_seasonal_last_value_is_that_of_the_last_season_that_is_known(season: int) -> None:
    problem, test = several(leads=(1, 2, 3, 4, 5))
    given = replace(problem, train=replace(problem.train, windows=replace(problem.train.windows, season=season)))

    def forecast(past: np.ndarray, number: int, lead: int) -> float:
        at = len(past) + lead - 1
        while at >= len(past):
            at -= season
        return past[at] if at >= 0 else past[-1]

    fitted = baseline("seasonal-last-value").fit(given)
    np.testing.assert_allclose(fitted.predict(test), by_hand(test, forecast), rtol=1e-12, atol=1e-12)
    assert fitted.parameters == 0


@pytest.mark.parametrize("season", [4, 12, 24])
def test_a_plain_season_is_found_and_none_where_there_is_none(season: int) -> None:
    rng = np.random.default_rng(season)
    t = np.arange(20 * season)
    pattern = np.resize(rng.standard_normal(season), len(t))
    assert found_season([100 + 0.3 * t + pattern + 0.2 * rng.standard_normal(len(t))]) == season
    assert found_season([pattern[: 5 * season], 3 * pattern]) == season
    assert found_season([rng.standard_normal(400)]) is None
    assert found_season([3.0 * t]) is None
    assert found_season([np.ones(50)]) is None
    assert found_season([np.ones(0), np.ones(1), np.arange(2.0)]) is None


def slow_smoothing(values: np.ndarray) -> tuple[float, float]:
    """Return α and the first level of least squares, by a design matrix for each α."""
    best = (np.inf, 0.0, 0.0)
    for alpha in GRID:
        free, weights, level, kept = [], [], 0.0, 1.0
        for value in values:
            free.append(value - level)
            weights.append(kept)
            level, kept = alpha * value + (1 - alpha) * level, kept * (1 - alpha)
        design = np.array(weights)[:, None]
        (first,), *_ = np.linalg.lstsq(design, np.array(free), rcond=None)
        best = min(best, (float(np.sum((free - design[:, 0] * first) ** 2)), alpha, first))
    return best[1], best[2]


def test_smoothing_is_that_of_a_plain_recursion() -> None:
    problem, test = several()
    series = problem.train.windows.series
    chosen = [slow_smoothing(values) for values in series]
    fitted = smoothing(series)
    np.testing.assert_allclose(fitted.alpha, [alpha for alpha, _ in chosen], rtol=1e-12)
    np.testing.assert_allclose(fitted.level, [level for _, level in chosen], rtol=1e-8)

    def level_of(past: np.ndarray, number: int) -> float:
        alpha, level = chosen[number]
        for value in past:
            level = alpha * value + (1 - alpha) * level
        return level

    def theta(past: np.ndarray, number: int, lead: int) -> float:
        alpha, slope = chosen[number][0], np.polyfit(np.arange(len(past)), past, 1)[0]
        return level_of(past, number) + slope / 2 * (lead - 1 + (1 - (1 - alpha) ** len(past)) / alpha)

    found = baseline("ses").fit(problem).predict(test)
    np.testing.assert_allclose(found, by_hand(test, lambda past, number, lead: level_of(past, number)), rtol=1e-8)
    np.testing.assert_allclose(baseline("theta").fit(problem).predict(test), by_hand(test, theta), rtol=1e-8)


def test_many_short_series_and_a_long_one_are_smoothed_together() -> None:
    rng = np.random.default_rng(0)
    series = [np.cumsum(rng.standard_normal(n)) for n in (1, 2, 3, 20, 21, 300, 0)]
    fitted = smoothing(series)
    for number, values in enumerate(series[:-1]):
        alone = smoothing([values])
        assert (fitted.alpha[number], fitted.level[number]) == pytest.approx((alone.alpha[0], alone.level[0]), rel=1e-9)
    assert (fitted.alpha[-1], fitted.level[-1]) == (1.0, 0.0)


# ---- least squares ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40, 5), (12, 30)])
@pytest.mark.parametrize("strength", [0.1, 10.0])
def test_ridge_is_least_squares_with_rows_for_the_penalty(shape: tuple[int, int], strength: float) -> None:
    rng = np.random.default_rng(1)
    x, y = 3 + rng.standard_normal(shape), 7 + rng.standard_normal((shape[0], 2))
    found = RidgeFamily.of(x, y).at(strength)
    inputs, columns = np.hstack([x, np.ones((len(x), 1))]), shape[1]
    penalty = np.sqrt(strength) * np.eye(columns, columns + 1)  # the last column is the intercept's, unpenalised
    expected, *_ = np.linalg.lstsq(np.vstack([inputs, penalty]), np.vstack([y, np.zeros((columns, 2))]), rcond=None)
    np.testing.assert_allclose(np.vstack([found.weights, found.intercept]), expected, rtol=1e-8, atol=1e-10)


def test_the_penalty_is_chosen_on_folds_that_come_later() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((50, 20))
    y = x[:, :1] + 2 * rng.standard_normal((50, 1))
    strengths = (1e-2, 1.0, 1e2, 1e4)
    errors = []
    for strength in strengths:
        error = 0.0
        for begin, end in pairwise([10, 20, 30, 40, 50]):
            a, mean = x[:begin] - x[:begin].mean(axis=0), y[:begin].mean()
            weights = np.linalg.solve(a.T @ a + strength * np.eye(20), a.T @ (y[:begin] - mean))
            error += np.sum(((x[begin:end] - x[:begin].mean(axis=0)) @ weights + mean - y[begin:end]) ** 2)
        errors.append(error)
    chosen = strengths[int(np.argmin(errors))]
    assert 1e-2 < chosen < 1e4  # else nothing was chosen
    np.testing.assert_array_equal(ridge(x, y, strengths).weights, RidgeFamily.of(x, y).at(chosen).weights)


def test_ridge_for_each_series_is_ridge_on_that_series_alone() -> None:
    problem, test = several(leads=(1, 2))
    fitted = baseline("ridge-series").fit(problem)
    pooled = baseline("ridge").fit(problem)
    answers, expected = fitted.predict(test), pooled.predict(test)
    windows, known = test.windows, problem.train.windows
    for number, own in ((0, True), (1, False), (2, False)):  # 20, 1 and 8 windows
        rows = windows.which == number
        if own:
            alone = replace(problem, train=problem.train.rows(known.which == number))
            expected[rows] = baseline("ridge").fit(alone).predict(test.rows(rows))
    np.testing.assert_allclose(answers, expected, rtol=1e-12)
    assert fitted.parameters == 2 * pooled.parameters


def test_a_window_that_is_too_large_is_told() -> None:
    x = np.zeros((least_squares.LARGEST, least_squares.LARGEST + 1, 2))
    problem = Problem(Split(x, x[0, :, :1]), "mse", 1, "last", 0)
    assert baseline("ridge").unsuitable(problem) == "it would see 2048 numbers; 1024 at most are solved for"


# ---- classes ---------------------------------------------------------------------------------------------------------


def test_the_constant_answer_of_classes_is_their_share() -> None:
    problem, test = classes()
    answers = baseline("constant").fit(problem).predict(test)
    shares = [np.mean(problem.train.target == number) for number in range(kit.CLASSES)]
    np.testing.assert_allclose(np.exp(answers), np.tile(shares, (test.count, 1)), rtol=1e-12)


def test_the_constant_answer_at_each_step_counts_what_is_within_the_lengths() -> None:
    problem, test = classes(every_step=True)
    answers = np.exp(baseline("constant").fit(problem).predict(test))
    train = problem.train
    for step in range(kit.STEPS):
        own = train.target[step, train.lengths > step]
        shares = np.array([np.mean(own == number) for number in range(kit.CLASSES)])
        shares = np.maximum(shares, 1 / (train.count + kit.CLASSES))
        np.testing.assert_allclose(answers[step, 0], shares / shares.sum(), rtol=1e-12)


def test_the_nearest_neighbour_is_the_nearest() -> None:
    problem, test = classes()
    train = problem.train

    def row(split: Split, number: int) -> np.ndarray:
        x = np.zeros((kit.STEPS, kit.INPUTS))
        x[: split.lengths[number]] = split.x[: split.lengths[number], number]
        return x

    expected = [
        train.target[min(range(train.count), key=lambda k: np.linalg.norm(row(train, k) - row(test, n)))]
        for n in range(test.count)
    ]
    np.testing.assert_array_equal(baseline("nearest-neighbour").fit(problem).predict(test).argmax(axis=1), expected)


def test_moments_tell_classes_apart_that_differ_in_spread_alone() -> None:
    rng = np.random.default_rng(4)
    target = np.arange(200) % 2
    x = rng.standard_normal((30, 200, 1)) * (1 + 2 * target[:, None])
    problem = Problem(Split(x[:, :150], target[:150]), "cross-entropy", 2, "last", 0)
    test = Split(x[:, 150:], target[150:])
    right = {
        name: np.mean(baseline(name).fit(problem).predict(test).argmax(axis=1) == test.target)
        for name in ("ridge-moments", "ridge")
    }
    assert right["ridge-moments"] > 0.95
    assert right["ridge"] < 0.75


def test_classes_one_after_the_other_do_no_harm() -> None:
    """As in many a file: inner folds in that order would be of classes that nobody has seen."""
    rng = np.random.default_rng(9)
    target = np.sort(np.arange(120) % 4)
    x = 0.3 * rng.standard_normal((6, 120, 2)) + np.eye(4)[target][:, :2] - np.eye(4)[target][:, 2:]
    for name in ("ridge", "ridge-moments", "mlp", "last-frame"):
        problem = Problem(Split(x, target), "cross-entropy", 4, "last", 0)
        answers = baseline(name).fit(problem).predict(problem.train)
        assert np.mean(answers.argmax(axis=1) == target) > 0.9, name


def test_the_last_frame_is_the_last_within_the_length() -> None:
    rng = np.random.default_rng(6)
    lengths = rng.integers(1, 6, 80)
    x = rng.standard_normal((5, 80, 3))
    target = x[lengths - 1, np.arange(80)] @ np.array([[1.0], [2.0], [-1.0]]) + 5
    problem = Problem(Split(x, target, lengths), "mse", 1, "last", 0)
    np.testing.assert_allclose(baseline("last-frame").fit(problem).predict(problem.train), target, atol=0.01)


# ---- the perceptron --------------------------------------------------------------------------------------------------


def test_the_perceptron_s_gradient_is_that_of_differences() -> None:
    rng = np.random.default_rng(7)
    x, weight = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    params = {
        name: rng.standard_normal(shape) for name, shape in {"W": (3, 4), "b": (4,), "V": (4, 2), "c": (2,)}.items()
    }
    _, hidden = mlp.forward(params, x)
    found = mlp.backward(params, x, hidden, weight)
    for name, value in params.items():
        for at in np.ndindex(value.shape):
            moved = value.astype(complex)
            moved[at] += 1e-30j  # the complex step: exact to rounding
            answers, _ = mlp.forward({**params, name: moved}, x)
            assert found[name][at] == pytest.approx(np.sum(weight * answers).imag / 1e-30, rel=1e-10, abs=1e-13)


def test_the_perceptron_learns_what_no_line_tells() -> None:
    rng = np.random.default_rng(8)
    x = rng.uniform(-1, 1, (2, 900, 1))
    target = (x[0] * x[1] > 0).astype(int)[:, 0]
    problem = Problem(Split(x[:, :600], target[:600]), "cross-entropy", 2, "last", 0)
    test = Split(x[:, 600:], target[600:])
    right = {
        name: np.mean(baseline(name).fit(problem).predict(test).argmax(axis=1) == test.target)
        for name in ("mlp", "ridge")
    }
    assert right["mlp"] > 0.9
    assert right["ridge"] < 0.65
    other = baseline("mlp").fit(replace(problem, seed=1)).predict(test)
    assert not np.array_equal(other, baseline("mlp").fit(problem).predict(test))
