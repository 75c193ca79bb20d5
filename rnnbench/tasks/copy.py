"""The copy problem: ten symbols are shown, and after a long pause they are to be repeated in order.

Arjovsky, Shah and Bengio 2016: ten symbols of eight, T-1 blanks, a delimiter, ten blanks to answer in. The target is
blank until the answer begins, so an answer without memory, sure of the blanks and guessing the ten symbols, has the
cross-entropy 10 ln 8 / (T + 20) on every single sequence.
"""

import math

import numpy as np

from rnnbench.hookspecs import hookimpl
from rnnbench.tasks.generated import generated
from rnnbench.tasks.scores import cross_entropy
from rnnbench.tasks.spec import Budget, Split, Task

SYMBOLS = 8
SHOWN = 10
PAUSE = 10  # the paper's T: 100 to 500 there
BLANK, DELIMITER = SYMBOLS, SYMBOLS + 1
LENGTH = PAUSE + 2 * SHOWN
BASELINE = SHOWN * math.log(SYMBOLS) / LENGTH


def draw(rng: np.random.Generator, count: int) -> Split:
    """Draw x [T, N, 10] one-hot: eight symbols, blank, delimiter; target [T, N]: eight symbols and blank."""
    shown = rng.integers(0, SYMBOLS, (SHOWN, count))
    inputs = np.full((LENGTH, count), BLANK)
    inputs[:SHOWN] = shown
    inputs[-SHOWN - 1] = DELIMITER
    target = np.full((LENGTH, count), BLANK)
    target[-SHOWN:] = shown
    return Split(np.eye(SYMBOLS + 2)[inputs], target, every_step=True)


COPY = Task(
    id="copy",
    title=f"Repeating {SHOWN} symbols after a pause of {PAUSE}",
    source="Arjovsky, Shah and Bengio 2016, arXiv:1511.06464",
    input_size=SYMBOLS + 2,
    output_size=SYMBOLS + 1,
    readout="all",
    loss="cross-entropy",
    score_name="test cross-entropy",
    score_better="lower",
    baseline=BASELINE,
    margin=BASELINE / 2,
    budget=Budget(steps=4000, hidden_size=64, forget_bias=2.0),
    data=generated(draw, train=8192, test=256),
    score=cross_entropy,
)


@hookimpl
def rnnbench_tasks() -> list[Task]:
    return [COPY]
