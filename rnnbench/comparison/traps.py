"""Ways in which a figure can be true and mean nothing, told by the figures themselves. Pure functions.

What falsifies a row is a mismatch, and ends it. What its reader must know is a warning: the same words whenever it is
the same trap, so that a report says it once; the figures are kept with the samples.
"""

from collections.abc import Sequence
from statistics import fmean, median

import numpy as np

from rnnbench.tasks.spec import Split

SUBNORMALS = 3.0
LEAK = 1.2
LEAK_ALONE = 2.5  # nobody is there to show what the machine did; shared hosts change their speed by up to two times
LEAK_ROUNDS = 12  # the first quarter slowest of all: once in 220 by chance; of fewer, once in 55 or oftener
STUCK = 0.98  # of a constant answer's loss: batches scatter by less over the last tenth of a budget
STUCK_STEPS = 50  # fewer have not had the time
UNACCOUNTED = 1.25
SLICES = 5  # of a training loop; a neighbour's burst hits few of them, what is left undone all
WAITING = 0.05  # of the first rounds' time: where a thread had to wait for its core, the machine was slow, not its work

SUBNORMAL_WARNING = (
    f"inputs of 1e-40 slow it down more than {SUBNORMALS:g} times; round such inputs to 0, or flush subnormals to zero"
)
LEAK_WARNING = (
    "its first timed rounds were slower than those after: first-call work leaks into steady times; warm it up"
)
STUCK_WARNING = "its training loss stayed at that of a constant answer; give it more --steps or another --lr"


def subnormal(fresh: Sequence[float], tiny: Sequence[float]) -> float | None:
    """Return how many times longer inputs next to zero take than others, where that is too much: the quickest of each,
    which a busy machine leaves alone first."""
    times = min(tiny) / min(fresh)
    return times if times > SUBNORMALS else None


def leak(rounds: Sequence[float], others: Sequence[Sequence[float]], waiting: Sequence[float] = ()) -> float | None:
    """Return how many times slower the first quarter of the rounds was than the rest, where that is more than chance:
    all of it slower than nine tenths of the rest, which are as far apart as the machine makes them.

    others: the same rounds of everybody else; what slowed all down at once was the machine, and is divided out. With
    nobody else it takes more to tell the two apart. waiting: the share of each round in which there was no core.
    """
    first = len(rounds) // 4
    if len(rounds) < LEAK_ROUNDS or fmean(waiting[:first] or [0.0]) > WAITING:
        return None
    drift = [median(values) for values in zip(*others, strict=True)] if others else [1.0] * len(rounds)
    relative = [own / shared for own, shared in zip(rounds, drift, strict=True)]
    rest = sorted(relative[first:])
    times = median(relative[:first]) / median(rest)
    least = LEAK if others else LEAK_ALONE
    return times if times > least and min(relative[:first]) > rest[len(rest) * 9 // 10] else None


def constant_loss(loss: str, split: Split) -> float:
    """Return the least loss that one and the same answer can have: the target's variance, or its classes' entropy."""
    target = split.target
    if split.lengths is not None and split.every_step:
        valid = np.arange(len(split.x))[:, None] < split.lengths[None, :]
        target = target[valid]
    if loss == "cross-entropy":
        shares = np.unique(target, return_counts=True)[1] / target.size
        return float(-(shares * np.log(shares)).sum())
    flat = target.reshape(-1, target.shape[-1])
    return float(np.mean((flat - flat.mean(axis=0)) ** 2))


def stuck(losses: Sequence[float], trivial: float) -> float | None:
    """Return the last tenth of the losses over that of a constant answer, where training got no further."""
    if len(losses) < STUCK_STEPS or not trivial > 0:
        return None
    share = fmean(losses[-(len(losses) // 10) :]) / trivial
    return share if share >= STUCK else None


def unaccounted(slices: Sequence[tuple[float, float]]) -> float | None:
    """Return how many times longer the training loop took than its steps say, where that is too much in most of its
    slices: each is the seconds of its steps, and of its loop."""
    times = [loop / steps for steps, loop in slices if steps > 0]
    usual = median(times) if len(times) >= SLICES else 1.0
    return usual if usual > UNACCOUNTED else None
