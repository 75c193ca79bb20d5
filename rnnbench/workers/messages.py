"""What parent and worker tell each other: calls of the worker's actions, lines of JSON on their way.

An action is a public method of what a worker holds. Its name and arguments go over the pipe, and its result comes back;
both sides hold what arrives to the method's annotations by `decode`, which refuses what does not fit. This file needs
the standard library alone, because a process that imports another commit's `rnnbench` loads it by its path.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from functools import cache, partial
from inspect import getmembers, ismethod, signature
from math import isfinite
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

MaybeNaN: TypeAlias = Annotated[float, "NaN and infinity are answers too"]  # every other float must be finite
QUOTED = 60  # characters of a wrong value that a complaint shows

Actor = TypeVar("Actor")  # whose method an action is
P = ParamSpec("P")
Reply = TypeVar("Reply")
Action: TypeAlias = Callable[[Mapping[str, object]], object]  # as a worker serves it


def encode(action: Callable[..., object], *given: object, **named: object) -> bytes:
    """Return a call of a worker's action as a line: its name, and its arguments by theirs."""
    call = signature(action).bind(None, *given, **named)  # None: a `self` that is in another process
    message = {"do": action.__name__, "with": dict(list(call.arguments.items())[1:])}
    return json.dumps(message, default=asdict).encode() + b"\n"


def answering(worker: object) -> dict[str, Action]:
    """Return a worker's actions by name: each takes its arguments as they went over the pipe."""
    methods = getmembers(worker, ismethod)
    return {name: partial(decode, method) for name, method in methods if not name.startswith("_")}


def decode(called: Callable[..., Reply], value: object) -> Reply:
    """Call a function, or make a dataclass, with the arguments that a JSON object holds by name. Raises ValueError,
    saying what does not fit."""
    hints = _hints(called)
    if not isinstance(value, dict):
        raise ValueError(f"{value!r:.{QUOTED}} is not an object")
    if odd := sorted(value.keys() ^ hints.keys()):
        raise ValueError(f"{odd[0]} {'is missing' if odd[0] in hints else 'is not one of its fields'}")
    return called(**{name: _fitted(name, hint, value[name]) for name, hint in hints.items()})


def decode_reply(action: Callable[..., Reply], value: object) -> Reply:
    """Return an action's reply. Raises ValueError, saying what does not fit."""
    reply: Reply = _fitted("it", get_type_hints(action, include_extras=True)["return"], value)
    return reply


@cache
def _hints(called: Callable[..., object]) -> dict[str, object]:
    hints = get_type_hints(called, include_extras=True)
    return {name: hints[name] for name in signature(called).parameters}


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
