"""The training loop that is the same for every backend, and what it notes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from rnnbench.backends.base import Session
from rnnbench.tasks.spec import Split


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
