"""What any task must satisfy, whoever wrote it."""

import math
from dataclasses import asdict

import numpy as np
import pytest

from rnnbench.comparison.plan import Settings, training
from rnnbench.model import Model
from rnnbench.registry import registry
from rnnbench.tasks.spec import Data, Split, Task
from rnnbench.training import loss_and_gradient

TASKS = sorted(registry().tasks)


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    return registry().task(request.param)


def splits(data: Data) -> tuple[Split, Split]:
    return data.train, data.test


def arrays(data: Data) -> list[bytes]:
    held = [a for split in splits(data) for a in (split.x, split.target, split.lengths) if a is not None]
    return [a.tobytes() for a in held]


def test_the_built_in_tasks_are_registered():
    assert {"adding", "copy", "temporal-order", "sine", "article", "mackey-glass", "sunspots"} <= set(TASKS)


def test_shared_modules_are_not_listed_as_plugins():
    listed = {name for name in registry().plugins if name.startswith("tasks.")}
    shared = {"cut", "forecast", "forecast_scores", "generated", "own_table", "scores"}
    assert not listed & {f"tasks.{name}" for name in shared}
    assert "tasks.adding" in listed


def test_shapes_and_dtypes(task):
    for split in splits(task.data(0)):
        T, N, inputs = split.x.shape
        assert inputs == task.input_size
        assert split.count == N
        assert N >= 1
        assert split.x.dtype in (np.float32, np.float64)
        assert split.x.flags.c_contiguous
        assert np.isfinite(split.x).all()
        assert split.every_step == (task.readout == "all")
        lead = (T, N) if split.every_step else (N,)
        if task.loss == "mse":
            assert split.target.shape == (*lead, task.output_size)
            assert split.target.dtype in (np.float32, np.float64)
            assert np.isfinite(split.target).all()
        else:
            assert split.target.shape == lead
            assert split.target.dtype.kind in "iu"
            assert split.target.min() >= 0
            assert split.target.max() < task.output_size
        if split.lengths is not None:
            assert split.lengths.shape == (N,)
            assert split.lengths.dtype == np.int64
            assert split.lengths.min() >= 1
            assert split.lengths.max() == T


def test_one_seed_gives_the_same_bytes_and_arrays_of_its_own(task):
    first = task.data(3)
    expected = arrays(first)
    for split in splits(first):
        split.x.fill(7)  # a caller that writes into its data must not change the next one's
        split.target.fill(0)
    assert arrays(task.data(3)) == expected


def test_the_baseline_scores_as_not_learned_and_the_truth_as_learned(task):
    test = task.data(0).test
    truth = test.target if task.loss == "mse" else 50.0 * np.eye(task.output_size)[test.target]
    assert not task.learned(task.baseline)
    assert task.learned(task.score(truth, test))
    assert task.margin > 0
    assert math.isfinite(task.baseline)


def test_a_prediction_of_float32_is_scored_like_one_of_float64(task):
    test = task.data(0).test
    shape = (*test.x.shape[: 2 if test.every_step else 1], task.output_size)
    shape = shape if test.every_step else (test.count, task.output_size)
    prediction = np.random.default_rng(0).standard_normal(shape)
    # A prediction's rounding is 6e-8 of it; a score sums relative errors of that size
    assert task.score(prediction.astype(np.float32), test) == pytest.approx(task.score(prediction, test), rel=1e-6)


def test_the_loss_takes_a_batch_of_it(task):
    batch = task.data(0).train.rows(np.arange(4))
    prediction = np.zeros((*batch.target.shape[: 2 if batch.every_step else 1], task.output_size))
    loss, gradient = loss_and_gradient(task.loss, prediction, batch.target, batch.lengths)
    assert math.isfinite(loss)
    assert gradient.shape == prediction.shape


def test_the_budget_makes_a_model(task):
    budget = task.budget
    model = Model("lstm", task.input_size, budget.hidden_size, task.output_size, readout=task.readout)
    params = model.init(0, budget.recurrent, budget.forget_bias)
    assert params.keys() == model.parameter_shapes().keys()
    assert budget.steps >= 1
    assert budget.batch_size >= 1


def test_the_training_that_a_run_stores_is_what_it_always_was():
    """Of a budget, all but the hidden size: a record has that in a column of its own."""
    stored = asdict(training(registry().task("adding"), Settings(steps=3, learning_rate=0.5)))
    adam = {"learning_rate": 0.5, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "clip_norm": 1.0}
    own = {"steps": 3, "batch_size": 32, "recurrent": "uniform", "forget_bias": 1.0, "patience": None}
    assert stored == {**own, "optimiser": adam}
