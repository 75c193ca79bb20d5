"""What may be asked of a table: which columns mean what, and what is to be inferred otherwise."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

Filling = Literal["none", "forward", "interpolate", "seasonal"]


@dataclass(frozen=True)
class TableOptions:
    """source: a path, "-" for standard input, or a pandas frame. None and () leave a choice open.

    target: one column, or several of a wide table; globs and "all" too. id: the column that tells series apart. past,
    known, static: covariates. separator, decimal, encoding, day_first, sheet: how the file is written. frequency,
    season: steps in time. fill: what becomes of gaps, which are refused without it.
    """

    source: "str | os.PathLike[str] | pd.DataFrame"
    target: tuple[str, ...] = ()
    time: str | None = None
    id: str | None = None
    past: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    fill: Filling | None = None
    frequency: str | None = None
    season: int | None = None
    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    day_first: bool | None = None
    sheet: str | None = None
