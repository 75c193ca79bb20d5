"""Arrays with forbidden memory right before or right behind them: one step outside ends the process.

Where pages cannot be forbidden (no mprotect), and on request, the borders hold bytes that are NaN as floats: what is
read there shows in the results, what is written there is found by `Memory.check`. New memory holds the same bytes, so
that what was never written shows too.
"""

import ctypes
import mmap
from dataclasses import dataclass, field

import numpy as np

POISON = 0xFF  # NaN in each float dtype, -1 in each integer
SIDES = ("behind", "before", "poisoned")


def _mprotect():
    try:
        return ctypes.CDLL(None, use_errno=True).mprotect
    except (AttributeError, OSError, TypeError):
        return None


MPROTECT = _mprotect()
NO_ACCESS = 0


@dataclass
class Memory:
    """Memory for arrays that have their border on one side: `behind` or `before` them a forbidden page, or around them
    `poisoned` pages."""

    side: str
    _regions: list = field(default_factory=list)

    def array(self, shape, dtype, fill=POISON):
        """Return a new C-contiguous array; fill: the byte that it begins with."""
        dtype, page = np.dtype(dtype), mmap.PAGESIZE
        size = int(np.prod(shape)) * dtype.itemsize
        inside = -(-size // page) * page
        region = mmap.mmap(-1, inside + 2 * page)
        whole = np.frombuffer(region, np.uint8)
        whole[:] = POISON
        begin = page if self.side == "before" else page + inside - size
        made = whole[begin : begin + size]
        made[:] = fill
        self._regions.append((whole, begin, begin + size))
        if self.side != "poisoned":
            self._forbid(whole.ctypes.data)
            self._forbid(whole.ctypes.data + page + inside)
        return made.view(dtype).reshape(shape)

    @staticmethod
    def _forbid(address):
        if MPROTECT(ctypes.c_void_p(address), ctypes.c_size_t(mmap.PAGESIZE), NO_ACCESS):
            raise OSError(ctypes.get_errno(), "mprotect")

    def copy(self, array):
        made = self.array(array.shape, array.dtype)
        made[...] = array
        return made

    def holds(self, array):
        """Return whether all of the array is in memory that was handed out here."""
        low = array.ctypes.data
        return array.size == 0 or any(
            whole.ctypes.data + begin <= low and low + array.nbytes <= whole.ctypes.data + end
            for whole, begin, end in self._regions
        )

    def check(self):
        """Raise AssertionError if something was written between an array and its borders."""
        page = 0 if self.side == "poisoned" else mmap.PAGESIZE
        for whole, begin, end in self._regions:
            outside = np.concatenate([whole[page:begin], whole[end : whole.size - page]])
            assert (outside == POISON).all(), f"written outside an array of {end - begin} bytes"
