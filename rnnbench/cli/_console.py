"""What reaches the terminal, and in what state: names may come from strangers' plugins and files."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from rnnbench.errors import RnnbenchWarning
from rnnbench.report.text import printable

if TYPE_CHECKING:
    from rich.console import Console


def error(message: str) -> None:
    """Print one `error:` line on stderr."""
    note(f"error: {message}")


def warn(message: str) -> None:
    """Print one `warning:` line on stderr."""
    note(f"warning: {message}")


def note(message: str) -> None:
    """Print one line on stderr, where it does not mix with results."""
    with suppress(OSError):  # where stderr cannot be written nothing can be told, and the work goes on
        click.echo(printable(" ".join(message.split())), err=True)


@contextmanager
def warnings_told() -> Iterator[None]:
    """Turn the package's own warnings into `warning:` lines meanwhile."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def tell(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, RnnbenchWarning):
                warn(str(message))
            else:
                show(message, category, *where, **more)

        warnings.simplefilter("always", RnnbenchWarning)
        warnings.showwarning = tell
        yield


def console(stderr: bool = False) -> "Console":
    """Return a console that takes text as it is: no markup, no emoji names, no guessed highlights. Honours NO_COLOR."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)
