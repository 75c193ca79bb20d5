"""Series over commits, drawn to a file: a panel for each section, its steps as levels."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rnnbench.errors import UsageError
from rnnbench.report.plot_file import save
from rnnbench.tracking.sections import HistorySection, name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL_INCHES = (8.0, 2.6)
MOST_PANELS = 40
LOG_FROM = 3.0  # times that the largest value is the smallest: backends lie a factor of ten apart
ROOM = 0.05


def draw(sections: Sequence[HistorySection], path: Path) -> None:
    """Draw each section to a panel of the file. Raises UsageError for more panels than anybody would look at."""
    if len(sections) > MOST_PANELS:
        raise UsageError(f"{len(sections)} panels are too many to draw; choose with --cell, --task or --machine")
    from matplotlib.figure import Figure

    width, height = PANEL_INCHES
    figure = Figure(figsize=(width, height * len(sections)), layout="constrained")
    for panel, section in zip(figure.subplots(len(sections), squeeze=False)[:, 0], sections, strict=True):
        _panel(panel, section)
    save(figure, path)


def _panel(panel: "Axes", section: HistorySection) -> None:
    names = list(dict.fromkeys(name(point) for series in section.series for point in series.points))
    for column, series, own in zip(section.columns, section.series, section.steps, strict=True):
        measured = [(names.index(name(p)), p.value) for p in series.points if p.value is not None]
        (line,) = panel.plot(*zip(*measured, strict=True), marker="o", linestyle=":", label=column)
        for step in own:
            at = names.index(name(series.points[step.at]))
            panel.plot([at - 0.5, at - 0.5], [step.before, step.after], color=line.get_color(), linewidth=3)
    values = [p.value for series in section.series for p in series.points if p.value is not None]
    if min(values) > 0 and max(values) > LOG_FROM * min(values):
        panel.set_yscale("log")
    else:  # never so close that rounding looks like a mountain
        panel.set_ylim(min(values) - ROOM * abs(min(values)), max(values) + ROOM * abs(max(values)))
    panel.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=7)
    panel.set_title(section.title, fontsize=9, wrap=True)
    panel.set_ylabel(section.series[0].figure, fontsize=8)
    panel.legend(fontsize=7)
    panel.grid(alpha=0.3)
