"""How a backend's row ends when it is not ok."""


class Failure(Exception):
    """`status` is one of the record's; `reason` is for the user: what happened, in one line."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status, self.reason = status, reason


def explain(error: BaseException) -> str:
    """One printable line: a plugin's words end up in a terminal."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {printable(lines[0]) if lines else 'no message'}"


def printable(text: str) -> str:
    """Without control characters."""
    return "".join(c if c.isprintable() else " " for c in text)
