"""Errors whose message is for the user: one line, cause then remedy."""

from collections.abc import Collection


class UsageError(ValueError):
    """The request cannot be carried out as it was made."""


class UnknownName(UsageError):
    """A cell, task, backend or plugin that nobody registered."""

    def __init__(self, kind: str, name: str, known: Collection[str]) -> None:
        near = did_you_mean(name, known)
        remedy = f"did you mean {near!r}?" if near else f"known: {', '.join(sorted(known)) or 'none'}"
        super().__init__(f"unknown {kind} {name!r}; {remedy}")
        self.name = name


class Unsupported(Exception):
    """A backend was asked for something its runtime cannot do; the message is the reason."""


def did_you_mean(name: str, known: Collection[str], cutoff: float = 0.5) -> str | None:
    """Return the one of `known` that `name` is most like, None where it is like none. cutoff: 1 for the same only."""
    import difflib

    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=cutoff)), None)
