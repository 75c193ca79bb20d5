"""A task that early stopping suits: training leads to 1, validation is best half way there. It has folds too."""

from dataclasses import dataclass, replace

import numpy as np

from rnnbench import Budget, Data, Split, Task
from rnnbench.training import Adam


def split(seed, count, target):
    x = np.random.default_rng(seed).standard_normal((5, count, 1))
    return Split(x, np.full((count, 1), target))


def data_of(seed, shift, fold):
    """shift: added to the test part alone, which a fold does not look at."""
    test = split(seed + 1000, 10, 0.4)
    test = replace(test, x=test.x + shift, target=test.target + shift) if fold is None else split(fold, 10, 0.4)
    return Data(split(seed, 20, 1.0), test, split(seed + 2000, 10, 0.5))


def error(prediction, part):
    return float(np.mean((prediction - part.target) ** 2))


def figures(prediction, part):
    return {"mae": float(np.mean(np.abs(prediction - part.target))), "mase": float("nan")}


def losses(prediction, part):
    return ((prediction - part.target) ** 2).mean(axis=1)


def by_lead(prediction, part):
    return ((prediction - part.target) ** 2).mean(axis=0)


@dataclass(frozen=True, kw_only=True)
class Rising(Task):
    """A task in time, as far as a comparison can tell."""

    shift: float = 0.0

    def fold(self, number, count):
        assert 1 <= number <= count
        return replace(self, data=lambda seed: data_of(seed, self.shift, number))


def rising(name="rising", shift=0.0, patience=3, steps=80, validation=True):
    """Return the task; without validation nothing stops early."""

    def data(seed):
        found = data_of(seed, shift, None)
        return found if validation else replace(found, validation=None)

    return Rising(
        id=name,
        title="On the way to one",
        source="made up",
        input_size=1,
        output_size=1,
        readout="last",
        loss="mse",
        score_name="MSE",
        score_better="lower",
        baseline=1.0,
        margin=0.1,
        budget=Budget(steps=steps, batch_size=8, hidden_size=4, patience=patience, optimiser=Adam(0.03, clip_norm=1.0)),
        data=data,
        score=error,
        figures=figures,
        losses=losses,
        by_lead=by_lead,
        shift=shift,
    )
