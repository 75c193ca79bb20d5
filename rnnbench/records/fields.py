"""Holds values to the types and bounds that a dataclass declares, whoever made them: a file, a worker, a plugin.

A number is finite, and so large or small that squares, quotients and logarithms of such numbers are finite too: no
figure, interval or ranking over what passed here can overflow or become NaN.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from inspect import Parameter, signature
from math import isfinite
from reprlib import repr as shortened  # of any depth and length
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

LARGEST = 1e50  # and the smallest is one over it, if not zero
LARGEST_WHOLE = 2**53  # above it a float leaves whole numbers out
LONGEST = 5000  # characters of a text
SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, which no encoding writes

T = TypeVar("T")


@dataclass(frozen=True)
class Within:
    """Bounds of a number, or of the length of a text; both ends belong to it."""

    low: float = -LARGEST
    high: float = LARGEST


Size = Annotated[int, Within(1)]
Count = Annotated[int, Within(0)]
Amount = Annotated[float, Within(0)]  # seconds, errors, rates
Positive = Annotated[float, Within(1 / LARGEST)]
Name = Annotated[str, Within(0, 300)]
Fact = str | int | float | bool | None


def made(kind: Callable[..., T], value: object) -> T:
    """Make a dataclass of the object that a file holds. Raises ValueError, saying what does not fit."""
    declared = hints(kind)
    return kind(**{name: fitted(declared[name], each, name) for name, each in named(kind, value).items()})


def named(kind: Callable[..., object], value: object) -> Mapping[str, Any]:
    """Return an object whose names are a dataclass's fields, all that have no default among them. Raises ValueError."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{shortened(value)} is not an object")
    if odd := [name for name in value if name not in hints(kind)]:
        raise ValueError(f"{shortened(odd[0])} is unknown")
    if absent := [name for name in _required(kind) if name not in value]:
        raise ValueError(f"{absent[0]!r} is missing")
    return value


def facts(known: Mapping[str, Any], value: object, other: Any) -> dict[str, Any]:
    """Return an object of any names, those that are known as their hints have them. Raises ValueError."""
    found = fitted(dict[Name, Any], value)
    return {name: fitted(known.get(name, other), each, name) for name, each in found.items()}


@cache
def hints(kind: Callable[..., object]) -> dict[str, Any]:
    """Return what a dataclass declares of each field."""
    return get_type_hints(kind, include_extras=True)


@cache
def _required(kind: Callable[..., object]) -> tuple[str, ...]:
    return tuple(name for name, given in signature(kind).parameters.items() if given.default is Parameter.empty)


def fitted(hint: Any, value: Any, name: str = "it") -> Any:
    """Return a value as its hint has it: a list as a tuple, a whole number as a float. Raises ValueError."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        value = fitted(arguments[0], value, name)
        size = len(value) if isinstance(value, str) else value
        if not arguments[1].low <= size <= arguments[1].high:
            raise _misfit(name, value)
        return value
    if origin in (Union, UnionType):
        return _one_of(arguments, value, name)
    if isinstance(hint, type) and hasattr(hint, "__dataclass_fields__"):
        return made(hint, value)
    if origin is dict and isinstance(value, Mapping):
        key, item = arguments
        return {fitted(key, each, "a name"): fitted(item, inner, f"{name}.{each}") for each, inner in value.items()}
    if origin in (list, tuple) and isinstance(value, list | tuple):
        if origin is tuple and arguments[-1] is not Ellipsis:
            if len(arguments) != len(value):
                raise _misfit(name, value)
            return tuple(fitted(item, each, name) for item, each in zip(arguments, value, strict=True))
        return origin(_items(arguments[0], value, name))
    if hint is Any or _fits(hint, origin, arguments, value):
        return float(value) if hint is float else value
    raise _misfit(name, value)


def _fits(hint: Any, origin: Any, arguments: tuple[Any, ...], value: Any) -> bool:
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if isinstance(value, bool) or hint is bool or hint is NoneType:
        return type(value) is hint
    if hint is int:
        return type(value) is int and abs(value) <= LARGEST_WHOLE
    if hint is float:  # a whole number of any length compares without becoming a float
        return isinstance(value, int | float) and (value == 0 or 1 / LARGEST <= abs(value) <= LARGEST)
    return hint is str and isinstance(value, str) and len(value) <= LONGEST and not SURROGATE.search(value)


def _one_of(kinds: Sequence[Any], value: Any, name: str) -> Any:
    if value is None and NoneType in kinds:
        return None
    for kind in kinds:
        try:
            return fitted(kind, value, name)
        except ValueError as misfit:
            last = misfit
    raise last


def _items(item: Any, values: Sequence[Any], name: str) -> Sequence[Any]:
    """Return a list's items as its hint has them; of thousands of samples the extremes stand for the others."""
    if len(values) > 2 and set(map(type, values)) == {float} and all(map(isfinite, values)):
        smallest = min(filter(None, map(abs, values)), default=0.0)
        for extreme in (min(values), max(values), smallest):
            fitted(item, extreme, name)
        return values
    return [fitted(item, value, name) for value in values]


def _misfit(name: str, value: object) -> ValueError:
    return ValueError(f"{name} cannot be {shortened(value)}")
