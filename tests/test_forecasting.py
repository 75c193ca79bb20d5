"""A model to take home: trained on a table, saved, read again, and asked for what comes next."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import rnnbench
from rnnbench.cli import main
from rnnbench.forecasting.metadata import ForecastMetadata
from rnnbench.tasks.cut import Cut

DAYS, WINDOW, AHEAD = 160, 7, 3
QUICK = {"cell": "rnn-tanh", "hidden": 4, "steps": 20, "window": WINDOW, "horizon": AHEAD}
COLUMNS = ["unique_id", "ds", "y", "y-lo-80", "y-hi-80", "y-lo-95", "y-hi-95"]


def days(count=DAYS, seed=0, start="2020-01-01"):
    """A week's pattern, a little noise, and a unit far from 1."""
    noise = np.random.default_rng(seed).standard_normal(count)
    y = 1000 + 100 * np.sin(2 * np.pi * np.arange(count) / 7) + 10 * noise
    return pd.DataFrame({"ds": pd.date_range(start, periods=count, freq="D"), "y": y})


@pytest.fixture(scope="module")
def forecaster():
    return rnnbench.train(days(), **QUICK)


@pytest.fixture(scope="module")
def saved(forecaster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    for suffix in ("safetensors", "onnx"):
        forecaster.save(folder / f"model.{suffix}")
    days().to_csv(folder / "days.csv", index=False)
    return folder


# ---- the way home ----------------------------------------------------------------------------------------------------


def test_the_forecast_is_of_the_steps_after_the_end_in_the_series_unit(forecaster):
    found = forecaster.forecast(days())
    assert list(found.columns) == COLUMNS
    assert list(found["ds"]) == list(pd.date_range("2020-06-09", periods=AHEAD, freq="D"))  # day 161 of 2020
    assert found["y"].between(800, 1200).all()
    for level in (80, 95):
        middle = (found[f"y-lo-{level}"] + found[f"y-hi-{level}"]) / 2
        np.testing.assert_allclose(middle, found["y"], rtol=1e-12)
    assert (found["y-hi-95"] >= found["y-hi-80"]).all()
    assert (found["y-hi-80"] > found["y"]).all()


def test_the_forecast_is_the_model_s_by_hand(forecaster):
    """The last rows, standardised by the mean and deviation of all but the last fifth, through the reference."""
    y = days()["y"].to_numpy()
    mean, deviation = y[:-32].mean(), y[:-32].std()
    x = ((y[-WINDOW:] - mean) / deviation)[:, None, None].astype("float32")
    answer, _ = rnnbench.session("numpy", forecaster.model, forecaster.params).forward(x)
    np.testing.assert_allclose(forecaster.forecast(days())["y"], answer[0] * deviation + mean, rtol=1e-5)


def test_a_fresh_process_forecasts_the_same_from_the_file(forecaster, saved):
    command = [sys.executable, "-m", "rnnbench", "forecast", "model.safetensors", "--csv", "days.csv"]
    subprocess.run([*command, "--out", "forecast.csv"], cwd=saved, check=True, capture_output=True)
    found = pd.read_csv(saved / "forecast.csv", parse_dates=["ds"])
    expected = forecaster.forecast(days())
    assert list(found.columns) == COLUMNS
    assert list(found["ds"]) == list(expected["ds"])
    np.testing.assert_allclose(found.iloc[:, 2:], expected.iloc[:, 2:], rtol=1e-12)  # what a text of a float keeps


def test_the_onnx_file_forecasts_the_same(forecaster, saved):
    found = rnnbench.load_forecaster(saved / "model.onnx").forecast(days())
    pd.testing.assert_frame_equal(found, forecaster.forecast(days()))


def test_onnx_runtime_forecasts_the_same_from_the_onnx_file(forecaster, saved):
    """As another program would: the file, its metadata, and nothing of ours; to 1e-5 of the series' deviation."""
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(saved / "model.onnx")
    told = json.loads(session.get_modelmeta().custom_metadata_map["rnnbench"])
    (scale,) = told["scales"]
    x = (days()["y"].to_numpy()[-told["window"] :] - scale["offset"][0]) / scale["scale"][0]
    y, *_ = session.run(None, {"x": x[:, None, None].astype("float32")})
    expected = (forecaster.forecast(days())["y"] - scale["offset"][0]) / scale["scale"][0]
    np.testing.assert_allclose(y[0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("suffix", ["safetensors", "onnx"])
def test_a_saved_forecaster_comes_back_bit_for_bit(forecaster, suffix, saved):
    found = rnnbench.load_forecaster(saved / f"model.{suffix}")
    assert found.model == forecaster.model
    assert found.metadata == forecaster.metadata
    for name, value in forecaster.params.items():
        assert found.params[name].tobytes() == value.tobytes()


def test_a_cell_without_an_operator_goes_home_as_onnx_too(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    forecaster = rnnbench.train(days(), **QUICK | {"cell": "ugrnn"}, folds=1)
    forecaster.save(tmp_path / "a.onnx")
    x = np.random.default_rng(0).standard_normal((WINDOW, 5, 1)).astype("float32")
    y, *_ = runtime.InferenceSession(tmp_path / "a.onnx").run(None, {"x": x})
    expected, _ = rnnbench.session("numba", forecaster.model, forecaster.params).forward(x)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)


def test_the_commands_train_and_forecast(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    days().to_csv("days.csv", index=False)
    options = [f"--{name}={value}" for name, value in QUICK.items()]
    assert main(["train", "--csv", "days.csv", *options, "--save", "a.safetensors", "--save", "b.onnx"]) == 0
    told = capsys.readouterr().out
    for word in ("rnn-tanh of 4 units", "test part", "80 % intervals", "95 % intervals", "lies within"):
        assert word in told
    assert main(["forecast", "b.onnx", "--csv", "days.csv", "--plot", "a.svg"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split(",") == COLUMNS
    assert len(rows) == AHEAD
    assert "<svg" in (tmp_path / "a.svg").read_text()


@pytest.mark.slow
def test_compare_saves_its_winner_as_train_would_have(tmp_path, monkeypatch):
    """Bit for bit the weights of the comparison's first seed, which the harness has chosen by the validation part."""
    monkeypatch.chdir(tmp_path)
    options = {"hidden": 4, "steps": 20, "window": WINDOW, "horizon": AHEAD}
    cells = ["rnn-tanh", "rnn-relu"]
    run = rnnbench.compare(
        days(), cell=cells, backend="numba", quick=True, control=False, save_best="best", results="runs", **options
    )
    (path,) = (tmp_path / "best").iterdir()
    found = rnnbench.load_forecaster(path)
    scores = {r.cell: r.score for r in run.records() if not r.is_baseline}
    trained = {cell: rnnbench.train(days(), cell=cell, **options) for cell in cells}
    alike = [
        cell
        for cell in cells
        if trained[cell].params.keys() == found.params.keys()
        and all(trained[cell].params[n].tobytes() == v.tobytes() for n, v in found.params.items())
    ]
    assert alike == [found.model.cell]
    for cell in cells:  # what goes home is what was scored
        assert trained[cell].metadata.trial.score == pytest.approx(scores[cell], rel=1e-6)
    samples = {group.records[0].cell: group.samples["numba"] for group in run.groups() if "numba" in group.samples}
    best = min(cells, key=lambda cell: dict(samples[cell]["scores"])[samples[cell]["kept_steps"]])
    assert found.model.cell == best


def test_only_forecasts_have_a_winner_to_save(tmp_path):
    with pytest.raises(rnnbench.UsageError, match="--save-best saves forecasters, and no task forecasts a series"):
        rnnbench.compare(task="adding", backend="numpy", save_best=tmp_path / "best", results=tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(rnnbench.UsageError, match="cannot make the folder"):
        rnnbench.compare(days(), window=WINDOW, save_best=tmp_path / "file", results=tmp_path)


# ---- what is said before anybody takes it home -----------------------------------------------------------------------


def test_a_model_that_loses_is_called_so():
    """20 steps of four units on a pattern without noise, which last week forecasts exactly."""
    from rnnbench.forecasting.training import summary

    table = days()
    table["y"] = 1000 + 100 * np.sin(2 * np.pi * np.arange(DAYS) / 7)
    lines = summary(rnnbench.train(table, **QUICK, folds=1))
    assert any(line.startswith("it loses to seasonal-last-value, which needs no network") for line in lines)


def test_the_trial_is_the_task_s_own_score(forecaster):
    """By hand: mean absolute error over that of the last value, both of all three steps of the last fifth."""
    y = days()["y"].to_numpy()
    mean, deviation = y[:-32].mean(), y[:-32].std()
    origins = np.arange(DAYS - 32, DAYS - AHEAD + 1)
    x = np.stack([(y[origin - WINDOW : origin] - mean) / deviation for origin in origins], axis=1)[..., None]
    answer, _ = rnnbench.session("numpy", forecaster.model, forecaster.params).forward(x.astype("float32"))
    came = np.stack([y[origin : origin + AHEAD] for origin in origins])
    own = np.abs(answer * deviation + mean - came).mean()
    last = np.abs(y[origins - 1, None] - came).mean()
    trial = forecaster.metadata.trial
    assert trial.score == pytest.approx(own / last, rel=1e-5)
    assert trial.mae == pytest.approx(own, rel=1e-5)
    assert trial.forecasts == len(origins)
    assert {rival.id for rival in trial.rivals} >= {"ridge", "last-value"}
    assert next(r.score for r in trial.rivals if r.id == "last-value") == pytest.approx(1)


def test_too_few_errors_for_a_level_are_said_and_nothing_is_invented():
    from rnnbench.forecasting.training import summary

    forecaster = rnnbench.train(days(60), **QUICK | {"horizon": 1}, folds=1)
    assert 4 <= forecaster.metadata.trial.errors < 19
    assert [band.level for band in forecaster.metadata.intervals] == [80]
    assert "y-lo-95" not in forecaster.forecast(days(60))
    assert any(line.startswith("no 95 % intervals: they need 19 errors") for line in summary(forecaster))


def test_the_test_part_decides_nothing_that_is_saved():
    """A constant added to the last fifth changes no bit of weights, scaling and intervals."""
    table, changed = days(), days()
    changed.loc[DAYS - 32 :, "y"] += 5000.0
    one, other = rnnbench.train(table, **QUICK), rnnbench.train(changed, **QUICK)
    assert one.metadata.trial.score != other.metadata.trial.score
    assert {name: value.tobytes() for name, value in one.params.items()} == {
        name: value.tobytes() for name, value in other.params.items()
    }
    assert replace(one.metadata, trial=other.metadata.trial) == replace(
        other.metadata, trial=replace(other.metadata.trial)
    )


def test_refitting_looks_at_all_rows_and_keeps_the_steps():
    plain, again = rnnbench.train(days(), **QUICK), rnnbench.train(days(), **QUICK, refit=True)
    assert again.metadata.training == replace(plain.metadata.training, refit=True)
    assert again.metadata.trial.score == plain.metadata.trial.score
    y = days()["y"].to_numpy()
    assert again.metadata.scales[0].offset[0] == pytest.approx(y.mean(), rel=1e-12)
    assert any(again.params[name].tobytes() != value.tobytes() for name, value in plain.params.items())


# ---- many series, columns, steps -------------------------------------------------------------------------------------


def shops(count=60, names=("north", "south")):
    parts = [days(count, seed).assign(shop=name, y=lambda t, n=seed: t["y"] * 10**n) for seed, name in enumerate(names)]
    return pd.concat(parts, ignore_index=True)


def test_several_series_are_forecast_each_in_its_own_unit():
    forecaster = rnnbench.train(shops(), id="shop", **QUICK)
    found = forecaster.forecast(shops())
    assert list(found["shop"]) == ["north"] * AHEAD + ["south"] * AHEAD
    assert found["y"][:AHEAD].between(700, 1300).all()
    assert found["y"][AHEAD:].between(7000, 13000).all()
    width = (found["y-hi-80"] - found["y"]).to_numpy().reshape(2, AHEAD)
    scales = [scale.scale[0] for scale in forecaster.metadata.scales]
    np.testing.assert_allclose(width[0] / scales[0], width[1] / scales[1], rtol=1e-9)


def test_a_series_that_training_has_not_seen_is_scaled_by_its_own_rows():
    forecaster = rnnbench.train(shops(), id="shop", **QUICK)
    with pytest.warns(rnnbench.RnnbenchWarning, match="'east' was not in training, and is scaled by its own rows"):
        found = forecaster.forecast(shops(names=("north", "east")))
    alone = forecaster.forecast(shops())
    north = found[found["shop"] == "north"]["y"]
    np.testing.assert_array_equal(north, alone[alone["shop"] == "north"]["y"])
    assert found[found["shop"] == "east"]["y"].between(7000, 13000).all()


def test_known_columns_are_needed_for_the_steps_ahead():
    table = days().assign(promotion=lambda t: (np.arange(len(t)) % 5 == 0).astype(float))
    forecaster = rnnbench.train(table, known="promotion", **QUICK)
    with pytest.raises(rnnbench.UsageError, match="'promotion' is not given for the 3 steps after the end"):
        forecaster.forecast(table)
    ahead = pd.DataFrame({"ds": pd.date_range("2020-06-09", periods=AHEAD, freq="D"), "promotion": 0.0})
    calm = forecaster.forecast(pd.concat([table, ahead], ignore_index=True))
    busy = forecaster.forecast(pd.concat([table, ahead.assign(promotion=1.0)], ignore_index=True))
    assert list(calm["ds"]) == list(ahead["ds"])
    assert (calm["y"] != busy["y"]).all()


def test_the_point_ahead_alone_is_one_row():
    found = rnnbench.train(days(), at_horizon=True, **QUICK).forecast(days())
    assert list(found["ds"]) == [pd.Timestamp("2020-06-11")]


def test_without_times_steps_are_counted():
    forecaster = rnnbench.train(days()[["y"]], target="y", **QUICK)
    found = forecaster.forecast(days()[["y"]])
    assert list(found["step"]) == [1, 2, 3]


def test_five_rows_of_business_days_are_no_days(tmp_path):
    """Nothing in the file of a week tells that Saturday does not come next."""
    y = days(100)["y"]
    table = pd.DataFrame({"ds": pd.bdate_range("2024-01-01", periods=100), "y": y})
    forecaster = rnnbench.train(table, **QUICK | {"window": 5}, folds=1)
    assert table["ds"].iloc[-1] == pd.Timestamp("2024-05-17")  # a Friday
    assert list(forecaster.forecast(table[-5:])["ds"]) == list(pd.bdate_range("2024-05-20", periods=AHEAD))


def test_a_wide_table_with_gaps_goes_home_with_how_they_are_filled():
    one, other = days(60), days(60, 1)["y"]
    table = pd.DataFrame({"ds": one["ds"], "a": one["y"], "b": other * 10})
    gap = table.copy()
    gap.loc[20, "b"] = np.nan
    forecaster = rnnbench.train(gap, target=["a", "b"], fill="interpolate", **QUICK)
    assert forecaster.model.input_size == 2  # the series, and whether a value was filled
    whole = forecaster.forecast(table)
    assert list(whole["unique_id"]) == ["a"] * AHEAD + ["b"] * AHEAD
    late = table.copy()
    late.loc[58, "b"] = np.nan
    filled = forecaster.forecast(late)
    np.testing.assert_array_equal(filled["y"][:AHEAD], whole["y"][:AHEAD])
    assert (filled["y"][AHEAD:] != whole["y"][AHEAD:]).all()


# ---- refusals --------------------------------------------------------------------------------------------------------


def weeks():
    return days().assign(ds=pd.date_range("2020-01-05", periods=DAYS, freq="W-SUN"))


REFUSED = {
    "another frequency": (weeks(), "its steps are W.*, and the model was trained on D"),
    "too few rows": (days(WINDOW - 1), "has 6 rows, and a forecast needs the last 7"),
    "without its column": (days().rename(columns={"y": "sales"}), "'?y'?"),
    "without times": (days()[["y"]], "without times|'?ds'?"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_does_not_fit_is_refused_in_one_line(name, forecaster):
    table, expected = REFUSED[name]
    with pytest.raises(rnnbench.UsageError, match=expected) as caught:
        forecaster.forecast(table)
    assert str(caught.value).isprintable()


def test_a_category_that_training_has_not_seen_is_refused():
    table = shops().assign(kind=lambda t: t["shop"].map({"north": "big", "south": "small"}))
    forecaster = rnnbench.train(table, id="shop", static="kind", **QUICK)
    assert len(forecaster.forecast(table[table["shop"] == "north"])) == AHEAD
    with pytest.raises(rnnbench.UsageError, match="'kind=huge' was not in training"):
        forecaster.forecast(table.assign(kind="huge"))


@pytest.mark.parametrize("suffix", ["safetensors", "onnx"])
def test_weights_without_more_are_no_forecaster(suffix, tmp_path):
    model = rnnbench.Model("gru", 1, 4, 1)
    rnnbench.save_weights(tmp_path / f"a.{suffix}", model, model.init(0))
    with pytest.raises(rnnbench.UsageError, match="nothing on how to forecast with it; write it with `rnnbench train`"):
        rnnbench.load_forecaster(tmp_path / f"a.{suffix}")


def test_a_type_of_file_that_takes_no_text_is_refused_and_converted_to_with_a_warning(
    forecaster, saved, tmp_path, capsys, default_registry
):
    plugin = tmp_path / "bare_format.py"
    plugin.write_text(
        "import rnnbench\n"
        "@rnnbench.hookimpl\n"
        "def rnnbench_converters():\n"
        "    return [rnnbench.Converter('bare', '.bare', 'bare', print, lambda path, trained: path.write_text('w'))]\n"
    )
    assert main(["convert", str(saved / "model.onnx"), str(tmp_path / "a.bare"), "-p", str(plugin)]) == 0
    assert "how to forecast with them is left out" in capsys.readouterr().err
    with pytest.raises(rnnbench.UsageError, match=r"a \.bare file holds weights alone; use \.safetensors or \.onnx"):
        forecaster.save(tmp_path / "b.bare")


def nested(value, *path):
    """Return a change that puts a value at a place of the metadata."""

    def change(told):
        *outer, last = path
        for step in outer:
            told = told[step]
        told[last] = value

    return change


HOSTILE = {
    "another format": (nested(2, "format"), "its format is 2, not 1"),
    "a window of nothing": (nested(0, "window"), "window cannot be 0"),
    "a huge horizon": (nested(2**50, "horizon"), "the model has 3 outputs, not 1125899906842624"),
    "more columns": (nested(["a", "b"], "past"), "the model has 1 inputs, not 3"),
    "a scale of nothing": (nested([0.0], "scales", 0, "scale"), "cannot be"),
    "a huge scale": (nested([1e300], "scales", 0, "scale"), "cannot be"),
    "NaN": (nested([float("nan")], "scales", 0, "offset"), "cannot be nan"),
    "infinity": (nested([float("inf")] * 3, "intervals", 0, "half_widths"), "cannot be inf"),
    "scales of other columns": (nested([1.0, 1.0], "scales", 0, "scale"), "is not scaled in 1 columns"),
    "no series": (nested([], "scales"), "its series have no names"),
    "a short interval": (nested([1.0], "intervals", 0, "half_widths"), "an interval is not of 3 steps"),
    "a level of nothing": (nested(0, "intervals", 0, "level"), "level cannot be 0"),
    "a number for a text": (nested(7, "target"), "target cannot be 7"),
    "an unknown field": (nested(7, "more"), "'more' is unknown"),
    "a filling nobody has": (nested("sideways", "columns", "fill"), "fill cannot be 'sideways'"),
    "a text for all": (lambda told: told.clear(), "its format is None, not 1"),
}


@pytest.mark.parametrize("suffix", ["safetensors", "onnx"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_metadata_is_refused_in_one_line(name, suffix, forecaster, tmp_path):
    change, expected = HOSTILE[name]
    told = json.loads(forecaster.metadata.as_text())
    change(told)
    path = tmp_path / f"a.{suffix}"
    rnnbench.save_weights(path, forecaster.model, forecaster.params, json.dumps(told))
    with pytest.raises(rnnbench.UsageError, match=expected) as caught:
        rnnbench.load_forecaster(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["{", "[]", "null", "[" * 100_000, "\x1b[31m", '{"format": 1}'])
def test_what_is_no_metadata_is_refused_in_one_line(text, forecaster):
    with pytest.raises(rnnbench.UsageError, match="what it says on how to forecast cannot be used") as caught:
        ForecastMetadata.read(text, forecaster.model)
    assert "\n" not in str(caught.value)


def test_an_unknown_option_of_a_table_is_told(forecaster):
    with pytest.raises(rnnbench.UsageError, match="train takes no 'horizont'; did you mean 'horizon'"):
        rnnbench.train(days(), horizont=3)


def test_folds_that_there_are_no_rows_for_are_refused():
    with pytest.raises(rnnbench.UsageError, match="fold"):
        rnnbench.train(days(40), **QUICK, folds=30)


def test_a_training_that_diverges_ends_in_one_line():
    with pytest.raises(rnnbench.UsageError, match=r"training diverged: .* try a lower --lr"):
        rnnbench.train(days(), **QUICK | {"cell": "rnn-relu", "steps": 200}, lr=1e30)


# ---- intervals -------------------------------------------------------------------------------------------------------


def test_the_cut_of_a_forecaster_is_that_of_its_task(forecaster):
    assert forecaster.metadata.leads == Cut(WINDOW, AHEAD).leads


@pytest.mark.slow
def test_intervals_cover_held_out_values_of_200_series_as_often_as_they_say():
    """Independent draws: every window and target of a series is as likely in any order, so its errors and the held-out
    one are exchangeable but for what training has fitted, which 20 steps of a small cell hardly do.

    Binomial limits of three standard errors around 0.8 and 0.95; the rank of n errors adds at most 1 / (n + 1).
    """
    covered = {80: 0, 95: 0}
    errors = 0
    for seed in range(200):
        y = np.random.default_rng([seed, 7]).standard_normal(161)
        table = pd.DataFrame({"y": y[:-1]})
        forecaster = rnnbench.train(table, target="y", cell="rnn-tanh", hidden=2, steps=20, window=4, seed=seed)
        found, errors = forecaster.forecast(table), forecaster.metadata.trial.errors
        for level in covered:
            covered[level] += found[f"y-lo-{level}"][0] <= y[-1] <= found[f"y-hi-{level}"][0]
    for level, count in covered.items():
        low, high = level / 100, min(1, level / 100 + 1 / (errors + 1))
        slack = 3 * np.sqrt(low * (1 - low) / 200)
        assert low - slack <= count / 200 <= high + slack, (level, count)
