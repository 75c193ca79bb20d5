"""Device memory by name, kept from call to call."""

from typing import Any

import numpy as np

from rnnbench.kernels.cuda.target import refill, zeros
from rnnbench.model import Array


class Memory:
    """Flat arrays of one dtype. They grow and never shrink; what is in a new one is zero, and stale in an old one."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._held: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self._held[name]

    def need(self, name: str, size: int) -> Any:
        """The array of that name, with room for at least `size` elements."""
        if name not in self._held or self._held[name].size < size:
            self._held.pop(name, None)  # freed before its successor is taken
            self._held[name] = zeros(size, self._dtype)
        return self._held[name]

    def fill(self, name: str, values: Array) -> Any:
        """The same, its first elements being `values`."""
        held = self.need(name, values.size)
        refill(held, values)
        return held
