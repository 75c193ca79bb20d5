"""Forecasts drawn to a file: a panel for each series, the rows before, the forecast and its intervals."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rnnbench.errors import UsageError
from rnnbench.report.plot_file import save
from rnnbench.tables.series import Series, SeriesSet

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

PANEL_INCHES = (8.0, 2.6)
MOST_PANELS = 40
ROWS_BEFORE = 4  # that are shown for each step ahead, and of a short horizon at least FEWEST
FEWEST = 48


def draw(table: SeriesSet, forecast: "pd.DataFrame", path: Path, came: SeriesSet | None = None) -> None:
    """Draw the forecasts of a table, as `Forecaster.forecast` gives them, to a file.

    came: the same series with the rows that have come since, which are drawn beside. Raises UsageError for more series
    than anybody would look at.
    """
    from matplotlib.figure import Figure

    if len(table.series) > MOST_PANELS:
        raise UsageError(f"{len(table.series)} series are too many to draw, {MOST_PANELS} at most; leave out --plot")
    width, height = PANEL_INCHES
    figure = Figure(figsize=(width, height * len(table.series)), layout="constrained")
    panels = figure.subplots(len(table.series), squeeze=False)[:, 0]
    since = {series.id: series for series in came.series} if came else {}
    for panel, (series, rows) in zip(panels, _by_series(table, forecast), strict=True):
        _panel(panel, series, rows, since.get(series.id))
    save(figure, path)


def _by_series(table: SeriesSet, forecast: "pd.DataFrame") -> "list[tuple[Series, pd.DataFrame]]":
    count = len(forecast) // len(table.series)
    return [(series, forecast.iloc[n * count : (n + 1) * count]) for n, series in enumerate(table.series)]


def _panel(panel: "Axes", series: Series, rows: "pd.DataFrame", came: Series | None) -> None:
    from matplotlib.dates import ConciseDateFormatter

    known = len(series.target)
    start = max(0, known - max(FEWEST, ROWS_BEFORE * len(rows)))
    ahead = rows.iloc[:, 1].to_numpy()
    times = series.times if series.times is not None else np.arange(known)
    ahead = ahead if series.times is not None else ahead + known - 1
    (line,) = panel.plot(times[start:known], series.target[start:], label=series.id)
    panel.plot(ahead, rows["y"], marker=".", color="C1", label="forecast")
    for number, name in enumerate(name for name in rows if str(name).startswith("y-lo-")):
        level = str(name).removeprefix("y-lo-")
        low, high = rows[name].to_numpy(), rows[f"y-hi-{level}"].to_numpy()
        panel.fill_between(ahead, low, high, color="C1", alpha=0.3 - 0.15 * number, linewidth=0, label=f"{level} %")
    if came is not None:
        rest = slice(known, len(came.target))
        when = np.arange(len(came.target))[rest] if came.times is None else came.times[rest]
        shown = when <= ahead[-1]
        panel.plot(when[shown], came.target[rest][shown], ":.", color=line.get_color(), label="what came")
    if series.times is not None:
        dates = ConciseDateFormatter(panel.xaxis.get_major_locator())  # type: ignore[no-untyped-call]
        panel.xaxis.set_major_formatter(dates)
    panel.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))  # beside, where it hides no row
    panel.grid(alpha=0.3)
