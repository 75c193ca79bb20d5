"""What a plot can be drawn to, asked before any work is done."""

from pathlib import Path

from rnnbench.errors import UsageError

SUFFIXES = (".svg", ".png", ".pdf")


def check_figure(path: Path) -> None:
    """Raises UsageError for a file that no plot can be drawn to, or without matplotlib."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"cannot draw to {path.name!r}: its name must end in {', '.join(SUFFIXES)}")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError("plots need matplotlib, which is not installed; pip install 'rnnbench[plots]'") from None
