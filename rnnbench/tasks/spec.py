"""What a task is: data as a pure function of a seed, a score with its trivial baseline, and a training budget."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rnnbench.model import Array, Params
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
        """N, the number of sequences."""
        return int(self.x.shape[1])

    def rows(self, index: Array | slice) -> "Split":
        """The sequences that `index` picks, as C-contiguous copies."""
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
class Budget:
    """The default training: enough for LSTM and GRU to learn the task in seconds on two cores."""

    steps: int
    batch_size: int = 32
    hidden_size: int = 32
    optimiser: Adam = CLIPPED
    recurrent: str = "uniform"  # Model.init's options
    forget_bias: float | None = None


@dataclass(frozen=True)
class Training:
    """The training settings of a task under some `Settings`: what a line under each table states."""

    steps: int
    batch_size: int
    optimiser: Adam
    recurrent: str
    forget_bias: float | None


@dataclass(frozen=True)
class Task:
    """A sequence task.

    data: seed -> Data, pure: the same bytes on every machine for generated tasks.
    score: (prediction, test split) -> figure; prediction as the model gives it for the whole test split.
    baseline: the score of the best trivial answer, computed exactly. margin: by how much a score must beat it to count
    as learned, in the score's own unit.
    params: weights that the task brings, in canonical form: the model is checked and timed with these, and neither
    trained nor scored; score is None then. output_size is None for a model without a head, which only such a task has.
    """

    id: str
    title: str
    source: str
    input_size: int
    output_size: int | None
    readout: Literal["last", "all"]
    loss: Literal["mse", "cross-entropy"]
    score_name: str
    score_better: Literal["lower", "higher"]
    baseline: float
    margin: float
    budget: Budget
    data: Callable[[int], Data]
    score: Callable[[Array, Split], float] | None
    params: Params | None = None

    def learned(self, score: float) -> bool:
        gain = self.baseline - score if self.score_better == "lower" else score - self.baseline
        return bool(gain >= self.margin)
