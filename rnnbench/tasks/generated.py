"""Tasks whose sequences are drawn: training and test from independent streams of one seed."""

from collections.abc import Callable

import numpy as np

from rnnbench.tasks.spec import Data, Split

Draw = Callable[[np.random.Generator, int], Split]


def generated(draw: Draw, train: int, test: int) -> Callable[[int], Data]:
    """Return `Task.data` of a task whose sequences `draw` gives: so many for training, so many for the test.

    Spawned streams share nothing with `default_rng(seed)`, which draws the initial weights; `default_rng([seed, 0])`
    would be that very stream, because entropy is padded with zeros.
    """

    def data(seed: int) -> Data:
        for_train, for_test = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
        return Data(draw(for_train, train), draw(for_test, test))

    return data
