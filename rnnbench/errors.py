"""Errors whose message is for the user: one line, cause then remedy."""

from collections.abc import Collection


class UsageError(ValueError):
    """The request cannot be carried out as it was made."""


class UnknownName(UsageError):
    """A cell, task, backend or plugin that nobody registered."""

    def __init__(self, kind: str, name: str, known: list[str]) -> None:
        remedy = did_you_mean(name, known, cutoff=0.5) or f"known: {', '.join(sorted(known)) or 'none'}"
        if name.lower() == "all":
            remedy = f"for all of them, name them with commas: {','.join(sorted(known))}"
        super().__init__(f"unknown {kind} {name!r}; {remedy}")
        self.name = name


class Unsupported(Exception):
    """A backend was asked for something its runtime cannot do; the message is the reason."""


class RnnbenchWarning(UserWarning):
    """Something odd that does not stop the work: a plugin that was left out, a file that says less than it should."""


def did_you_mean(name: str, known: Collection[str], cutoff: float = 0.6) -> str | None:
    """Return the question after the nearest of the known names, whatever their case, or None where none is near."""
    import difflib

    lower = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
    near = near or [lower[one] for one in difflib.get_close_matches(name.lower(), lower, n=1, cutoff=cutoff)]
    return f"did you mean {near[0]!r}?" if near else None
