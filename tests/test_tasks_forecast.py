"""Series cut into windows, and the tasks that forecast: sine, mackey-glass, sunspots and the article's."""

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnbench import Model, session
from rnnbench.registry import registry
from rnnbench.tasks import article, mackey_glass, sine, sunspots
from rnnbench.tasks.article import ARTICLE
from rnnbench.tasks.forecast import Forecast, standardised
from rnnbench.tasks.scores import mean_squared_error, normalised_error, persistence, relative_error
from rnnbench.tasks.sine import SINE
from rnnbench.tasks.spec import Split
from rnnbench.tasks.sunspots import SUNSPOTS

CUTS = {
    "sine": (sine.CUT, sine.wave()),
    "mackey-glass": (mackey_glass.CUT, mackey_glass.series()),
    "sunspots": (sunspots.CUT, sunspots.years()),
}


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(1, 3))
def test_windows_end_a_horizon_before_their_targets(window, horizon, train, test, columns):
    cut = Forecast(window, horizon, border=window + horizon - 1 + train)
    series = np.random.default_rng(0).standard_normal((cut.border + test, columns))
    scaled = standardised(series, cut.border)
    data = cut.data(series)
    assert (data.train.count, data.test.count) == (train, test)
    for split, first in ((data.train, cut.first_target), (data.test, cut.border)):
        assert split.x.shape == (window, split.count, columns)
        for n in range(split.count):
            last = first + n - horizon
            assert (split.x[:, n] == scaled[last - window + 1 : last + 1]).all()
            assert split.target[n, 0] == scaled[first + n, 0]


@pytest.mark.parametrize("name", CUTS)
def test_the_test_part_does_not_reach_the_training_part(name):
    cut, series = CUTS[name]
    changed = series.copy()
    changed[cut.border :] = np.random.default_rng(0).standard_normal(changed[cut.border :].shape) * 1e3
    before, after = cut.data(series), cut.data(changed)
    assert before.train.x.tobytes() == after.train.x.tobytes()
    assert before.train.target.tobytes() == after.train.target.tobytes()
    assert (before.test.target != after.test.target).all()


def test_standardising_uses_the_training_part_alone():
    series = np.array([[1.0, 5.0], [3.0, 5.0], [100.0, 6.0]])
    # the first column's mean is 2 and its deviation 1; the second is constant and only centred
    assert standardised(series, border=2).tolist() == [[-1, 0], [1, 0], [98, 1]]


def test_equal_values_whose_mean_is_rounded_are_still_constant():
    assert np.abs(standardised(np.full((3, 1), 0.1), border=3)).max() < 1e-16


def test_scores_by_hand():
    split = Split(np.array([[[9.0], [9.0]], [[1.0], [2.0]]]), np.array([[2.0], [4.0]]))
    assert persistence(split).tolist() == [[1], [2]]
    prediction = np.array([[2.5], [3.5]])
    assert relative_error(prediction, split) == 0.5 / 1.5
    assert relative_error(persistence(split), split) == 1
    assert normalised_error(prediction, split) == 0.5
    assert normalised_error(np.full((2, 1), 3.0), split) == 1
    assert mean_squared_error(prediction, split) == 0.25


@pytest.mark.parametrize("task", [SINE, SUNSPOTS], ids=lambda task: task.id)
def test_persistence_scores_exactly_one(task):
    test = task.data(0).test
    assert task.baseline == 1
    assert task.score(persistence(test), test) == 1


def test_the_sine_is_one():
    angles = np.linspace(-1, 1, 1001)
    # Two roundings a term, each of half an ulp; the last term dominates
    np.testing.assert_allclose(sine.sine(angles), np.sin(angles), rtol=4e-16, atol=0)
    expected = np.sin(sine.STEP * np.arange(sine.LENGTH))
    # Each turn adds about an ulp of 1
    np.testing.assert_allclose(sine.wave()[:, 0], expected, rtol=0, atol=sine.LENGTH * 2.3e-16)


def test_the_sine_is_tested_on_periods_that_training_never_saw():
    data = SINE.data(0)
    period = 2 * math.pi / sine.STEP
    assert sine.CUT.window > 1
    assert sine.CUT.border > 10 * period
    assert sine.LENGTH - sine.CUT.border > 3 * period
    seen = {data.train.x[:, n].tobytes() for n in range(data.train.count)}
    assert not seen & {data.test.x[:, n].tobytes() for n in range(data.test.count)}


def test_mackey_glass_has_the_same_bytes_everywhere():
    digest = hashlib.sha256(mackey_glass.series().astype("<f8").tobytes()).hexdigest()
    assert digest == "665dcd52557265b191d40a24823e6fbf06dd047814c28f5a370184fa9742328b"


def test_mackey_glass_is_integrated_with_second_order():
    """Up to 40, before chaos: the error against steps 32 times finer falls by four when a step is halved."""
    exact = np.array(mackey_glass.orbit(40, 320)[::320])
    coarse, fine = (np.abs(np.array(mackey_glass.orbit(40, rate)[::rate]) - exact).max() for rate in (5, 10))
    assert coarse / fine == pytest.approx(4, rel=0.05)
    assert fine < 1e-4


def test_mackey_glass_obeys_its_equation():
    """The derivative by central differences, at points away from the kinks of the constant beginning."""
    rate = 100
    x = np.array(mackey_glass.orbit(100, rate))
    at = np.arange(60 * rate, 99 * rate)
    derivative = (x[at + 1] - x[at - 1]) * rate / 2
    delayed = x[at - 17 * rate]
    # Central differences and the integrator are off by the square of a hundredth
    np.testing.assert_allclose(derivative, 0.2 * delayed / (1 + delayed**10) - 0.1 * x[at], rtol=0, atol=1e-4)


def test_the_baseline_of_mackey_glass_is_persistence_six_ahead():
    values = mackey_glass.series()[:, 0]
    test = values[1000:]
    expected = np.sqrt(np.mean((values[994:-6] - test) ** 2)) / test.std()
    # In the series' own units here, standardised there
    assert registry().task("mackey-glass").baseline == pytest.approx(expected, rel=1e-12)


def test_sunspots_are_the_published_ones():
    years = sunspots.years()
    assert years.shape == (309, 1)
    assert years[[0, 1957 - 1700, 2008 - 1700], 0].tolist() == [5, 190.2, 2.9]


def test_sunspots_are_tested_from_1921_on():
    data = SUNSPOTS.data(0)
    years = sunspots.years()[:, 0]
    known = years[: 1921 - 1700]
    expected = (years[1921 - 1700 :] - known.mean()) / known.std()
    # NumPy sums in another order
    np.testing.assert_allclose(data.test.target[:, 0], expected, rtol=1e-12)
    assert data.train.count == 221 - sunspots.CUT.window


def test_the_article_has_its_settings():
    data, budget = ARTICLE.data(0), ARTICLE.budget
    assert data.train.x.shape == (1, 99, 1)
    points = np.sin(np.linspace(0, 1, 100))
    np.testing.assert_allclose(data.train.x[0, :, 0], points[:-1], rtol=4e-16)
    np.testing.assert_allclose(data.train.target[:, 0], points[1:], rtol=4e-16)
    assert (budget.steps, budget.batch_size, budget.hidden_size) == (400, 32, 50)
    assert (budget.optimiser.learning_rate, budget.optimiser.clip_norm) == (1e-3, None)
    assert data.test.x.tobytes() == data.train.x.tobytes()


def test_the_article_is_judged_against_persistence():
    points = np.sin(np.linspace(0, 1, 100))
    # Differences of neighbours cancel two digits
    assert ARTICLE.baseline == pytest.approx(np.mean(np.diff(points) ** 2), rel=1e-12)


def test_the_recurrence_of_the_article_is_never_used(cell_id):
    model = Model(cell_id, 1, 50, 1)
    params = model.init(0)
    split = article.pairs()
    expected, _ = session("numpy", model, params).forward(split.x)
    _, gradients = session("numpy", model, params).gradients(split.x, split.target)
    recurrent = [name for name in params if name.endswith(".R")]
    other = {name: params[name] * 100 + 1 if name in recurrent else params[name] for name in params}
    assert (session("numpy", model, other).forward(split.x)[0] == expected).all()
    assert not any(gradients[name].any() for name in recurrent)
