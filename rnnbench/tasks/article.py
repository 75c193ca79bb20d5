"""The example that this project grew from, mended: LSTM(50) or GRU(50) with Dense(1) on a hundred points of a sine.

As printed it cannot run: it has 99 targets for 100 inputs. Here the 99 pairs x[k] -> x[k+1] are taken. Two things are
kept as they were, because they are what the figures of such articles rest on:

- a sequence is ONE step long, so the state is zero whenever R meets it: the recurrence is never used, and R is never
  trained. What is compared are small feed-forward networks;
- the test data are the training data.

It is judged like any forecast here, against saying x[k] again; 400 steps are rarely enough to beat that.
"""

import numpy as np

from rnnbench.hookspecs import hookimpl
from rnnbench.tasks.scores import mean_squared_error, persistence
from rnnbench.tasks.sine import sine
from rnnbench.tasks.spec import Budget, Data, Split, Task
from rnnbench.training import Adam

POINTS = 100
PAIRS = POINTS - 1
BATCH, EPOCHS = 32, 100
STEPS = -(-PAIRS // BATCH) * EPOCHS


def pairs() -> Split:
    """Return x [1, 99, 1] and target [99, 1]: neighbours in sin(linspace(0, 1, 100))."""
    values = sine(np.linspace(0, 1, POINTS))
    return Split(values[None, :-1, None].copy(), values[1:, None].copy())


def data(seed: int) -> Data:
    """Return the same for every seed, and for test as for training."""
    return Data(pairs(), pairs())


BASELINE = mean_squared_error(persistence(pairs()), pairs())

ARTICLE = Task(
    id="article",
    title="The article's sine, one step a sequence",
    source="the article this project grew from, mended",
    input_size=1,
    output_size=1,
    readout="last",
    loss="mse",
    score_name="MSE",
    score_better="lower",
    baseline=BASELINE,
    margin=BASELINE / 2,
    budget=Budget(steps=STEPS, batch_size=BATCH, hidden_size=50, optimiser=Adam(learning_rate=1e-3)),
    data=data,
    score=mean_squared_error,
)


@hookimpl
def rnnbench_tasks() -> list[Task]:
    return [ARTICLE]
