"""What a task is: data as a pure function of a seed, a score with its trivial baseline, and a training budget.

Beside it, the workload of a trained model, which has no score."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rnnbench.model import Array, Params, Readout
from rnnbench.training import Adam


@dataclass(frozen=True)
class Split:
    """Sequences and what is to be predicted.

    x [T, N, I]; target [N, O] or [T, N, O] of floats, or class indices [N] or [T, N]; lengths int64 [N] or None.
    """

    x: Array
    target: Array
    lengths: Array | None = None
    every_step: bool = False  # the target has a time axis

    @property
    def count(self) -> int:
        """Return N, the number of sequences."""
        return int(self.x.shape[1])

    def rows(self, index: Array | slice) -> "Split":
        """Return the sequences that `index` picks, as C-contiguous copies."""
        target = self.target[:, index] if self.every_step else self.target[index]
        return Split(
            np.ascontiguousarray(self.x[:, index]),
            np.ascontiguousarray(target),
            None if self.lengths is None else self.lengths[index],
            self.every_step,
        )


@dataclass(frozen=True)
class Data:
    """What one seed gives. A time series is split by time, so that no test value was seen in training."""

    train: Split
    test: Split


CLIPPED = Adam(learning_rate=1e-2, clip_norm=1.0)


@dataclass(frozen=True)
class Training:
    """How a model is trained. recurrent, forget_bias: options of `Model.init`."""

    steps: int
    batch_size: int = 32
    optimiser: Adam = CLIPPED
    recurrent: str = "uniform"
    forget_bias: float | None = None


@dataclass(frozen=True)
class Budget(Training):
    """A task's default: enough for LSTM and GRU of this size to learn it in seconds on two cores."""

    hidden_size: int = 32


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What every backend of a comparison is given: sequences, and the shape of the answer.

    data: seed -> Data, pure: the same bytes on every machine for generated tasks.
    output_size: None for a model without a head.
    """

    id: str
    title: str
    source: str
    input_size: int
    output_size: int | None
    readout: Readout
    loss: Literal["mse", "cross-entropy"]
    budget: Budget
    data: Callable[[int], Data]


@dataclass(frozen=True, kw_only=True)
class Task(Workload):
    """A sequence task, which is learned and scored.

    score: (prediction, test split) -> figure; prediction as the model gives it for the whole test split.
    baseline: the score of the best trivial answer, computed exactly. margin: by how much a score must beat it to count
    as learned, in the score's own unit.
    """

    score_name: str
    score_better: Literal["lower", "higher"]
    baseline: float
    margin: float
    score: Callable[[Array, Split], float]

    def learned(self, score: float) -> bool:
        """Tell whether a score beats the baseline by the margin."""
        gain = self.baseline - score if self.score_better == "lower" else score - self.baseline
        return bool(gain >= self.margin)


@dataclass(frozen=True, kw_only=True)
class FixedModel(Workload):
    """A trained model: it is checked and timed with the weights that it brings, and neither trained nor scored.

    params: in canonical form.
    """

    params: Params
