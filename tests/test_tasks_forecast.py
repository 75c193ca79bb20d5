"""The built-in tasks that forecast: sine, mackey-glass, sunspots and the article's."""

import hashlib
import math

import numpy as np
import pytest

from rnnbench import Model, session
from rnnbench.registry import registry
from rnnbench.tasks import article, mackey_glass, sine, sunspots
from rnnbench.tasks.article import ARTICLE
from rnnbench.tasks.scores import mean_squared_error, persistence
from rnnbench.tasks.sine import SINE
from rnnbench.tasks.spec import Split
from rnnbench.tasks.sunspots import SUNSPOTS

FORECASTS = [SINE, SUNSPOTS, registry().task("mackey-glass")]


@pytest.mark.parametrize(
    ("task", "digest"),
    list(zip(FORECASTS, ("52c9b6a9ca987ecb", "36b398099eb87db3", "112126e39c04615f"), strict=True)),
    ids=lambda value: getattr(value, "id", None),
)
def test_data_are_what_they_were_bit_for_bit(task, digest):
    """What every stored score of these tasks rests on; the digests are of the data before series became tables."""
    data, found = task.data(0), hashlib.sha256()
    for array in (data.train.x, data.train.target, data.test.x, data.test.target):
        found.update(repr((array.shape, array.dtype.str, array.flags.c_contiguous)).encode() + array.tobytes())
    assert found.hexdigest()[:16] == digest
    assert data.validation is None


def test_scores_by_hand():
    split = Split(np.array([[[9.0], [9.0]], [[1.0], [2.0]]]), np.array([[2.0], [4.0]]))
    assert persistence(split).tolist() == [[1], [2]]
    assert mean_squared_error(np.array([[2.5], [3.5]]), split) == 0.25


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
    np.testing.assert_allclose(sine.wave(), expected, rtol=0, atol=sine.LENGTH * 2.3e-16)


def test_the_sine_is_tested_on_periods_that_training_never_saw():
    data = SINE.data(0)
    period = 2 * math.pi / sine.STEP
    assert sine.CUT.window > 1
    assert sine.LENGTH - sine.CUT.test > 10 * period
    assert sine.CUT.test > 3 * period
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
    values = mackey_glass.series()
    test = values[1000:]
    expected = np.sqrt(np.mean((values[994:-6] - test) ** 2)) / test.std()
    # In the series' own units here, standardised there
    assert registry().task("mackey-glass").baseline == pytest.approx(expected, rel=1e-12)


def test_sunspots_are_the_published_ones():
    years = sunspots.years()
    assert years.shape == (309,)
    assert years[[0, 1957 - 1700, 2008 - 1700]].tolist() == [5, 190.2, 2.9]


def test_sunspots_are_tested_from_1921_on():
    data = SUNSPOTS.data(0)
    years = sunspots.years()
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
