"""What tasks are scored by: (prediction of the whole test split, the split) -> a figure.

Persistence answers "as it is now": the last value that a window shows of the target, which is column 0 of its inputs.
"""

import numpy as np

from rnnbench.model import Array
from rnnbench.tasks.spec import Split
from rnnbench.training import loss_and_gradient


def mean_squared_error(prediction: Array, split: Split) -> float:
    """Return the mean squared error of prediction [N, O]."""
    return float(np.mean((prediction - split.target) ** 2))


def cross_entropy(prediction: Array, split: Split) -> float:
    """Return the nats per answer; prediction [N, O] or [T, N, O] before the softmax."""
    return loss_and_gradient("cross-entropy", prediction.astype(np.float64), split.target, split.lengths)[0]


def accuracy(prediction: Array, split: Split) -> float:
    """Return the share of right classes; prediction [N, O]."""
    return float(np.mean(prediction.argmax(axis=-1) == split.target))


def persistence(split: Split) -> Array:
    """Return the target as each window saw it last, [N, 1]: the answer to every step ahead."""
    return split.x[-1, :, :1]
