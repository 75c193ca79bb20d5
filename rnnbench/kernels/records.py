"""Kernels' arguments: typed dataclasses in Python, and the records of eight-byte words that compiled code reads.

A kernel takes one number, the address of a record. What the record holds is declared once, as a dataclass (args.py):
the NumPy dtype and Numba's record type both follow from it, and a field that is missing, unknown or of a wrong type is
an error where the arguments are made.
"""

from collections.abc import Iterable, Iterator
from dataclasses import Field, dataclass, fields
from typing import ClassVar, Generic, NewType, TypeVar, dataclass_transform, get_type_hints

import numpy as np
from numba.np.numpy_support import from_dtype

from rnnbench.kernels.pointers import from_address
from rnnbench.kernels.target import DType
from rnnbench.model import Array

# The address of an int64 that holds an array's address: how a record reaches what moves from call to call.
Slot = NewType("Slot", int)


@dataclass_transform(frozen_default=True, kw_only_default=True)
class KernelArgs:
    """A kernel's arguments: every subclass is a frozen dataclass of keywords. An array gives its address, None 0; a
    field that is `KernelArgs` itself gives its fields, so that compiled code sees one level."""

    __dataclass_fields__: ClassVar[dict[str, Field[object]]]

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, kw_only=True)(cls)

    def words(self) -> Iterator[float]:
        """Yield the record's values, in order."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, KernelArgs):
                yield from value.words()
            elif isinstance(value, np.ndarray):
                yield value.ctypes.data
            else:
                yield value.address if isinstance(value, Records) else value or 0


Args = TypeVar("Args", bound=KernelArgs)


class Records(Generic[Args]):
    """Records side by side. They keep alive what they point at."""

    def __init__(self, kind: type[Args], args: Iterable[Args]) -> None:
        self._args = tuple(args)
        self._memory: Array = np.array([tuple(one.words()) for one in self._args], record_dtype(kind))

    def __len__(self) -> int:
        return len(self._args)

    @property
    def address(self) -> int:
        """Return where the first lies."""
        return int(self._memory.ctypes.data)


def record(args: KernelArgs) -> Records[KernelArgs]:
    """Return one record."""
    return Records(type(args), [args])


_dtypes: dict[type[KernelArgs], DType] = {}


def _words(kind: type[KernelArgs]) -> Iterator[tuple[str, type]]:
    hints = get_type_hints(kind)
    for field in fields(kind):
        declared = hints[field.name]
        if isinstance(declared, type) and issubclass(declared, KernelArgs):
            yield from _words(declared)
        else:
            yield field.name, np.float64 if declared is float else np.int64


def record_dtype(kind: type[KernelArgs]) -> DType:
    """Return the NumPy dtype of a kind's records: float64 for a float, int64 for everything else."""
    if kind not in _dtypes:
        _dtypes[kind] = np.dtype(list(_words(kind)))
    return _dtypes[kind]


def args_at(kind):
    """Return a function that makes an address (int64) the record of a kind there."""
    return from_address(from_dtype(record_dtype(kind)))
