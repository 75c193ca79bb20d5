"""Inputs of timed calls that no call has had before: what was kept from an earlier call is wrong in a later one.

A sample runs on other numbers than the one before, in another order of rows. Its calls read one long memory through a
window that slides over it, some steps further each time: every row, and every beginning of a row, is new in every call,
though nothing is written while the clock runs. The last window holds what the seed says, however many calls there
were: so the parent, which makes the same from that seed, knows what the last call must have given.
"""

from collections.abc import Iterator
from itertools import cycle, islice
from math import gcd

import numpy as np

from rnnbench.model import Array
from rnnbench.tasks.spec import Split

SMALLEST = 0.5  # of what an input is multiplied by; 1 is the largest: a network meets no size it does not know
LINE = 64  # bytes: windows begin at a cache line, as arrays do that are well placed
MOST_WINDOWS = 1 << 14  # calls of less than a microsecond go round; no network is so small


class FreshInputs:
    """x [T, B, I] and lengths [B] of one seed after the other."""

    def __init__(self, base: Split) -> None:
        self._base = base
        self.x, self.lengths = base.x, base.lengths
        row = base.x[0].nbytes
        self._stride = LINE // gcd(LINE, row) if row else 1  # steps from one window to the next
        valid = base.x[np.isfinite(base.x)]
        self._valid = valid if valid.size else np.zeros(1, base.x.dtype)
        self._filling = self._valid  # numbers like the base's, enough for any sample so far

    def renew(self, seed: int) -> None:
        """Take the contents of a seed: the base's rows in another order, each made smaller."""
        self._random = np.random.default_rng(seed)
        base, rows = self._base, self._base.count
        order = self._random.permutation(rows)
        factors = np.asarray(self._random.uniform(SMALLEST, 1, rows), base.x.dtype)
        self.x = np.ascontiguousarray(base.x[:, order] * factors[:, None])
        self.lengths = None if base.lengths is None else base.lengths[order]

    def windows(self, calls: int) -> "InputWindows":
        """Return the inputs of so many calls. What comes before the contents of the seed are numbers like them."""
        count = min(calls, MOST_WINDOWS)
        shape = ((count - 1) * self._stride, *self.x.shape[1:])
        size = int(np.prod(shape))
        if self._filling.size < size:
            self._filling = self._random.choice(self._valid, size) * self._random.uniform(SMALLEST, 1, size)
        memory = aligned((shape[0] + len(self.x), *shape[1:]), self.x.dtype)
        factor = self._random.uniform(SMALLEST, 1)
        np.multiply(self._filling[:size].reshape(shape), factor, out=memory[: shape[0]], casting="same_kind")
        memory[shape[0] :] = self.x
        starts = range(0, shape[0] + 1, self._stride)
        return InputWindows([memory[start : start + len(self.x)] for start in starts], calls)

    def split(self) -> Split:
        """Return the contents. The target is the base's, and means nothing."""
        return Split(self.x, self._base.target, self.lengths, self._base.every_step)


class InputWindows:
    """Views of one memory [_, B, I], in the order of their calls."""

    def __init__(self, views: list[Array], calls: int) -> None:
        self._views, self._calls = views, calls

    def __iter__(self) -> Iterator[Array]:
        if self._calls == len(self._views):
            return iter(self._views)
        return islice(
            cycle(self._views), -self._calls % len(self._views), -self._calls % len(self._views) + self._calls
        )

    def other(self, number: int) -> Array:
        """Return an input in memory of its own, another for each number: nothing that is computed of it is right
        later."""
        return np.multiply(self._views[0], -1.0 - number, dtype=self._views[0].dtype)


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Return memory of that shape that begins at a cache line."""
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.empty(size + LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    return raw[start : start + size].view(dtype).reshape(shape)


def stream(first_row: Array, seed: int, number: int, least: int) -> Array:
    """Return the inputs [T', 1, I] of the pass of single steps with this number: those of a row [T, 1, I], from the
    start again until there are `least`, each made smaller."""
    repeats = -(-least // len(first_row))
    random = np.random.default_rng((seed, number))
    row = np.concatenate([first_row] * repeats)
    factors = np.asarray(random.uniform(SMALLEST, 1, (len(row), 1, 1)), row.dtype)
    return np.asarray(row * factors)
