"""Plots as files: what can be drawn to, asked before any work is done, and the same bytes for the same plot."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from rnnbench.errors import UsageError
from rnnbench.report.export import write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png", ".pdf")
UNDATED = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def check_figure(path: Path) -> None:
    """Raise UsageError for a file that no plot can be drawn to, or without matplotlib."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"cannot draw to {path.name!r}: its name must end in {', '.join(SUFFIXES)}")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError("plots need matplotlib, which is not installed; pip install 'rnnbench[plots]'") from None


def save(figure: "Figure", path: Path, dpi: float | None = None) -> None:
    """Write a figure to a file that `check_figure` has allowed: no date, no random name in it."""
    import matplotlib

    drawn = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "rnnbench"}):
        figure.savefig(drawn, format=path.suffix[1:], dpi=dpi or "figure", metadata=UNDATED.get(path.suffix))
    write_file(path, drawn.getvalue())
