"""The tasks whose sequences are drawn."""

import math

import numpy as np
import pytest

from rnnbench.tasks import adding, copy, temporal_order
from rnnbench.tasks.adding import ADDING
from rnnbench.tasks.copy import COPY
from rnnbench.tasks.scores import accuracy, cross_entropy, mean_squared_error
from rnnbench.tasks.temporal_order import TEMPORAL_ORDER

GENERATED = [ADDING, COPY, TEMPORAL_ORDER]
MANY = 200_000


def rows_of(split):
    return {np.ascontiguousarray(split.x[:, n]).tobytes() for n in range(split.count)}


@pytest.mark.parametrize("task", GENERATED, ids=lambda task: task.id)
def test_no_sequence_is_in_both_splits_or_twice_in_one(task):
    data = task.data(0)
    train, test = rows_of(data.train), rows_of(data.test)
    assert len(train) == data.train.count
    assert len(test) == data.test.count
    assert not train & test


@pytest.mark.parametrize("task", GENERATED, ids=lambda task: task.id)
def test_seeds_share_no_sequence(task):
    assert not rows_of(task.data(0).train) & rows_of(task.data(1).train)


def test_the_streams_are_not_those_of_the_weights_or_the_batches():
    data = ADDING.data(5)
    drawn = {float(v) for split in (data.train, data.test) for v in split.x[..., 0].flat}
    for entropy in (5, [5], [5, 0], [5, 1]):
        assert not drawn & set(np.random.default_rng(entropy).random(1000).tolist())


def test_adding_marks_one_number_in_each_half_anywhere_in_it():
    x = adding.draw(np.random.default_rng(0), 4000).x
    numbers, marks = x[..., 0], x[..., 1]
    half = adding.LENGTH // 2
    assert set(np.unique(marks)) == {0, 1}
    assert (marks[:half].sum(axis=0) == 1).all()
    assert (marks[half:].sum(axis=0) == 1).all()
    assert marks.any(axis=1).all()
    assert numbers.min() >= 0
    assert numbers.max() < 1


def test_adding_asks_for_the_sum_of_the_marked_numbers():
    split = adding.draw(np.random.default_rng(1), 50)
    for n in range(50):
        first, second = (float(number) for number, mark in split.x[:, n] if mark)
        assert split.target[n, 0] == first + second


def test_adding_always_answered_by_one_scores_its_baseline():
    assert ADDING.baseline == 1 / 6
    split = adding.draw(np.random.default_rng(2), MANY)
    # (s-1)² has mean 1/6 and, for the triangular s of two uniform numbers, variance 1/15 - 1/36
    error = math.sqrt((1 / 15 - 1 / 36) / MANY)
    assert mean_squared_error(np.ones((MANY, 1)), split) == pytest.approx(1 / 6, abs=5 * error)


def test_copy_has_the_format_of_the_paper():
    split = copy.draw(np.random.default_rng(0), 100)
    T = copy.PAUSE
    assert split.x.shape == (T + 20, 100, 10)
    assert (split.x.sum(axis=-1) == 1).all()
    symbols = split.x.argmax(axis=-1)
    assert set(np.unique(symbols[:10])) == set(range(8))
    assert (symbols[10 : T + 9] == 8).all()
    assert (symbols[T + 9] == 9).all()
    assert (symbols[T + 10 :] == 8).all()
    assert (split.target[: T + 10] == 8).all()
    assert (split.target[T + 10 :] == symbols[:10]).all()
    assert split.every_step


def test_copy_answered_without_memory_scores_its_baseline_exactly():
    T = copy.PAUSE
    assert COPY.baseline == 10 * math.log(8) / (T + 20)
    test = COPY.data(0).test
    prediction = np.full((T + 20, test.count, 9), -1000.0)
    prediction[: T + 10, :, 8] = 0
    prediction[T + 10 :, :, :8] = 0
    # Every answer costs the same, so nothing is left to chance but the rounding of a mean
    assert cross_entropy(prediction, test) == pytest.approx(COPY.baseline, rel=1e-13)


def test_temporal_order_has_the_format_of_the_paper():
    split = temporal_order.draw(np.random.default_rng(0), 1000)
    names = np.array(list(temporal_order.SYMBOLS))
    seen = set()
    for n, length in enumerate(split.lengths):
        steps = split.x[:length, n]
        assert (steps.sum(axis=-1) == 1).all()
        assert not split.x[length:, n].any()
        text = "".join(names[steps.argmax(axis=-1)])
        assert text[0] == "E"
        assert text[-1] == "B"
        places = [at for at, name in enumerate(text) if name in "XY"]
        assert len(places) == 2
        assert 3 <= places[0] <= 6
        assert 15 <= places[1] <= 18
        assert ["XX", "XY", "YX", "YY"][split.target[n]] == text[places[0]] + text[places[1]]
        assert set(text[1:-1].replace("X", "").replace("Y", "")) <= set("abcd")
        seen.add((length, *places))
    assert len(seen) == 4**3  # every length with every pair of places


def test_any_constant_class_scores_the_baseline_of_temporal_order_exactly():
    data = TEMPORAL_ORDER.data(0)
    for split in (data.train, data.test):
        for chosen in range(4):
            assert accuracy(np.tile(np.eye(4)[chosen], (split.count, 1)), split) == TEMPORAL_ORDER.baseline
        # The cross-entropy that the module's text names beside it, up to the rounding of a mean
        assert cross_entropy(np.zeros((split.count, 4)), split) == pytest.approx(math.log(4), rel=1e-13)
