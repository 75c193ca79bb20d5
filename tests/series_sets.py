"""Tables of series made by hand, as `read_series` gives them."""

from collections.abc import Sequence

import numpy as np

from rnnbench.tables.series import Series, SeriesSet


def series_set(
    lengths: Sequence[int],
    past: int = 0,
    known: int = 0,
    static: int = 0,
    ahead: int = 0,
    filled: bool = False,
    season: int | None = None,
    seed: int = 0,
) -> SeriesSet:
    """Return series of so many rows, with so many columns of each kind, known ones for `ahead` rows more."""
    rng = np.random.default_rng(seed)
    made = [
        Series(
            id=f"s{number}",
            target=10.0 * number + rng.standard_normal(rows).cumsum(),
            past=rng.standard_normal((rows, past)),
            known=rng.standard_normal((rows + ahead, known)),
            static=rng.standard_normal(static),
            times=None,
            filled=rng.random(rows) < 0.2 if filled else np.zeros(rows, bool),
        )
        for number, rows in enumerate(lengths)
    ]
    names = [tuple(f"{kind}{n}" for n in range(count)) for kind, count in (("p", past), ("k", known), ("s", static))]
    filling = "forward" if filled else "none"
    return SeriesSet(tuple(made), "y", *names, "D", season, filling, "sales.csv", ("daily",))
