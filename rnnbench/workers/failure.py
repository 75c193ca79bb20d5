"""How a backend's row ends when it is not ok."""

# The one thing to do about a row, by its status; nothing for those that are no failure.
ACTIONS = {
    "load_error": "see `rnnbench plugins list`, or leave it out of --backend",
    "mismatch": "`rnnbench plugins check BACKEND` shows which promise it breaks",
    "diverged": "try a smaller --lr",
    "timeout": "try a smaller case, or leave it out of --backend",
    "oom": "try a smaller --batch or --hidden",
    "crashed": "`rnnbench plugins check BACKEND` tries it part by part",
    "bad_output": "`rnnbench plugins check BACKEND` shows what it must give",
}


class Failure(Exception):
    """`status` is one of the record's; `reason` is for the user: what happened, in one line. action: what to do about
    it, where that is something else than for others of this status."""

    def __init__(self, status: str, reason: str, action: str | None = None) -> None:
        super().__init__(f"{status}: {reason}")
        self.status, self.reason = status, reason
        self.action = ACTIONS.get(status, "") if action is None else action


def blame(error: BaseException, reason: str, action: str) -> Failure:
    """Return how a row ends by an error that is a task's or a cell's fault, unless there was too little memory for it:
    then a smaller case is what helps."""
    return Failure("oom", reason) if isinstance(error, MemoryError) else Failure("crashed", reason, action)


def told(status: str, reason: str) -> Failure:
    """Return the failure that another process tells of. Raises ValueError for what is none."""
    if status not in (*ACTIONS, "unsupported") or not isinstance(reason, str):
        raise ValueError(f"{status!r} is no way to fail")
    return Failure(status, reason)


def fault(error: BaseException) -> tuple[str, str]:
    """Return the status and reason by which an error ends a row."""
    from rnnbench.errors import Unsupported

    if isinstance(error, Failure):
        return error.status, error.reason
    if isinstance(error, Unsupported):
        return "unsupported", printable(str(error)) or "the backend gives no reason"
    return "oom" if isinstance(error, MemoryError) else "crashed", explain(error)


def explain(error: BaseException) -> str:
    """Return an error as one printable line: a plugin's words end up in a terminal."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {printable(lines[0]) if lines else 'no message'}"


def printable(text: str) -> str:
    """Return the text without control characters."""
    return "".join(c if c.isprintable() else " " for c in text)
