"""Windows less their last value: the level of a series is nothing to learn, and comes back in every figure."""

import numpy as np
import pandas as pd
import pytest
from series_sets import series_set

import rnnbench
from rnnbench.comparison import arrays
from rnnbench.errors import UsageError
from rnnbench.tables.series import SeriesSet
from rnnbench.tasks.cut import Cut, data_of, lengths_of
from rnnbench.tasks.forecast import ForecastTask
from rnnbench.tasks.scores import persistence
from rnnbench.tasks.spec import Budget, Split

CUT = Cut(window=5, horizon=3, validation=True, relative=True)


def parts_of(table: SeriesSet, cut: Cut = CUT) -> list[Split]:
    data = data_of(table, cut, cut.parts(lengths_of(table)))
    assert data.validation is not None
    return [data.train, data.validation, data.test]


def test_a_window_ends_at_zero_and_its_target_comes_back_in_its_own_unit():
    table = series_set([40, 33], known=1)
    for split in parts_of(table):
        windows = split.windows
        assert (split.x[-1, :, 0] == 0).all()
        assert (persistence(split) == 0).all()  # "as it is now" is no change
        own = windows.unscaled(split.target)
        for number, (which, origin) in enumerate(zip(windows.which, windows.origin, strict=True)):
            np.testing.assert_allclose(own[number], table.series[which].target[origin : origin + 3], rtol=1e-12)
        np.testing.assert_allclose(windows.scaled(own), split.target, rtol=0, atol=1e-12)


def test_other_columns_stay_as_they_are():
    table = series_set([40], past=1, known=1)
    for found, plain in zip(parts_of(table), parts_of(table, Cut(window=5, horizon=3, validation=True)), strict=True):
        assert found.x[:, :, 1:].tobytes() == plain.x[:, :, 1:].tobytes()


def test_a_series_far_from_where_it_was_looks_the_same():
    """A million more changes what is learned by no more than its own rounding: 1e6 times 2^-52 of a deviation of 1."""
    table, lifted = series_set([60]), series_set([60])
    lifted.series[0].target[:] += 1e6
    for found, expected in zip(parts_of(lifted), parts_of(table), strict=True):
        np.testing.assert_allclose(found.x, expected.x, rtol=0, atol=1e-8)
        np.testing.assert_allclose(found.target, expected.target, rtol=0, atol=1e-8)


def test_files_and_rows_keep_the_level(tmp_path):
    *_, split = parts_of(series_set([40]))
    arrays.save_split(tmp_path / "a.npz", split)
    found = arrays.load_split(tmp_path / "a.npz")
    assert found.windows.level.tobytes() == split.windows.level.tobytes()
    assert found.rows(slice(1, 3)).windows.level.tolist() == split.windows.level[1:3].tolist()


@pytest.mark.parametrize("metric", ["persistence", "mae", "rmse", "mase", "smape"])
def test_the_same_forecasts_score_the_same(metric):
    asked = {"id": "t", "title": "t", "source": "t", "budget": Budget(steps=1), "table": series_set([40, 33])}
    scores = []
    for relative in (False, True):
        task = ForecastTask(**asked, cut=Cut(window=5, horizon=3, relative=relative), metric=metric)
        test = task.data(0).test
        own = test.windows.unscaled(test.target) + np.random.default_rng(0).standard_normal(test.target.shape)
        scores.append((task.score(test.windows.scaled(own), test), task.baseline))
    np.testing.assert_allclose(*scores, rtol=1e-9)


def test_a_forecast_is_the_model_s_by_hand_and_goes_on_with_the_trend(tmp_path):
    rows = np.arange(200)
    table = pd.DataFrame(
        {
            "ds": pd.date_range("2020-01-01", periods=200, freq="D"),
            "y": 5.0 * rows + 20 * np.sin(2 * np.pi * rows / 7),
        }
    )
    forecaster = rnnbench.train(table, window=14, horizon=3, relative=True, cell="gru", hidden=8, steps=400)
    (scale,) = forecaster.metadata.scales
    x = ((table["y"].to_numpy()[-14:] - scale.offset[0]) / scale.scale[0])[:, None, None]
    answer, _ = rnnbench.session("numpy", forecaster.model, forecaster.params).forward((x - x[-1]).astype("float32"))
    found = forecaster.forecast(table)
    np.testing.assert_allclose(found["y"], (answer[0] + x[-1, 0]) * scale.scale[0] + scale.offset[0], rtol=1e-5)
    truth = 5.0 * np.arange(200, 203) + 20 * np.sin(2 * np.pi * np.arange(200, 203) / 7)
    assert np.abs(found["y"] - truth).max() < 10  # of steps of about 15; a model that knew no trend would be far below
    forecaster.save(tmp_path / "a.safetensors")
    pd.testing.assert_frame_equal(rnnbench.load_forecaster(tmp_path / "a.safetensors").forecast(table), found)


def test_it_does_not_go_with_feeding_back():
    with pytest.raises(UsageError, match="--recursive and --relative do not go together"):
        Cut(window=5, recursive=True, relative=True)
