"""A task of the user's own table: what is settled, what it is called, and the one line for what cannot be forecast."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from series_sets import series_set

from rnnbench.backends.base import ID_PATTERN
from rnnbench.errors import UsageError
from rnnbench.tables.options import TableOptions
from rnnbench.tables.series import SeriesSet
from rnnbench.tasks import own_table
from rnnbench.tasks.cut import Cut
from rnnbench.tasks.forecast import ForecastTask, table_task
from rnnbench.tasks.forecast_scores import METRICS
from rnnbench.tasks.own_table import CutOptions, own_task


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> list[SeriesSet]:
    """What the table that is read next becomes."""
    waiting: list[SeriesSet] = []
    monkeypatch.setattr(own_table, "read_series", lambda options: waiting.pop())
    return waiting


def task_of(tables: list[SeriesSet], table: SeriesSet, **asked) -> ForecastTask:
    tables.append(table)
    return own_task(TableOptions("sales.csv"), CutOptions(**asked))


def with_target(table: SeriesSet, values: np.ndarray) -> SeriesSet:
    return replace(table, series=(replace(table.series[0], target=np.asarray(values, float)), *table.series[1:]))


def complaint(tables: list[SeriesSet], table: SeriesSet, **asked) -> str:
    with pytest.raises(UsageError) as caught:
        task_of(tables, table, **asked)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("lengths", "window", "rest"),
    [
        ([100], 24, "tested on the last 20 rows, early stopping by 16 before"),
        ([40, 100], 16, "tested on the last 8 to 20 rows of each series, early stopping by 6 to 16 before"),
        ([3], 1, "tested on the last 1 rows, no early stopping"),
    ],
)
def test_what_is_settled_is_said(tables, lengths, window, rest):
    task = task_of(tables, series_set(lengths))
    assert task.cut.window == window
    assert ", ".join(task.inferred) == f"daily, windows of {window}, {rest}"


def test_the_options_reach_the_cut(tables):
    asked = {"window": 5, "horizon": 3, "at_horizon": True, "test": 9, "step": 2, "metric": "mae"}
    task = task_of(tables, series_set([60]), **asked)
    assert task.cut == Cut(5, 3, at_horizon=True, test=9, step=2, validation=True)
    assert (task.metric, task.score_name) == ("mae", "MAE")
    assert task.title == "y of sales.csv, 3 ahead"
    assert task_of(tables, series_set([60, 60]), horizon=3).title == "y of sales.csv, 2 series, 1 to 3 ahead"


def test_training_is_stopped_early_where_there_are_rows_for_it(tables):
    task = task_of(tables, series_set([100]))
    assert task.data(0).validation.count == 16
    assert task.budget.patience
    assert task_of(tables, series_set([3])).data(0).validation is None


def test_the_id_tells_values_and_cut_and_metric_apart_but_not_folders():
    table, cut = series_set([60], past=1), Cut(5)
    others = [
        table_task(table, cut),
        table_task(table, Cut(6)),
        table_task(table, cut, "mae"),
        table_task(with_target(table, table.series[0].target + 1), cut),
        table_task(replace(table, past=("other",)), cut),
        table_task(replace(table, season=7), cut),
        table_task(series_set([60, 60], past=1), cut),
    ]
    assert len({task.id for task in others}) == len(others)
    assert table_task(replace(table, source="folder/sales.csv"), cut).id == others[0].id
    assert others[0].id.startswith("csv-sales-")


@pytest.mark.parametrize("name", ["Übung 1.csv", "…", "a" * 200 + ".csv", "--x.csv", "<b>.csv", "-", "frame"])
def test_any_source_gives_a_valid_id(name):
    assert ID_PATTERN.fullmatch(table_task(replace(series_set([60]), source=name), Cut(5)).id)


@pytest.mark.parametrize(
    ("lengths", "asked", "expected"),
    [
        (
            [24],
            {"window": 24},
            "sales.csv: 24 rows, and a window of 24 with a horizon of 1 needs 31; give more rows or a shorter window",
        ),
        (
            [1],
            {},
            "sales.csv: 1 rows, and a window of 1 with a horizon of 1 needs 3; give more rows or a shorter window",
        ),
        (
            [20],
            {"horizon": 30},
            "sales.csv: 20 rows, and a window of 1 with a horizon of 30 needs 61; give more rows or a shorter window",
        ),
        (
            [60, 8],
            {"window": 8},
            "sales.csv: series 's1' has 8 rows, and a window of 8 with a horizon of 1 needs 9; "
            "give more rows or a shorter window",
        ),
    ],
)
def test_too_few_rows_are_one_line(tables, lengths, asked, expected):
    assert complaint(tables, series_set(lengths), **asked) == expected


@given(st.integers(1, 40), st.integers(1, 6), st.booleans())
def test_the_number_of_rows_that_is_asked_for_is_the_smallest_that_does(window, horizon, at_horizon):
    cut = Cut(window, horizon, at_horizon)

    def task(rows: int) -> ForecastTask:
        return table_task(series_set([rows]), cut)

    with pytest.raises(UsageError) as caught:
        task(2)
    needed = int(re.search(r"needs (\d+);", str(caught.value)).group(1))
    with pytest.raises(UsageError, match=f"needs {needed};"):
        task(needed - 1)
    assert task(needed).data(0).train.count >= 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            np.r_[np.arange(47.0), np.full(13, 4.0)],
            "sales.csv, column 'y': it stays as it was in all 12 forecasts of the test part; "
            "there is nothing to forecast",
        ),
        (np.arange(60) * 1e300, "sales.csv: a column's values are too large or too close together; rescale it"),
        (np.arange(60) * 1e-300, "sales.csv: a column's values are too large or too close together; rescale it"),
    ],
)
def test_values_that_nothing_can_be_said_of_are_one_line(tables, values, expected):
    assert complaint(tables, with_target(series_set([60]), values), window=5) == expected


def test_a_constant_series_among_others_is_taken(tables):
    task = task_of(tables, with_target(series_set([60, 60]), np.full(60, 3.0)), window=5)
    test = task.data(0).test
    assert np.isfinite(task.score(test.target + 0.1, test))
    assert set(task.figures(test.target, test)) == {"mae", "rmse", "mase", "smape", "persistence_ratio"}


def test_a_bad_way_of_filling_is_refused_too(monkeypatch):
    monkeypatch.setattr(own_table, "read_series", lambda options: pytest.fail("it was read"))
    with pytest.raises(UsageError, match=r"^--fill 'foward' is unknown; did you mean 'forward'\?$"):
        own_task(TableOptions("sales.csv", fill="foward"), CutOptions())


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"window": 0}, "--window takes a whole number from 1"),
        ({"horizon": -3}, "--horizon takes a whole number from 1"),
        ({"metric": "MAE"}, "--metric 'MAE' is unknown; did you mean 'mae'?"),
        ({"metric": "accuracy"}, "--metric 'accuracy' is unknown; give one of persistence, mae, rmse, mase, smape"),
        ({"metric": "nrmse"}, "--metric 'nrmse' is unknown; did you mean 'rmse'?"),
        ({"test": 2, "horizon": 3}, "--test 2 is less than one forecast of 3 rows; give --test 3"),
    ],
)
def test_a_bad_option_is_refused_before_the_table_is_read(monkeypatch, asked, expected):
    monkeypatch.setattr(own_table, "read_series", lambda options: pytest.fail("it was read"))
    with pytest.raises(UsageError) as caught:
        own_task(TableOptions("sales.csv"), CutOptions(**asked))
    assert str(caught.value).startswith(expected)


def made_or_refused(make: Callable[[], ForecastTask]) -> ForecastTask | None:
    """Return the task, or None where it is refused in one line."""
    try:
        return make()
    except UsageError as error:
        lines = str(error).splitlines()
    assert len(lines) == 1
    return None


@given(
    st.lists(st.lists(st.sampled_from([0.0, 1.0, 1.5, -7.0, 1e9]), min_size=1, max_size=30), min_size=1, max_size=4),
    st.fixed_dictionaries(
        {},
        optional={
            "window": st.integers(1, 12),
            "horizon": st.integers(1, 9),
            "at_horizon": st.booleans(),
            "test": st.integers(1, 12),
            "step": st.integers(1, 4),
            "metric": st.sampled_from(METRICS),
        },
    ),
    st.sampled_from([None, 2, 7, 400]),
)
def test_any_series_are_a_task_with_finite_figures_or_one_line(values, asked, season):
    table = series_set([len(own) for own in values], past=1, season=season)
    series = tuple(replace(one, target=np.array(own)) for one, own in zip(table.series, values, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_table, "read_series", lambda options: replace(table, series=series))
        task = made_or_refused(lambda: own_task(TableOptions("sales.csv"), CutOptions(**asked)))
    if task is None:
        return
    folds = [made_or_refused(lambda number=number: task.fold(number, 2)) for number in (1, 2)]
    for each in filter(None, [task, *folds]):
        data = each.data(0)
        for split in (data.train, data.test, data.validation):
            if split is None:
                continue
            assert split.count >= 1
            assert np.isfinite(split.x).all()
            assert np.isfinite(split.target).all()
            prediction = split.target + 0.5
            assert np.isfinite(each.score(prediction, split))
            assert np.isfinite(each.losses(prediction, split)).all()
            assert np.isfinite(list(each.figures(prediction, split).values())).all()
        assert each.baseline > 0
        assert not each.learned(each.baseline)
        assert each.learned(each.score(data.test.target, data.test))
