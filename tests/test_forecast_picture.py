"""The picture of docs/forecasting.md: drawn from the forecast beside it, which the example file still gives."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("matplotlib")
import draw_forecast
from draw_forecast import PICTURES, SHOP
from six_series import AHEAD, EXAMPLE, SHOPS

SALES = pd.read_csv(EXAMPLE, parse_dates=["date"])
KEPT = pd.read_csv(PICTURES / "forecast.csv", parse_dates=["ds"])


def points(drawing: Path) -> np.ndarray:
    """Return all numbers of a drawing, but of what tells who drew it."""
    text = re.sub(r"<metadata>.*?</metadata>", "", drawing.read_text(encoding="utf-8"), flags=re.DOTALL)
    return np.array([float(number) for number in re.findall(r"(?<![\w#-])-?\d+\.?\d*(?!\w)", text)])


def test_it_is_drawn_from_the_forecast_beside_it(tmp_path: Path):
    draw_forecast.picture(KEPT, SALES, tmp_path / "forecast.svg")
    # Another version of the library places labels otherwise, by less than a point
    np.testing.assert_allclose(points(tmp_path / "forecast.svg"), points(PICTURES / "forecast.svg"), atol=1)
    moved = KEPT.assign(y=KEPT["y"] * 1.05)
    draw_forecast.picture(moved, SALES, tmp_path / "moved.svg")
    assert np.abs(points(tmp_path / "moved.svg") - points(PICTURES / "forecast.svg")).max() > 1


def test_it_shows_the_week_that_was_left_out():
    seen = draw_forecast.without_the_last_week(SALES)
    came = SALES.dropna(subset="sales")
    assert len(came) - seen["sales"].notna().sum() == AHEAD * len(SHOPS)
    assert (KEPT["ds"] > seen.dropna(subset="sales")["date"].max()).all()
    assert sorted(KEPT["ds"].unique()) == sorted(came["date"].unique())[-AHEAD:]
    assert set(KEPT.columns) == {"shop", "ds", "y", "y-lo-80", "y-hi-80", "y-lo-95", "y-hi-95"}
    assert (KEPT["shop"] == SHOP).sum() == AHEAD


@pytest.mark.slow
def test_the_example_file_still_gives_the_forecast(tmp_path: Path):
    script = str(Path(draw_forecast.__file__).with_name("draw_forecast.py"))
    subprocess.run([sys.executable, script, str(tmp_path)], check=True, capture_output=True)
    made = pd.read_csv(tmp_path / "forecast.csv", parse_dates=["ds"])
    assert (made[["shop", "ds"]] == KEPT[["shop", "ds"]]).all(axis=None)
    # Another processor rounds otherwise, and training may stop at another evaluation: a model as good, no other one
    half_width = KEPT["y-hi-80"] - KEPT["y"]
    assert ((made["y"] - KEPT["y"]).abs() < half_width / 2).all()
    assert (tmp_path / "forecast.svg").exists()
