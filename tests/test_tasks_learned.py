"""The default budgets suffice: LSTM and GRU learn from every one of the default seeds."""

import pytest

from rnnbench import Model, session
from rnnbench.registry import registry
from rnnbench.tasks.batches import batches
from rnnbench.training_loop import Progress, train

SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("task_id", ["sunspots", "adding", "sine", "temporal-order", "mackey-glass"])
def test_the_budget_is_enough(task_id, cell, seed):
    task = registry().task(task_id)
    budget, data = task.budget, task.data(seed)
    model = Model(cell, task.input_size, budget.hidden_size, task.output_size, readout=task.readout)
    params = model.init(seed, budget.recurrent, budget.forget_bias)
    learner = session("numba", model, params, loss=task.loss, optimiser=budget.optimiser)
    before = task.score(learner.forward(data.test.x, data.test.lengths)[0], data.test)
    train(learner, batches(data.train, budget.batch_size, seed), budget.steps, Progress())
    after = task.score(learner.forward(data.test.x, data.test.lengths)[0], data.test)
    assert not task.learned(before)
    assert task.learned(after), f"scored {after} against a baseline of {task.baseline}"
