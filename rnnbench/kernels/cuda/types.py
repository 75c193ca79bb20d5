"""Types of what kernels are made of and launched with; `target.signature` reads the three kinds of array."""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np

from rnnbench.model import Array

DType: TypeAlias = np.dtype[Any]
DeviceFunction: TypeAlias = Callable[..., Any]  # called by kernels alone, where Numba infers the types
KernelFunction: TypeAlias = Callable[..., None]
Provided: TypeAlias = Any  # modules and objects of numba-cuda, its successor or the simulator, which have no types


class DeviceArray(Protocol):
    """Flat device memory, of the model's dtype where a kernel's arguments name it. In the simulator a NumPy array."""

    size: int
    shape: tuple[int, ...]
    dtype: DType

    def __getitem__(self, part: slice) -> "DeviceArray": ...
    def __setitem__(self, part: slice, values: Array) -> None: ...


class IntegerArray(DeviceArray, Protocol):
    """Flat device memory of int64."""


class DoubleArray(DeviceArray, Protocol):
    """Flat device memory of float64, whatever the model's dtype."""
