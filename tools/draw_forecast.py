"""Draws docs/pictures/forecast.svg: a shop's week as it was forecast, with its intervals, and what came.

The model sees examples/shops.csv without the last week of sales, as `rnnbench train` would; its forecast is kept beside
the picture in forecast.csv. Run `python tools/draw_forecast.py`, half a minute.
"""

import sys
from pathlib import Path

import pandas as pd
from six_series import AHEAD, EXAMPLE

import rnnbench
from rnnbench.forecasting.plot import draw
from rnnbench.tables.options import TableOptions
from rnnbench.tables.panel import read_series
from rnnbench.tables.series import SeriesSet

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
SHOP = "Gent"  # the largest
COLUMNS = {"target": ("sales",), "time": "date", "id": "shop", "known": ("promotion",)}


def without_the_last_week(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table as it was a week before its last sales, when the promotions of a week more were known."""
    last = table.dropna(subset="sales")["date"].max()
    seen = table[table["date"] <= last].copy()
    seen.loc[seen["date"] > last - pd.Timedelta(days=AHEAD), "sales"] = float("nan")
    return seen


def forecast(table: pd.DataFrame) -> pd.DataFrame:
    """Return the forecast of the week that the table does not have, for every shop."""
    seen = without_the_last_week(table)
    asked = {name: list(value) if isinstance(value, tuple) else value for name, value in COLUMNS.items()}
    return rnnbench.train(seen, **asked, horizon=AHEAD, cell="gru", hidden=16).forecast(seen)


def shop(table: pd.DataFrame) -> SeriesSet:
    """Return the series of the shop that is drawn."""
    return read_series(TableOptions(table[table["shop"] == SHOP].reset_index(drop=True), **COLUMNS))


def picture(found: pd.DataFrame, table: pd.DataFrame, path: Path) -> None:
    """Draw the shop's part of a forecast, over what came."""
    own = found[found["shop"] == SHOP].reset_index(drop=True)
    draw(shop(without_the_last_week(table)), own, path, came=shop(table))


if __name__ == "__main__":
    into = Path(*sys.argv[1:2] or [PICTURES])
    sales = pd.read_csv(EXAMPLE, parse_dates=["date"])
    forecast(sales).to_csv(into / "forecast.csv", index=False, float_format="%.2f")
    picture(pd.read_csv(into / "forecast.csv", parse_dates=["ds"]), sales, into / "forecast.svg")
