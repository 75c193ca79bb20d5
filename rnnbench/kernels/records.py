"""Kernels' arguments: typed dataclasses in Python, and the records of eight-byte words that compiled code reads.

A kernel takes one number, the address of a record. What the record holds is declared once, as a dataclass (args.py):
the NumPy dtype and Numba's record type both follow from it, and a field that is missing, unknown or of a wrong type is
an error where the arguments are made.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import Field, dataclass, fields
from operator import attrgetter
from typing import ClassVar, Generic, NamedTuple, NewType, TypeVar, dataclass_transform, get_type_hints

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

    def words(self) -> tuple[float, ...]:
        """Return the record's values, in order."""
        return tuple([value if type(value) is int else _word(value) for value in _layout(type(self)).values(self)])


def _word(value: object) -> float:
    if isinstance(value, np.ndarray):
        return value.ctypes.data
    return value.address if isinstance(value, Records) else value or 0  # type: ignore[return-value]


Args = TypeVar("Args", bound=KernelArgs)


class Records(Generic[Args]):
    """Records side by side. They keep alive what they point at."""

    def __init__(self, kind: type[Args], args: Iterable[Args]) -> None:
        self._args = tuple(args)
        self._memory: Array = np.array([one.words() for one in self._args], record_dtype(kind))

    def __len__(self) -> int:
        return len(self._args)

    @property
    def address(self) -> int:
        """Return where the first lies."""
        return int(self._memory.ctypes.data)


def record(args: KernelArgs) -> Records[KernelArgs]:
    """Return one record."""
    return Records(type(args), [args])


class RecordLayout(NamedTuple):
    """dtype: of a kind's records. values: reads all of them, as deep as they lie: a plan makes dozens of records, and a
    stream's first step waits for its plan."""

    dtype: DType
    values: Callable[[KernelArgs], tuple[object, ...]]


_layouts: dict[type[KernelArgs], RecordLayout] = {}


def _paths(kind: type[KernelArgs], above: str = "") -> Iterator[tuple[str, type]]:
    hints = get_type_hints(kind)
    for field in fields(kind):
        declared = hints[field.name]
        if isinstance(declared, type) and issubclass(declared, KernelArgs):
            yield from _paths(declared, f"{above}{field.name}.")
        else:
            yield above + field.name, np.float64 if declared is float else np.int64


def _layout(kind: type[KernelArgs]) -> RecordLayout:
    if kind not in _layouts:
        paths = list(_paths(kind))
        dtype = np.dtype([(path.rpartition(".")[2], word) for path, word in paths])
        _layouts[kind] = RecordLayout(dtype, attrgetter(*(path for path, _ in paths)))
    return _layouts[kind]


def record_dtype(kind: type[KernelArgs]) -> DType:
    """Return the NumPy dtype of a kind's records: float64 for a float, int64 for everything else."""
    return _layout(kind).dtype


def args_at(kind):
    """Return a function that makes an address (int64) the record of a kind there."""
    return from_address(from_dtype(record_dtype(kind)))
