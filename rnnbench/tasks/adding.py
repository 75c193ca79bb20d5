"""The adding problem: two numbers of a long sequence are marked, and their sum is asked for.

Hochreiter and Schmidhuber 1997, experiment 4, in the form of Le, Jaitly and Hinton 2015: numbers are uniform in [0, 1],
one mark lies in each half, and the answer is the plain sum. Its variance, 2/12, is the error of always saying 1.
Forget gates begin open (Jozefowicz, Zaremba and Sutskever 2015); an LSTM then needs about half of the budget.
"""

import numpy as np

from rnnbench.hookspecs import hookimpl
from rnnbench.tasks.generated import generated
from rnnbench.tasks.scores import mean_squared_error
from rnnbench.tasks.spec import Budget, Split, Task

LENGTH = 20


def draw(rng: np.random.Generator, count: int) -> Split:
    """Draw x [T, N, 2] of (number, mark), target [N, 1]."""
    numbers = rng.random((LENGTH, count))
    marks = np.zeros((LENGTH, count))
    rows = np.arange(count)
    marks[rng.integers(0, LENGTH // 2, count), rows] = 1
    marks[rng.integers(LENGTH // 2, LENGTH, count), rows] = 1
    return Split(np.stack([numbers, marks], axis=-1), (numbers * marks).sum(axis=0)[:, None])


ADDING = Task(
    id="adding",
    title=f"Adding two marked numbers of {LENGTH}",
    source="Hochreiter and Schmidhuber 1997, experiment 4; Le, Jaitly and Hinton 2015, arXiv:1504.00941",
    input_size=2,
    output_size=1,
    readout="last",
    loss="mse",
    score_name="test MSE",
    score_better="lower",
    baseline=1 / 6,
    margin=1 / 6 - 0.02,
    budget=Budget(steps=700, forget_bias=1.0),
    data=generated(draw, train=4096, test=512),
    score=mean_squared_error,
)


@hookimpl
def rnnbench_tasks() -> list[Task]:
    return [ADDING]
