"""What a table becomes: series in time order, with covariates of three kinds."""

from dataclasses import dataclass

from rnnbench.model import Array


@dataclass(frozen=True)
class Series:
    """One series of n steps, oldest first, without gaps.

    target float64 [n]. past [n, P]: covariates known as late as the target. known [n + F, K]: covariates known ahead, F
    steps beyond the target's end where the table holds them. static [S]: what does not change, categories as one-hot.
    times datetime64[ns] [n + F], or None in a table without a time column. filled bool [n]: the target was missing.
    """

    id: str
    target: Array
    past: Array
    known: Array
    static: Array
    times: Array | None
    filled: Array


@dataclass(frozen=True)
class SeriesSet:
    """All series of a table.

    target, past, known, static: names of the columns, one-hot columns as `column=value`. frequency: as pandas writes
    it ("D", "MS"), None without times. season: steps of a period as the frequency suggests it or the user says it.
    filling: how missing values were filled, "none" where nothing was; then the inputs have an indicator more. source:
    the file's name. remarks: what was inferred, each in a few words, for one line that the user reads.
    """

    series: tuple[Series, ...]
    target: str
    past: tuple[str, ...]
    known: tuple[str, ...]
    static: tuple[str, ...]
    frequency: str | None
    season: int | None
    filling: str
    source: str
    remarks: tuple[str, ...]
