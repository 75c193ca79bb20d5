"""The memory of a session of the `numba` backend: slots, rooms and scratch.

Kernels reach what a call brings, or what grows with its steps, through slots (see kernels/call.py), so records and
programs are made once for a size of call and stay true when an array moves.
"""

import math
from typing import Any

import numpy as np

from rnnbench.model import Array

SLOTS_OF_A_LAYER, OTHER_SLOTS = 8, 16


class Table:
    """Slots by name. A room is memory that all calls share, of the largest size that one has asked for; of scratch
    memory each record keeps what it was made with."""

    def __init__(self, dtype: str, layers: int) -> None:
        from rnnbench.kernels.layout import aligned
        from rnnbench.kernels.library import address

        self._aligned, self._address, self._dtype = aligned, address, np.dtype(dtype)
        self._slots: Array = aligned(OTHER_SLOTS + SLOTS_OF_A_LAYER * layers, np.dtype(np.int64))
        self._first = self._slots.ctypes.data
        self._numbers: dict[str, int] = {}
        self._rooms: dict[str, Array] = {}
        self.rooms_of: object = None  # the plan whose rooms the slots hold
        self._scratch: dict[tuple[Any, ...], Array] = {}

    def _number(self, name: str) -> int:
        number = self._numbers.get(name)
        return self._numbers.setdefault(name, len(self._numbers)) if number is None else number

    def slot(self, name: str) -> int:
        """The slot's address."""
        number = self._number(name)
        if number >= self._slots.size:
            raise IndexError(name)
        return int(self._first + number * self._slots.itemsize)

    def put(self, name: str, array: Array) -> None:
        """Has the slot hold a contiguous array's address. The caller keeps the array while programs run."""
        self._slots[self._number(name)] = self._address(array.dtype)(array.ravel())

    def room(self, name: str, shape: tuple[int, ...]) -> Array:
        """Memory of the model's dtype behind a slot: fresh pages cost more than what is written to them."""
        size = math.prod(shape)
        have = self._rooms.get(name)
        if have is None or have.size < size:
            self._rooms.pop(name, None)  # before the larger one is made
            have = self._rooms[name] = self._aligned(size, self._dtype)
        self.put(name, have)
        return have[:size].reshape(shape)

    def scratch(self, key: tuple[Any, ...], size: int, dtype: Any = None) -> Array:
        """Memory of at least `size` elements, shared by all kernels with this key: they run one after the other."""
        have = self._scratch.get(key)
        if have is None or have.size < size:
            have = self._scratch[key] = self._aligned(size, np.dtype(dtype or self._dtype))
        return have
