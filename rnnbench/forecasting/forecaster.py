"""A model with all that its forecasts need: asked for the steps after a table's end, saved, and read from a file."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING
from warnings import warn

import numpy as np

from rnnbench.comparison.arrays import cast_split
from rnnbench.errors import RnnbenchWarning, UsageError
from rnnbench.forecasting.metadata import ForecastMetadata
from rnnbench.loading import load_weights, printable, save_weights, session
from rnnbench.model import Array, Model, Params
from rnnbench.tables.options import TableOptions
from rnnbench.tables.panel import read_series
from rnnbench.tables.series import Series, SeriesSet
from rnnbench.tasks.cut import Cut, Scaling, latest, lengths_of, scalings

if TYPE_CHECKING:
    import pandas as pd

ID, TIME, STEP = "unique_id", "ds", "step"  # as the forecasting ecosystem names columns
BUSINESS = "B"
SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Forecaster:
    """A trained model and what it has to be told of a series to forecast it."""

    model: Model
    params: Params
    metadata: ForecastMetadata

    def forecast(
        self, data: "str | os.PathLike[str] | pd.DataFrame", backend: str = "numba", options: TableOptions | None = None
    ) -> "pd.DataFrame":
        """Return the forecasts of the steps after the end of each series of a table, in the series' own unit.

        data: a file, "-" for standard input, or a frame, with the columns and the frequency of training, and the steps
        ahead of columns known ahead. options: how the file is written; its columns are those of training. The frame has
        a row per series and step ahead: the series' id, `ds` (without times `step`), `y`, and the ends of its
        intervals, `y-lo-80`, `y-hi-80` and so on.

        Raises UsageError, in one line, for a table that does not fit; warns of series that training has not seen.
        """
        return self.forecast_series(self.read(data, options), backend)

    def read(self, data: "str | os.PathLike[str] | pd.DataFrame", options: TableOptions | None = None) -> SeriesSet:
        """Read a table by the columns of training. Raises UsageError where it does not fit."""
        own, meta = self.metadata.columns, self.metadata
        source = os.fspath(data) if isinstance(data, str | os.PathLike) else data
        asked = {field.name: getattr(own, field.name) for field in fields(own)}
        if meta.frequency == BUSINESS:  # a week of business days looks like days
            asked["frequency"] = BUSINESS
        table = read_series(replace(options or TableOptions(source), source=source, season=meta.season, **asked))
        if table.frequency != meta.frequency:
            has, wants = (frequency or "without times" for frequency in (table.frequency, meta.frequency))
            raise UsageError(f"{table.source}: its steps are {has}, and the model was trained on {wants}")
        return self._as_trained(table)

    def forecast_series(self, table: SeriesSet, backend: str = "numba") -> "pd.DataFrame":
        """Return `forecast`'s frame of series that have been read already."""
        import pandas as pd

        meta = self.metadata
        split = latest(table, self._cut(), self._scalings(table))
        assert split.windows is not None, "forecasts are of series"
        own = session(backend, self.model, self.params)
        y = cast_split(split, self.model.dtype).answers(lambda each: own.forward(each.x)[0])
        if not np.isfinite(y).all():
            raise UsageError(f"{table.source}: the forecast is not finite; its values are far from those of training")
        middle = split.windows.unscaled(y.astype(np.float64))
        ids = [series.id for series in table.series]
        columns: dict[str, object] = {meta.columns.id or ID: np.repeat(np.array(ids, dtype=object), len(meta.leads))}
        columns |= times_ahead(table, meta.leads)
        columns["y"] = middle.ravel()
        for interval in meta.intervals:
            width = np.array(interval.half_widths) * split.windows.scale[:, None]
            columns[f"y-lo-{interval.level}"] = (middle - width).ravel()
            columns[f"y-hi-{interval.level}"] = (middle + width).ravel()
        return pd.DataFrame(columns)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file: .safetensors or .onnx, or a plugin's. Raises UsageError as `save_weights` does, and for a
        type of file that takes no text."""
        save_weights(path, self.model, self.params, self.metadata.as_text())

    def _cut(self) -> Cut:
        meta = self.metadata
        return Cut(meta.window, meta.horizon, meta.at_horizon, recursive=meta.recursive, relative=meta.relative)

    def _scalings(self, table: SeriesSet) -> tuple[Scaling, ...]:
        """Return how each series is standardised: as in training, or by its own rows where training has not seen it.
        Static columns and indicators have one scale for all series."""
        known = {scale.id: scale.scaling for scale in self.metadata.scales}
        if new := [series.id for series in table.series if series.id not in known]:
            names = ", ".join(map(repr, new[:SHOWN])) + (f" and {len(new) - SHOWN} more" if len(new) > SHOWN else "")
            told = f"{table.source}: {names} was not in training, and is scaled by its own rows here"
            warn(printable(told), RnnbenchWarning, stacklevel=4)
            moving = 1 + len(table.past) + len(table.known)
            shared = next(iter(known.values()))
            for series, own in zip(table.series, scalings(table, lengths_of(table)), strict=True):
                if series.id not in known:
                    offset = own.offset[:moving] + shared.offset[moving:]
                    known[series.id] = Scaling(offset, own.scale[:moving] + shared.scale[moving:])
        return tuple(known[series.id] for series in table.series)

    def _as_trained(self, table: SeriesSet) -> SeriesSet:
        """Return the table with the columns of training, in their order. A category that does not occur is a column of
        zeros, and there is an indicator of filled values where there was one. Raises UsageError for a column that is
        missing, or a category that training has not seen."""
        meta, series = self.metadata, list(table.series)
        for kind in ("past", "known", "static"):
            has, wants = getattr(table, kind), getattr(meta, kind)
            if odd := [name for name in has if name not in wants]:
                raise UsageError(f"{table.source}: {odd[0]!r} was not in training, which had {_some(wants)}")
            if absent := [name for name in wants if name not in has and "=" not in name]:
                raise UsageError(f"{table.source}: it lacks the column {absent[0]!r} of training")
            places = [has.index(name) if name in has else -1 for name in wants]
            moved = [{kind: _columns(getattr(one, kind), places)} for one in series]
            series = [replace(one, **columns) for one, columns in zip(series, moved, strict=True)]  # type: ignore[arg-type]
        filling = (table.filling if table.filling != "none" else "forward") if meta.filled else "none"
        names = {kind: getattr(meta, kind) for kind in ("past", "known", "static")}
        return replace(table, series=tuple(series), filling=filling, **names)


def _columns(values: Array, places: Sequence[int]) -> Array:
    """Return columns [..., P] in another order, zeros where the place is -1."""
    wide = np.concatenate([values, np.zeros((*values.shape[:-1], 1))], axis=-1)
    return wide[..., list(places)]


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:SHOWN])) or "none"


def times_ahead(table: SeriesSet, leads: Sequence[int]) -> dict[str, object]:
    """Return the column that says which step each forecast is of: its time, or without times how far ahead it is."""
    import pandas as pd

    if table.frequency is None:
        return {STEP: np.tile(np.array(leads), len(table.series))}
    ahead = [_times(series, table.frequency, leads[-1])[[lead - 1 for lead in leads]] for series in table.series]
    return {TIME: pd.DatetimeIndex(np.concatenate(ahead))}


def _times(series: Series, frequency: str, count: int) -> Array:
    """Return the times of the steps after the last one whose target is known, as the table has them or goes on."""
    import pandas as pd

    assert series.times is not None, "a table with a frequency has times"
    rows = len(series.target)
    given = series.times[rows : rows + count]
    onwards = pd.date_range(series.times[rows - 1], periods=count + 1, freq=frequency)[1:].to_numpy()
    return np.concatenate([given, onwards[len(given) :]])


def load_forecaster(path: str | os.PathLike[str]) -> Forecaster:
    """Read a forecaster from a file that `Forecaster.save` or `rnnbench train` has written, or that was converted from
    one. Raises UsageError, in one line, for any other."""
    trained = load_weights(path)
    for remark in trained.remarks:
        warn(f"{str(path)!r}: {remark}", RnnbenchWarning, stacklevel=2)
    try:
        return Forecaster(trained.model, trained.params, ForecastMetadata.read(trained.attached, trained.model))
    except UsageError as error:
        raise UsageError(printable(f"{str(Path(path))!r}: {error}")) from None
