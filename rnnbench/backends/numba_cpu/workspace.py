"""The memory of a session: slots, buffers and scratch.

Kernels reach what a call brings, or what grows with its steps, through slots (see kernels/records.py), so records and
programs are made once for a size of call and stay true when an array moves.
"""

import math

import numpy as np

from rnnbench.kernels.compiled import address
from rnnbench.kernels.layout import aligned
from rnnbench.kernels.records import Slot
from rnnbench.kernels.target import DType
from rnnbench.model import Array

SLOTS_OF_A_LAYER, OTHER_SLOTS = 8, 16
INT64 = np.dtype(np.int64)


class Workspace:
    """Slots by name. A buffer is memory that all calls share, of the largest size that one has asked for; of scratch
    memory each record keeps what it was made with."""

    def __init__(self, dtype: str, layers: int) -> None:
        self._dtype = np.dtype(dtype)
        self._slots: Array = aligned(OTHER_SLOTS + SLOTS_OF_A_LAYER * layers, INT64)
        self._first = self._slots.ctypes.data
        self._numbers: dict[str, int] = {}
        self._buffers: dict[str, Array] = {}
        self.buffers_of: object = None  # the plan whose buffers the slots hold
        self._scratch: dict[tuple[str, str, int], Array] = {}

    def _number(self, name: str) -> int:
        number = self._numbers.get(name)
        return self._numbers.setdefault(name, len(self._numbers)) if number is None else number

    def slot(self, name: str) -> Slot:
        """Return the slot of a name."""
        number = self._number(name)
        if number >= self._slots.size:
            raise IndexError(name)
        return Slot(int(self._first + number * self._slots.itemsize))

    def bind(self, name: str, array: Array) -> None:
        """Have the slot hold a contiguous array's address. The caller keeps the array while programs run."""
        self._slots[self._number(name)] = address(array.dtype)(array.ravel())

    def buffer(self, name: str, shape: tuple[int, ...]) -> Array:
        """Return memory of the model's dtype behind a slot: fresh pages cost more than what is written to them."""
        size = math.prod(shape)
        have = self._buffers.get(name)
        if have is None or have.size < size:
            self._buffers.pop(name, None)  # before the larger one is made
            have = self._buffers[name] = aligned(size, self._dtype)
        self.bind(name, have)
        return have[:size].reshape(shape)

    def scratch(self, key: tuple[str, str, int], size: int, dtype: DType | None = None) -> Array:
        """Return memory of at least `size` elements, shared by all kernels with this key: one runs after the other."""
        have = self._scratch.get(key)
        if have is None or have.size < size:
            have = self._scratch[key] = aligned(size, dtype or self._dtype)
        return have
