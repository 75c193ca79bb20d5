"""Where in a table something is wrong."""

from dataclasses import dataclass
from pathlib import Path

from rnnbench.errors import UsageError


@dataclass(frozen=True)
class Place:
    """A file or frame, and a row of it as an editor counts them, from 1 at the header, and a column."""

    source: Path | str
    row: int | None = None
    column: str | None = None

    def error(self, message: str) -> UsageError:
        row = "" if self.row is None else f", row {self.row}"
        column = "" if self.column is None else f", column {self.column!r}"
        return UsageError(f"{self.source}{row}{column}: {message}")
