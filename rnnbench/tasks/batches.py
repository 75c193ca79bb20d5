"""Training batches of a split: a pure function of the split, the batch size and a seed."""

from collections.abc import Iterator

import numpy as np

from rnnbench.tasks.spec import Split


def batches(split: Split, batch_size: int, seed: int) -> Iterator[Split]:
    """Yield batches without end: every epoch visits each sequence once, in an order that only the seed decides."""
    rng = np.random.default_rng([seed, 1])
    count = split.count
    while True:
        order = rng.permutation(count)
        for start in range(0, count, batch_size):
            yield split.rows(order[start : start + batch_size])
