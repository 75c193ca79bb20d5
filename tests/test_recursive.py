"""Recursive forecasts: one step is learned, and each answer is fed back for the next."""

import json

import numpy as np
import pandas as pd
import pytest
from series_sets import series_set

import rnnbench
from rnnbench.comparison import arrays
from rnnbench.errors import UsageError
from rnnbench.tasks.cut import Cut, data_of, latest, lengths_of, scalings
from rnnbench.tasks.forecast import ForecastTask
from rnnbench.tasks.spec import Budget

STEPS = 4
CUT = Cut(window=5, horizon=STEPS, recursive=True, validation=True, test=8)


def days(count=160, ahead=0):
    """A week's pattern with a promotion that is known ahead, in a unit far from 1."""
    noise = np.random.default_rng(0).standard_normal(count + ahead)
    promotion = (np.arange(count + ahead) % 11 == 0).astype(float)
    y = 1000 + 100 * np.sin(2 * np.pi * np.arange(count + ahead) / 7) + 50 * promotion + noise
    y[count:] = np.nan
    ds = pd.date_range("2020-01-01", periods=count + ahead, freq="D")
    return pd.DataFrame({"ds": ds, "y": y, "promotion": promotion})


def sums(split):
    """Stand for a model: a weighted sum of all that a window shows, [N, 1]."""
    weights = 0.1 * np.arange(1, split.x.shape[0] * split.x.shape[2] + 1).reshape(split.x.shape[0], 1, -1)
    return (split.x * weights).sum(axis=(0, 2))[:, None]


def by_hand(rows, origin, weights_of):
    """Feed answers back, one sequence and one step at a time. rows [n, I]: standardised, of one series."""
    window, found = rows[origin - CUT.window : origin].copy(), []
    for step in range(STEPS):
        answer = weights_of(window)
        found.append(answer)
        if step < STEPS - 1:
            following = rows[origin + step].copy()
            following[0] = answer
            window = np.concatenate([window[1:], following[None]])
    return found


def test_each_answer_stands_where_the_target_would():
    table = series_set([40, 33], known=1)
    parts = CUT.parts(lengths_of(table))
    data, scaling = data_of(table, CUT, parts), scalings(table, parts.test)
    assert data.train.ahead is None
    assert data.train.target.shape == (data.train.count, 1)
    for split in (data.validation, data.test):
        assert split.target.shape == (split.count, STEPS)
        assert split.ahead.shape == (STEPS - 1, split.count, split.x.shape[2])
        assert (split.ahead[:, :, 0] == 0).all()  # nothing of the target is told
        answers = split.answers(sums)
        for number in range(split.count):
            series, how = table.series[split.windows.which[number]], scaling[split.windows.which[number]]
            known = np.append(series.known[1 : len(series.target) + 1, 0], np.nan)[: len(series.target)]  # a step ahead
            columns = (series.target, known, *series.static)
            rows = np.stack([np.broadcast_to(column, len(series.target)) for column in columns], axis=1)
            rows = (rows - np.array(how.offset)) / np.array(how.scale)
            weights = 0.1 * np.arange(1, CUT.window * rows.shape[1] + 1).reshape(CUT.window, -1)
            expected = by_hand(rows, split.windows.origin[number], lambda x, w=weights: (x * w).sum())
            np.testing.assert_allclose(answers[number], expected, rtol=1e-9)


def test_the_target_after_the_window_changes_no_answer():
    table = series_set([40], known=1)
    split = data_of(table, CUT, CUT.parts(lengths_of(table))).test
    first = split.answers(sums)[0]
    origin = split.windows.origin[0]
    table.series[0].target[origin:] += 1000.0
    again = data_of(table, CUT, CUT.parts(lengths_of(table))).test
    assert again.answers(sums)[0].tobytes() == first.tobytes()
    assert again.target[0].tobytes() != split.target[0].tobytes()


def test_files_keep_what_is_ahead(tmp_path):
    table = series_set([40], known=1)
    split = data_of(table, CUT, CUT.parts(lengths_of(table))).test
    arrays.save_split(tmp_path / "a.npz", split)
    found = arrays.load_split(tmp_path / "a.npz")
    assert found.ahead.tobytes() == split.ahead.tobytes()
    assert found.rows(slice(1, 3)).ahead.shape == (STEPS - 1, 2, split.x.shape[2])


def test_the_newest_window_is_followed_by_what_is_known():
    table = series_set([30, 25], known=1, ahead=STEPS)
    split = latest(table, CUT, scalings(table, lengths_of(table)))
    assert split.ahead.shape == (STEPS - 1, 2, split.x.shape[2])
    assert np.isfinite(split.x).all()
    assert np.isfinite(split.ahead).all()


@pytest.mark.slow
def test_a_comparison_scores_every_step_of_cells_and_baselines(tmp_path):
    chosen = {"cell": "gru", "backend": ["numba", "numpy"], "hidden": 4, "steps": 40, "seeds": 1, "results": tmp_path}
    run = rnnbench.compare(days(), known="promotion", window=14, horizon=STEPS, recursive=True, **chosen)
    assert {record.status for record in run.records()} == {"ok"}
    rows = {record.cell if record.is_baseline else record.backend: record for record in run.records()}
    assert {"ridge", "last-value", "seasonal-last-value", "mlp"} <= set(rows)
    assert rows["numba"].parameters == rnnbench.Model("gru", 2, 4, 1).count_parameters()  # one output, of one step
    for group in run.groups():
        for samples in group.samples.values():
            assert len(samples.get("lead_scores", [0] * STEPS)) == STEPS
    assert rows["ridge"].score < rows["last-value"].score


@pytest.fixture(scope="module")
def forecaster():
    return rnnbench.train(
        days(), known="promotion", window=14, horizon=STEPS, recursive=True, cell="gru", hidden=4, steps=40
    )


def test_a_forecast_is_the_model_s_by_hand(forecaster, tmp_path):
    table = days(ahead=STEPS)
    (scale,) = forecaster.metadata.scales
    rows = (table[["y", "promotion"]].to_numpy() - scale.offset) / scale.scale
    rows[:, 1] = np.append(rows[1:, 1], np.nan)  # a step ahead
    window, expected = rows[146:160].astype("float32"), []
    session = rnnbench.session("numpy", forecaster.model, forecaster.params)
    for step in range(STEPS):
        expected.append(session.forward(window[:, None])[0][0, 0])
        following = np.array([[expected[-1], rows[160 + step, 1]]], "float32")
        window = np.concatenate([window[1:], following])
    found = forecaster.forecast(table)
    np.testing.assert_allclose(found["y"], np.array(expected) * scale.scale[0] + scale.offset[0], rtol=1e-5)
    for suffix in ("safetensors", "onnx"):
        forecaster.save(tmp_path / f"a.{suffix}")
        again = rnnbench.load_forecaster(tmp_path / f"a.{suffix}")
        pd.testing.assert_frame_equal(again.forecast(table), found)
    assert json.loads(forecaster.metadata.as_text())["recursive"] is True


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"at_horizon": True}, "leave out --at-horizon"),
        ({"past": "promotion"}, "'promotion' is known late; give it with --known"),
    ],
)
def test_what_does_not_go_together_is_refused(options, why):
    with pytest.raises(UsageError, match=why):
        rnnbench.train(days(), window=14, horizon=STEPS, recursive=True, **options)


def test_one_step_ahead_is_the_same_either_way():
    table = series_set([40])
    asked = {"id": "t", "title": "t", "source": "t", "budget": Budget(steps=1), "table": table}
    once, fed = (ForecastTask(**asked, cut=Cut(window=5, recursive=flag)) for flag in (False, True))
    assert fed.data(0).test.answers(sums).tobytes() == once.data(0).test.answers(sums).tobytes()
    assert (fed.output_size, fed.baseline) == (once.output_size, once.baseline)
