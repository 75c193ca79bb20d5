"""Errors whose message is for the user: one line, cause then remedy."""


class UsageError(ValueError):
    """The request cannot be carried out as it was made."""


class UnknownName(UsageError):
    """A cell, task, backend or plugin that nobody registered."""

    def __init__(self, kind: str, name: str, known: list[str]) -> None:
        import difflib

        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        remedy = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known)) or 'none'}"
        super().__init__(f"unknown {kind} {name!r}; {remedy}")
        self.name = name


class Unsupported(Exception):
    """A backend was asked for something its runtime cannot do; the message is the reason."""


class RnnbenchWarning(UserWarning):
    """Something odd that does not stop the work: a plugin that was left out, a file that says less than it should."""
