"""Temporal order: X or Y stands at two places of a sequence of distractors, and their order is the class.

Hochreiter and Schmidhuber 1997, experiment 6a, at three tenths of its length so that it is learned in seconds: the
sequence starts with E, ends with B, has 30 to 33 symbols (100 to 110 in the paper), X or Y at 3 to 6 (10 to 20) and at
15 to 18 (50 to 60), and a, b, c or d elsewhere. Classes: XX, XY, YX, YY.

It is trained by cross-entropy and scored by accuracy. Classes are equally many in each split, so that any constant
answer has an accuracy of exactly 1/4; the cross-entropy of the best one is ln 4.

Forget gates begin open, since an LSTM whose gates begin half shut does not learn it from every seed.
"""

import numpy as np

from rnnbench.hookspecs import hookimpl
from rnnbench.tasks.generated import generated
from rnnbench.tasks.scores import accuracy
from rnnbench.tasks.spec import Budget, Split, Task

SYMBOLS = "abcdEBXY"
DISTRACTORS = 4
E, B, X = (SYMBOLS.index(name) for name in "EBX")
SHORTEST, LONGEST = 30, 33
FIRST, SECOND = (3, 6), (15, 18)
CLASSES = 4


def draw(rng: np.random.Generator, count: int) -> Split:
    """Draw x [T, N, 8] one-hot and zero past the length, target [N] of 0..3, lengths [N]."""
    rows = np.arange(count)
    lengths = rng.integers(SHORTEST, LONGEST, count, endpoint=True)
    classes = rng.permutation(rows % CLASSES)
    symbols = rng.integers(0, DISTRACTORS, (LONGEST, count))
    symbols[0] = E
    symbols[rng.integers(*FIRST, count, endpoint=True), rows] = X + classes // 2
    symbols[rng.integers(*SECOND, count, endpoint=True), rows] = X + classes % 2
    symbols[lengths - 1, rows] = B
    x = np.eye(len(SYMBOLS))[symbols]
    x[np.arange(LONGEST)[:, None] >= lengths] = 0
    return Split(x, classes, lengths)


TEMPORAL_ORDER = Task(
    id="temporal-order",
    title=f"Order of two symbols among {SHORTEST} to {LONGEST}",
    source="Hochreiter and Schmidhuber 1997, experiment 6a, shortened",
    input_size=len(SYMBOLS),
    output_size=CLASSES,
    readout="last",
    loss="cross-entropy",
    score_name="test accuracy",
    score_better="higher",
    baseline=1 / CLASSES,
    margin=0.7,
    budget=Budget(steps=800, forget_bias=2.0),
    data=generated(draw, train=4096, test=512),
    score=accuracy,
)


@hookimpl
def rnnbench_tasks() -> list[Task]:
    return [TEMPORAL_ORDER]
