"""The training loop that is the same for every backend, and what it notes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal

import numpy as np

from rnnbench.backends.base import Session
from rnnbench.tasks.spec import Split

EVALUATIONS = 20  # over the budget: what comes of training is known to a twentieth of it
SHORTEST = 4  # steps between two that early stopping looks at: so many in a row are looked at by the harness


@dataclass
class EarlyStopping:
    """Which weights are kept: those of the first of the best scores on the validation part. Training is over after
    `patience` evaluations without a better one; without it, never. score, steps: of the weights kept so far."""

    better: Literal["lower", "higher"]
    patience: int | None
    score: float | None = None
    steps: int = 0
    waited: int = 0

    def keeps(self, score: float, steps: int) -> bool:
        """Take in the score after so many steps; tell whether the weights of now are to be kept."""
        best = self.score is None or (score < self.score if self.better == "lower" else score > self.score)
        if best:
            self.score, self.steps, self.waited = score, steps, 0
        else:
            self.waited += 1
        return best

    @staticmethod
    def interval(steps: int) -> int:
        """Return how many steps of so many lie between two evaluations."""
        return max(SHORTEST, steps // EVALUATIONS)

    @property
    def over(self) -> bool:
        return self.patience is not None and self.waited >= self.patience


@dataclass
class Progress:
    """What training has done so far. step_seconds hold the time inside `train_step` alone."""

    losses: list[float] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)


def train(
    session: Session, data: Iterator[Split], steps: int, progress: Progress, clock: Callable[[], float] = perf_counter
) -> None:
    """Take `steps` optimiser steps and add them to `progress`; stop early at a loss that is not finite."""
    for _ in range(steps):
        batch = next(data)
        start = clock()
        loss = session.train_step(batch.x, batch.target, batch.lengths)
        progress.step_seconds.append(clock() - start)
        progress.losses.append(loss)
        if not np.isfinite(loss):
            return
