"""What a plugin may offer, and the types and bounds that each field of it is held to when it is registered."""

import re
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from rnnbench.backends.base import API_VERSION, ID_PATTERN, BackendInfo
from rnnbench.baselines.spec import Baseline
from rnnbench.cells.spec import Cell
from rnnbench.records.fields import Amount, Count, Positive, Size, Within, fitted, hints
from rnnbench.tasks.spec import Task
from rnnbench.weights.spec import Converter

Offer = Cell | Task | Baseline | BackendInfo | Converter
KINDS: dict[str, type[Offer]] = {
    "cells": Cell,
    "tasks": Task,
    "baselines": Baseline,
    "backends": BackendInfo,
    "converters": Converter,
}

Line = Annotated[str, Within(1, 200)]
# What a field of this name may hold, where that is less than its type.
BOUNDS: dict[str, Any] = {
    **dict.fromkeys(("title", "source", "score_name", "remedy", "name"), Line),
    **dict.fromkeys(("input_size", "batch_size", "hidden_size"), Size),
    **dict.fromkeys(("beta1", "beta2"), Annotated[float, Within(0, 1)]),
    **dict.fromkeys(("learning_rate", "epsilon"), Positive),
    "output_size": Size | None,
    "steps": Count,
    "margin": Amount,
    "clip_norm": Positive | None,
    "recurrent": Literal["uniform", "orthogonal"],
    "dtypes": tuple[Literal["float32", "float64"], ...],
}
# How every text in a field of this name is written, and an example.
PATTERNS: dict[str, tuple[re.Pattern[str], str]] = {
    **dict.fromkeys(("cells", "devices", "states"), (ID_PATTERN, "a-name")),
    "factory": (re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*"), "package.module:function"),
    "suffix": (re.compile(r"(\.[a-z0-9]+)+"), ".onnx"),
}
NEVER_EMPTY = ("devices", "dtypes", "states", "stages")


def complaint(kind: str, offer: object) -> str | None:
    """Return why an offer is not taken, or None."""
    expected = KINDS[kind]
    if not isinstance(offer, expected):
        return f"rnnbench_{kind} must give {expected.__name__} objects; got {type(offer).__name__}"
    if not isinstance(offer.id, str) or not ID_PATTERN.fullmatch(offer.id):
        return f"offers the id {offer.id!r:.80}; an id is lower-case letters, digits, '.', '_' and '-', 64 at most"
    if isinstance(offer, BackendInfo) and offer.api != API_VERSION:
        newer = isinstance(offer.api, int) and offer.api > API_VERSION
        age = "newer rnnbench" if newer else "newer version of the plugin"
        return f"backend {offer.id!r} speaks plugin API {offer.api!r:.80}, this rnnbench {API_VERSION}; install a {age}"
    try:
        _hold(expected, offer, "")
    except ValueError as misfit:
        return f"{kind[:-1]} {offer.id!r}: {misfit}"
    return None


def _hold(kind: Any, value: object, name: str) -> None:
    """Hold a value to its type and its name's bounds. Raises ValueError, saying what does not fit."""
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        if not isinstance(value, kind):  # type: ignore[arg-type]
            raise ValueError(f"{name} must be a {getattr(kind, '__name__', kind)}; got {type(value).__name__}")
        declared = hints(kind)  # type: ignore[arg-type]  # what a kind of task has beside that is its own affair
        for field, hint in declared.items():
            _hold(BOUNDS.get(field, hint), getattr(value, field), field)
    elif Callable in (origin, *map(get_origin, arguments)):
        if not callable(value) and not (value is None and type(None) in arguments):
            raise ValueError(f"{name} must be a function; got {type(value).__name__}")
    elif origin is tuple and is_dataclass(arguments[0]) and isinstance(value, tuple):
        for item in value:
            _hold(arguments[0], item, name)
    else:
        fitted(kind, value, name)
        _hold_texts(value, name)
    if value in ((), []) and name in NEVER_EMPTY:
        raise ValueError(f"{name} must not be empty")


def _hold_texts(value: object, name: str) -> None:
    pattern, example = PATTERNS.get(name, (None, ""))
    for text in value if isinstance(value, list | tuple) else (value,):
        if isinstance(text, str) and not text.isprintable():
            raise ValueError(f"{name} must be printable; got {text!r:.80}")
        if isinstance(text, str) and pattern and not pattern.fullmatch(text):
            raise ValueError(f"{name} must be like {example!r}; got {text!r:.80}")
