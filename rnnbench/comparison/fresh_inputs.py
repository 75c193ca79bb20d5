"""Inputs of timed calls that no call has had before: what was kept from an earlier call is wrong in a later one.

A sample runs on other numbers than the one before, in another order of rows, and one number changes before each of its
calls. When all calls are done the inputs are what the seed says, however many calls there were: so the parent, which
makes the same from that seed, knows what the last call must have given.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from rnnbench.model import Array
from rnnbench.tasks.spec import Split

SMALLEST = 0.5  # of what an input is multiplied by; 1 is the largest: a network meets no size it does not know


class FreshInputs:
    """One memory for x [T, B, I] and lengths [B], with the contents of one seed after the other."""

    def __init__(self, base: Split) -> None:
        self._base = base
        self.x = np.ascontiguousarray(base.x).copy()
        self.lengths = None if base.lengths is None else base.lengths.copy()
        valid = np.abs(base.x[np.isfinite(base.x)])
        self._size = float(valid.max()) if valid.size and valid.max() > 0 else 1.0
        self._random = np.random.default_rng(0)

    def renew(self, seed: int) -> None:
        """Take the contents of a seed: the base's rows in another order, each made smaller."""
        self._random = np.random.default_rng(seed)
        base, rows = self._base, self.x.shape[1]
        order = self._random.permutation(rows)
        factors = np.asarray(self._random.uniform(SMALLEST, 1, rows), self.x.dtype)
        np.multiply(base.x[:, order], factors[:, None], out=self.x)
        if self.lengths is not None and base.lengths is not None:
            self.lengths[:] = base.lengths[order]

    def changing(self, calls: int) -> Iterator[None]:
        """Prepare for so many calls, before each of which one number changes; the last change of a number makes it
        what `renew` made it."""
        steps, rows, width = self.x.shape
        row = self._random.integers(rows, size=calls)
        steps_of_row = steps if self.lengths is None else np.maximum(self.lengths[row], 1)
        step = (self._random.random(calls) * steps_of_row).astype(np.int64)
        places = (step * rows + row) * width + self._random.integers(width, size=calls)
        flat = self.x.reshape(-1)
        values = flat[places] + (self._size * self._random.uniform(0.25, 1, calls)).astype(flat.dtype)
        last = calls - 1 - np.unique(places[::-1], return_index=True)[1]
        values[last] = flat[places[last]]
        flat[places[last]] += flat.dtype.type(2 * self._size)
        return _put(flat.data, places.data, values.data)

    @contextmanager
    def negated(self) -> Iterator[None]:
        """Make every input its negative meanwhile: of what is computed now, nothing is right later."""
        np.negative(self.x, out=self.x)
        yield
        np.negative(self.x, out=self.x)

    def split(self) -> Split:
        """Return the contents. The target is the base's, and means nothing."""
        return Split(self.x, self._base.target, self.lengths, self._base.every_step)


def _put(memory: memoryview, places: memoryview, values: memoryview) -> Iterator[None]:
    for place, value in zip(places, values, strict=True):
        memory[place] = value
        yield


def stream(first_row: Array, seed: int, number: int, least: int) -> Array:
    """Return the inputs [T', 1, I] of the pass of single steps with this number: those of a row [T, 1, I], from the
    start again until there are `least`, each made smaller."""
    repeats = -(-least // len(first_row))
    random = np.random.default_rng((seed, number))
    row = np.concatenate([first_row] * repeats)
    factors = np.asarray(random.uniform(SMALLEST, 1, (len(row), 1, 1)), row.dtype)
    return np.asarray(row * factors)
