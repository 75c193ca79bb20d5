"""What parent and worker tell each other: frozen dataclasses, lines of JSON on their way.

A request is a dataclass whose `reply` is the class of its answer; the class's name goes over the pipe. Both sides build
what arrives by `decode`, which refuses what does not fit. This file needs the standard library alone, because a process
that imports another commit's `rnnbench` loads it by its path.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, asdict, dataclass, is_dataclass
from functools import cache, partial
from inspect import get_annotations
from math import isfinite
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    Protocol,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

Json: TypeAlias = Mapping[str, object]
MaybeNaN: TypeAlias = Annotated[float, "NaN and infinity are answers too"]  # every other float must be finite
QUOTED = 60  # characters of a wrong value that a complaint shows


class Message(Protocol):
    """A dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


Reply = TypeVar("Reply", bound=Message)
ReplyOf = TypeVar("ReplyOf", covariant=True)


class Request(Message, Protocol[ReplyOf]):
    """A dataclass with the class of its answer."""

    @property
    def reply(self) -> type[ReplyOf]: ...


@dataclass(frozen=True)
class Done:
    """The answer of an action that has nothing to tell."""


@dataclass(frozen=True)
class Loaded:
    """The backend is imported; its version."""

    version: str


@dataclass(frozen=True)
class Load:
    """Become the worker of one backend. factory: of the backend; work: import path of what makes actions of it;
    plugins: requests for `registry.configure`."""

    factory: str
    work: str
    threads: int
    loading_cores: list[int]
    cores: list[int]
    plugins: list[str]

    reply = Loaded


def encode(request: Request[Message]) -> dict[str, object]:
    """Return a request as it goes over the pipe."""
    return {"do": type(request).__name__, **asdict(request)}


def answering(actions: Iterable[Callable[..., Message]]) -> dict[str, Callable[[Json], Json]]:
    """Return each action, from JSON to JSON, by the name of its request: the class of its one argument."""
    kinds = ((next(iter(get_annotations(action).values())), action) for action in actions)
    return {kind.__name__: partial(_answer, kind, action) for kind, action in kinds}


def decode(kind: type[Reply], value: object) -> Reply:
    """Return the dataclass that a JSON object holds the fields of. Raises ValueError, saying what does not fit."""
    hints = _hints(kind)
    if not isinstance(value, dict):
        raise ValueError(f"{value!r:.{QUOTED}} is not an object")
    if odd := sorted(value.keys() ^ hints.keys()):
        raise ValueError(f"{odd[0]} {'is missing' if odd[0] in hints else 'is not one of its fields'}")
    return kind(**{name: _fitted(name, hint, value[name]) for name, hint in hints.items()})


def _answer(kind: type[Message], action: Callable[..., Message], given: Json) -> Json:
    return asdict(action(decode(kind, given)))


@cache
def _hints(kind: type[Message]) -> dict[str, object]:
    hints = get_type_hints(kind, include_extras=True)
    return {name: hints[name] for name in kind.__dataclass_fields__}


def _fitted(name: str, hint: Any, value: Any) -> Any:
    """Return a value as its hint says: a list as a tuple, a whole number as a float."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):  # of one type and None
        (hint,) = (each for each in arguments if each is not NoneType)
        return None if value is None else _fitted(name, hint, value)
    if isinstance(hint, type) and is_dataclass(hint):
        return decode(hint, value)
    if origin in (list, tuple) and isinstance(value, list):
        return origin(_fitted(name, arguments[0], item) for item in value)
    if type(value) in (int, float) and (origin is Annotated or (hint is float and isfinite(value))):
        return float(value)
    if type(value) is hint is not float or (origin is Literal and value in arguments):
        return value
    raise ValueError(f"{name} is {value!r:.{QUOTED}}")
