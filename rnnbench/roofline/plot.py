"""The roofline drawn: a roof for each level that weights are read from, and the cases under it."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.report.plot_file import save
from rnnbench.report.text import counted, significant
from rnnbench.roofline.limits import Level, MachineLimits
from rnnbench.roofline.points import BACKEND, Point
from rnnbench.roofline.report import GIGA

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES = (9.0, 5.6)
ROOM = 2.0  # times, on each side of what is shown; more where labels stand
LINE_POINTS = 9.5  # between the lines of neighbouring labels
ALONG, LABEL_LENGTH = 14.0, 80.0  # points from where a slope begins to its label, and as much as a label takes
NEARLY = 1.2  # times: intensities closer than this stand in one column
FAINT: dict[str, Any] = {"textcoords": "offset points", "color": "0.35", "fontsize": 7, "in_layout": False}
ON_WHITE = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
MARKERS = ("o", "s", "^", "D", "v")


def draw(points: Sequence[Point], limits: MachineLimits, path: Path) -> None:
    """Write the file that `check_figure` has allowed. The same points give the same file."""
    import matplotlib

    with matplotlib.rc_context({"font.size": 8}):
        save(drawn(points, limits), path, dpi=150)


def drawn(points: Sequence[Point], limits: MachineLimits) -> "Figure":
    """Draw the figure; points: at least one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, layout="constrained")
    panel = figure.subplots()
    _axes(panel, points, limits)
    for level in limits.levels:
        _roof(panel, level, limits.flops_peak)
    _points(panel, points)
    figure.draw_without_rendering()  # places everything: labels are turned and set apart on the finished page
    _roof_labels(panel, limits)
    _labels(panel, points)
    return figure


def _axes(panel: "Axes", points: Sequence[Point], limits: MachineLimits) -> None:
    panel.set_xscale("log")
    panel.set_yscale("log")
    x = [point.intensity for point in points]
    y = [point.flops_per_second / GIGA for point in points]
    panel.set_xlim(min(x) / ROOM**4, max(x) * ROOM**2)
    panel.set_ylim(min(y) / ROOM**2, limits.flops_peak / GIGA * ROOM)
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.set_xlabel("operations for each byte of weights (labels: cell and B, T, I, H)")
    panel.set_ylabel("GFLOP/s")
    panel.set_title(f"forward passes of {BACKEND}, {limits.dtype}, {counted(limits.threads, 'thread')}")
    panel.grid(alpha=0.25, which="both", linewidth=0.5)


def _roof(panel: "Axes", level: Level, peak: float) -> None:
    """Draw a slope up to the peak, and the peak from there on."""
    start, high = _left_end(panel, level), panel.get_xlim()[1]
    corner = peak / level.bandwidth
    panel.plot(
        [start, corner, max(high, corner)],
        [start * level.bandwidth / GIGA, peak / GIGA, peak / GIGA],
        color="0.55",
        linewidth=1,
    )


def _left_end(panel: "Axes", level: Level) -> float:
    """Return the intensity at which a slope enters the panel, from the left or from below."""
    entry: float = max(panel.get_xlim()[0], panel.get_ylim()[0] * GIGA / level.bandwidth)
    return entry


def _roof_labels(panel: "Axes", limits: MachineLimits) -> None:
    """Label each slope where it begins, or further along where another runs close by; the peak at its right end."""
    (left, low), (right, high) = panel.transData.transform([(1, 1), (10, 10)]) * 72 / panel.figure.dpi
    angle = math.atan2(high - low, right - left)
    along, above, off = ALONG, math.inf, 2
    for level in limits.levels:
        apart = math.log10(above / level.bandwidth) * (high - low) * math.cos(angle)
        along = along + LABEL_LENGTH if abs(apart) < LINE_POINTS else ALONG
        above = level.bandwidth
        start = _left_end(panel, level)
        panel.annotate(
            f"{level.name} {significant(level.bandwidth / GIGA)} GB/s",
            (start, start * level.bandwidth / GIGA),
            xytext=(along * math.cos(angle) - off * math.sin(angle), along * math.sin(angle) + off * math.cos(angle)),
            va="bottom",
            rotation=math.degrees(angle),
            rotation_mode="anchor",
            **FAINT,
        )
    peak = limits.flops_peak / GIGA
    panel.annotate(f"{significant(peak)} GFLOP/s", (panel.get_xlim()[1], peak), xytext=(-4, 3), ha="right", **FAINT)


def _points(panel: "Axes", points: Sequence[Point]) -> None:
    """Draw a mark for each case, a bar at its limit, and a line between the two."""
    cells = list(dict.fromkeys(point.case.cell for point in points))
    for number, cell in enumerate(cells):
        own = [point for point in points if point.case.cell == cell]
        x = [point.intensity for point in own]
        reached = [point.flops_per_second / GIGA for point in own]
        limit = [point.limit_flops_per_second / GIGA for point in own]
        panel.vlines(x, reached, limit, color=f"C{number}", alpha=0.4, lw=1)
        panel.scatter(x, limit, marker="_", color=f"C{number}", s=60)
        panel.scatter(x, reached, marker=MARKERS[number % len(MARKERS)], color=f"C{number}", s=18, label=cell, zorder=3)
    panel.scatter([], [], marker="_", color="0.3", s=60, label="limit")
    panel.legend(loc="lower right")


def _labels(panel: "Axes", points: Sequence[Point]) -> None:
    """Label each point beside it or, where points are close, above and below one another with a line to it; on the side
    where the next points are further away."""
    columns = list(_side_by_side(points))
    edges = [0.0, *(column[0].intensity for column in columns), float("inf")]
    for number, column in enumerate(columns):
        before, here, after = edges[number : number + 3]
        side = -1 if before * after < here * here else 1
        marks = panel.transData.transform([(p.intensity, p.flops_per_second / GIGA) for p in column])
        spacing = LINE_POINTS * panel.figure.dpi / 72
        for point, (_, y), place in zip(column, marks, _apart([y for _, y in marks], spacing), strict=True):
            panel.annotate(
                f"{point.case.cell} {point.case.shape}",
                (point.intensity, point.flops_per_second / GIGA),
                xytext=(14 * side, (place - y) * 72 / panel.figure.dpi),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                va="center",
                fontsize=6.5,
                bbox=ON_WHITE,
                in_layout=False,
                arrowprops={"arrowstyle": "-", "color": "0.6", "lw": 0.5, "shrinkA": 1, "shrinkB": 3},
            )


def _side_by_side(points: Sequence[Point]) -> Iterator[list[Point]]:
    """Yield points of nearly one intensity, each such column from the bottom up; columns from left to right."""
    column: list[Point] = []
    for point in sorted(points, key=lambda p: p.intensity):
        if column and point.intensity > NEARLY * column[0].intensity:
            yield sorted(column, key=lambda p: p.flops_per_second)
            column = []
        column.append(point)
    yield sorted(column, key=lambda p: p.flops_per_second)


def _apart(places: Sequence[float], spacing: float) -> list[float]:
    """Return rising places moved until they are `spacing` apart, with their middle where it was."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + spacing) if moved else place)
    back = sum(moved) / len(moved) - sum(places) / len(places)
    return [place - back for place in moved]
