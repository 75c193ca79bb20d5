"""Series cut by time into windows, each series standardised by its own training part.

A row of x holds the target itself, the past columns, the known ones, the static ones and, where missing values were
filled, whether the target was. Known columns are ahead of the others by the last step that is forecast: the end of a
window shows what is known of the steps after it, of as many as the window is long.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rnnbench.errors import UsageError
from rnnbench.model import Array
from rnnbench.tables.series import Series, SeriesSet
from rnnbench.tasks.spec import Data, Split, Windows

FIFTH = 5  # the default share of the test part, and of what early stopping looks at
LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Cut:
    """How series are cut.

    window: T, the rows that a forecast sees. horizon: H, how far ahead is forecast: all the steps 1 to H, or with
    at_horizon the last of them alone. recursive: one step is learned, and each forecast fed back for the next, instead
    of learning all steps at once. relative: a window and its target are less the window's last value, which a series
    with a trend needs: its test part has levels that training has not seen. test: how many rows each series is tested
    on, its last; None for a fifth, and never less than one forecast. step: rows between the forecasts of the test part.
    validation: whether early stopping has the last fifth of the training part to look at.
    """

    window: int
    horizon: int = 1
    at_horizon: bool = False
    test: int | None = None
    step: int = 1
    validation: bool = False
    recursive: bool = False
    relative: bool = False

    def __post_init__(self) -> None:
        sizes = {"window": self.window, "horizon": self.horizon, "test": self.test, "step": self.step}
        for name, size in sizes.items():
            if size is not None and not 1 <= size <= LARGEST:
                raise UsageError(f"--{name} takes a whole number from 1 to {LARGEST}; got {size}")
        if self.recursive and self.at_horizon:
            raise UsageError("--recursive forecasts every step on the way; leave out --at-horizon")
        if self.recursive and self.relative:
            raise UsageError("--recursive and --relative do not go together; leave one out")
        if self.test is not None and self.test < self.span:
            raise UsageError(
                f"--test {self.test} is less than one forecast of {self.span} rows; give --test {self.span}"
            )

    @property
    def leads(self) -> tuple[int, ...]:
        """Return the steps ahead that are forecast, 1 the first after the window."""
        return (self.horizon,) if self.at_horizon else tuple(range(1, self.horizon + 1))

    @property
    def span(self) -> int:
        """Return how many rows one forecast is of."""
        return 1 if self.at_horizon else self.horizon

    @property
    def learned(self) -> "Cut":
        """Return how the part that is trained on is cut."""
        return replace(self, horizon=1, recursive=False) if self.recursive else self

    def parts(self, lengths: Array) -> "Parts":
        """Return where the parts begin of series with so many rows, int64 [S]."""
        test = np.maximum(lengths // FIFTH, self.span) if self.test is None else self.test
        return self._looked_at(np.maximum(lengths - test, 0), lengths)

    def rows_for(self, past: int) -> int:
        """Return the fewest rows of a series whose test part begins after `past` rows."""
        fifth = FIFTH * (past - 1) // (FIFTH - 1) + 1  # the fewest rows of which all but a fifth are so many
        return past + self.test if self.test else max(past + self.span, fifth)

    def fold(self, lengths: Array, number: int, count: int) -> "Parts":
        """Return the parts of one of `count` folds, 1 the first: a rolling origin whose training part grows.

        All folds lie in the training part. Each is tested on the rows after its own training: an equal share of the
        training part, and not more than the test part has.
        """
        border = self.parts(lengths).test
        rows = np.clip(border // (count + 1), self.span, lengths - border)
        end = np.maximum(border - (count - number) * rows, 0)
        return self._looked_at(np.maximum(end - rows, 0), end)

    def _looked_at(self, test: Array, end: Array) -> "Parts":
        """Leave the last part of training to early stopping, in a series where a window remains before it."""
        begin = test - np.maximum(test // FIFTH, self.span)
        enough = self.validation & (begin >= self.window + self.horizon)
        return Parts(np.where(enough, begin, test), test, end)


@dataclass(frozen=True)
class Parts:
    """The rows at which validation and the test part begin, and at which the series ends, int64 [S] each. Validation
    begins with the test part in a series that has none."""

    validation: Array
    test: Array
    end: Array


@dataclass(frozen=True)
class Scaling:
    """How one series' columns of x are standardised, in their order: (value - offset) / scale."""

    offset: tuple[float, ...]
    scale: tuple[float, ...]


def scalings(table: SeriesSet, rows: Sequence[int] | Array) -> tuple[Scaling, ...]:
    """Return each series' scaling, by mean and standard deviation of its first rows alone: as many as `rows` [S] says.

    Static columns have those of all series. The deviation of equal values is taken for 1.
    """
    static = [_standard(np.array(values)) for values in zip(*(series.static for series in table.series), strict=True)]
    flag = [(0.0, 1.0)] * (table.filling != "none")
    found = []
    for series, count in zip(table.series, np.maximum(rows, 1), strict=True):
        seen = series.target[:count][~series.filled[:count]]
        columns = (seen if len(seen) else series.target, *series.past.T, *series.known.T)
        pairs = [*(_standard(values[:count]) for values in columns), *static, *flag]
        found.append(Scaling(*zip(*pairs, strict=True)))
    return tuple(found)


def _standard(values: Array) -> tuple[float, float]:
    """Return mean and deviation by exactly rounded sums, since NumPy's differ in the last bit between versions."""
    mean = math.fsum(values.tolist()) / len(values)
    deviation = math.sqrt(math.fsum(((values - mean) ** 2).tolist()) / len(values))
    constant = values.min() == values.max()  # the deviation of equal values may be a rounding error
    return mean, 1.0 if constant else deviation


@dataclass(frozen=True)
class Cutter:
    """A table's series, standardised and below each other. rows [R, I]; filled bool [R]: the target was missing; first
    int64 [S]: where each begins."""

    table: SeriesSet
    cut: Cut
    scaling: Sequence[Scaling]
    rows: Array
    filled: Array
    first: Array

    @classmethod
    def of(cls, table: SeriesSet, cut: Cut, scaling: Sequence[Scaling]) -> "Cutter":
        """Standardise the series."""
        lengths = lengths_of(table)
        first = np.cumsum(lengths) - lengths
        rows = np.empty((lengths.sum(), len(scaling[0].offset)))
        for series, how, start in zip(table.series, scaling, first, strict=True):
            own = rows[start : start + len(series.target)]
            for column, values in enumerate(_columns(series, cut.learned.horizon, table.filling != "none")):
                own[:, column] = (values - how.offset[column]) / how.scale[column]
        return cls(table, cut, scaling, rows, np.concatenate([series.filled for series in table.series]), first)

    def windows(self, start: Array, stop: Array, step: int = 1) -> Split:
        """Return the windows all of whose targets lie in the rows from `start` to before `stop`, int64 [S] each.

        A window may reach back over `start`: what it shows is the past by then. None reaches into another series. What
        was missing is no target, and nothing is forecast from it: what it was filled with may look ahead.
        """
        leads = np.array(self.cut.leads)
        low = np.maximum(self.cut.window, start - leads[0] + 1)
        count = np.maximum(0, -((low - stop + leads[-1] - 1) // step))  # of low, low + step, ... stop - leads[-1]
        which = np.repeat(np.arange(len(count)), count)
        origin = low[which] + step * (np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count))
        rows = (self.first[which] + origin - 1)[:, None] + leads
        there = ~(self.filled[rows].any(axis=1) | self.filled[self.first[which] + origin - 1])
        return self.split(which[there], origin[there], self.rows[rows[there], 0], stop)

    def split(self, which: Array, origin: Array, target: Array, stop: Array) -> Split:
        """Return the sequences before rows `origin` of series `which`, int64 [N] each, with target [N, O].

        stop int64 [S]: where the series are taken to end, with the last value before it that was there.
        """
        x = np.empty((self.cut.window, len(which), self.rows.shape[1]))
        begin = self.first[which] + origin - self.cut.window
        for t in range(self.cut.window):  # an index of T N entries would be as large as x
            x[t] = self.rows[begin + t]
        level = x[-1, :, 0].copy() if self.cut.relative else None
        if level is not None:
            x[:, :, 0] -= level
            target = target - level[:, None]
        windows = Windows(
            series=tuple(
                one.target[:end] for one, end in zip(self.table.series, seen_rows(self.table, stop), strict=True)
            ),
            which=which,
            origin=origin,
            leads=self.cut.leads,
            offset=np.array([how.offset[0] for how in self.scaling]),
            scale=np.array([how.scale[0] for how in self.scaling]),
            season=self.table.season,
            names=tuple(one.id for one in self.table.series),
            level=level,
        )
        return Split(x, target, windows=windows, ahead=self._ahead(which, origin) if self.cut.recursive else None)

    def _ahead(self, which: Array, origin: Array) -> Array:
        """Return the rows after the window, [H - 1, N, I], without the target."""
        steps = np.arange(self.cut.horizon - 1)[:, None]
        rows: Array = self.rows[self.first[which] + origin + steps]
        rows[..., 0] = 0
        return rows


def _columns(series: Series, ahead: int, filled: bool) -> Iterator[Array | float]:
    """Yield the columns of x, [n] or one value for all rows. A known column is NaN past the end of the table."""
    yield series.target
    yield from series.past.T
    shifted = np.full((len(series.target), series.known.shape[1]), np.nan)
    there = series.known[ahead : ahead + len(shifted)]
    shifted[: len(there)] = there
    yield from shifted.T
    yield from series.static
    if filled:
        yield series.filled


def lengths_of(table: SeriesSet) -> Array:
    """Return how many rows each series has, int64 [S]."""
    return np.array([len(series.target) for series in table.series])


def seen_rows(table: SeriesSet, rows: Array) -> Array:
    """Return, int64 [S], how many of each series' first `rows` [S] there are up to the last that was not missing."""
    there = [np.flatnonzero(~series.filled[:count]) for series, count in zip(table.series, rows, strict=True)]
    return np.array([int(own[-1]) + 1 if len(own) else 0 for own in there])


def data_of(table: SeriesSet, cut: Cut, parts: Parts) -> Data:
    """Return training, validation and test. What lies in one of them changes nothing of those before it, but that
    validation has a say in the scaling, which training and test share."""
    cutter = Cutter.of(table, cut, scalings(table, parts.test))
    train = replace(cutter, cut=cut.learned).windows(np.zeros_like(parts.test), parts.validation)
    validation = cutter.windows(parts.validation, parts.test)
    test = cutter.windows(parts.test, parts.end, cut.step)
    return Data(train, test, validation if validation.count else None)


def latest(table: SeriesSet, cut: Cut, scaling: Sequence[Scaling]) -> Split:
    """Return each series' last window, whose target nobody knows: [S, O] of NaN.

    Raises UsageError, in one line, for a series that is shorter than the window, and for columns known ahead that the
    table does not hold for all the steps ahead.
    """
    lengths = lengths_of(table)
    for series in table.series:
        if len(series.target) < cut.window:
            rows = f"series {series.id!r} has {len(series.target)} rows"
            raise UsageError(f"{table.source}: {rows}, and a forecast needs the last {cut.window}; give more rows")
        if len(series.known) < len(series.target) + cut.horizon and table.known:
            rows = f"the {cut.horizon} steps after the end of series {series.id!r}"
            raise UsageError(f"{table.source}: {table.known[0]!r} is not given for {rows}; add rows without a target")
    unknown = np.full((len(lengths), cut.span), np.nan)
    longer = _lengthened(table, cut.horizon - 1) if cut.recursive else table
    return Cutter.of(longer, cut, scaling).split(np.arange(len(lengths)), lengths, unknown, lengths)


def _lengthened(table: SeriesSet, steps: int) -> SeriesSet:
    """Return the table with so many rows more, of which what is known ahead is known, and nothing is known late."""
    longer = []
    for one in table.series:
        target, filled = np.pad(one.target, (0, steps)), np.pad(one.filled, (0, steps))
        longer.append(replace(one, target=target, filled=filled, past=np.empty((len(target), 0))))
    return replace(table, series=tuple(longer))
