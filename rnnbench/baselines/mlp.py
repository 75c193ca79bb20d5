"""A perceptron with one hidden layer on everything that a window shows, with the head and the loss of a cell.

    a = tanh(W x + b),    y = V a + c

Trained by Adam; the last fifth of the training part, in time, is left out of it, and the weights that do best there are
kept.
"""

from dataclasses import dataclass

import numpy as np

from rnnbench.baselines.sequences import flat, needs_one_answer, ordered
from rnnbench.baselines.spec import Baseline, Fitted, Problem
from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array, Params
from rnnbench.tasks.spec import Split
from rnnbench.training import Adam, AdamState, loss_and_gradient

UNITS, STEPS, EVERY, BATCH, HELD_OUT = 32, 1000, 25, 32, 5
ADAM = Adam(learning_rate=3e-3, clip_norm=1.0)
FEWEST = 2 * HELD_OUT


def forward(params: Params, x: Array) -> tuple[Array, Array]:
    """Return the answers [N, O] to x [N, P], and the hidden layer [N, UNITS]."""
    hidden = np.tanh(x @ params["W"] + params["b"])
    return hidden @ params["V"] + params["c"], hidden


def backward(params: Params, x: Array, hidden: Array, d_answer: Array) -> Params:
    """Return the gradients of all parameters, given that of the answers."""
    d_sum = d_answer @ params["V"].T * (1 - hidden**2)
    return {"W": x.T @ d_sum, "b": d_sum.sum(axis=0), "V": hidden.T @ d_answer, "c": d_answer.sum(axis=0)}


@dataclass(frozen=True)
class Perceptron:
    """middle, spread [P]: of the training windows, by which inputs are standardised."""

    steps: int
    middle: Array
    spread: Array
    params: Params

    @property
    def parameters(self) -> int:
        return sum(value.size for value in self.params.values())

    def predict(self, split: Split) -> Array:
        """Return the answers [N, O]."""
        return forward(self.params, (flat(split, self.steps) - self.middle) / self.spread)[0]


def fit(problem: Problem) -> Fitted:
    """Train it; the seed decides where it begins and the order of the batches."""
    order, steps = ordered(problem), len(problem.train.x)
    rows = flat(problem.train, steps)[order]
    middle, spread = rows.mean(axis=0), rows.std(axis=0)
    spread[spread == 0] = 1.0
    rows, target = (rows - middle) / spread, problem.train.target[order]
    if problem.loss == "mse":
        target = target.astype(np.float64, copy=False)
    border = len(rows) - len(rows) // HELD_OUT
    rng = np.random.default_rng([problem.seed, 2])
    params = {
        "W": rng.uniform(-1, 1, (rows.shape[1], UNITS)) / np.sqrt(rows.shape[1]),
        "b": np.zeros(UNITS),
        "V": rng.uniform(-1, 1, (UNITS, problem.output_size)) / np.sqrt(UNITS),
        "c": np.zeros(problem.output_size),
    }
    adam, best, least = AdamState(ADAM, params), dict(params), np.inf
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            loss = loss_and_gradient(problem.loss, forward(params, rows[border:])[0], target[border:])[0]
            best, least = (dict(params), loss) if loss < least else (best, least)
        chosen = rng.integers(0, border, BATCH)
        answer, hidden = forward(params, rows[chosen])
        d_answer = loss_and_gradient(problem.loss, answer, target[chosen])[1]
        adam.update(params, backward(params, rows[chosen], hidden, d_answer))
    return Perceptron(steps, middle, spread, best)


def unsuitable(problem: Problem) -> str | None:
    """Return why it cannot answer, or None."""
    if problem.train.count < FEWEST:
        return f"there are {problem.train.count} sequences; it takes {FEWEST} to train it and leave some out"
    return needs_one_answer(problem)


@hookimpl
def rnnbench_baselines() -> list[Baseline]:
    return [
        Baseline(
            id="mlp",
            title=f"Perceptron with {UNITS} hidden units on the window",
            source="Rumelhart, Hinton and Williams 1986",
            unsuitable=unsuitable,
            fit=fit,
        )
    ]
