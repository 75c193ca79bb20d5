"""Series cut into windows: index arithmetic, seams, scaling, and that nothing reaches back from the test part."""

import json
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from series_sets import series_set

from rnnbench.comparison import arrays
from rnnbench.errors import UsageError
from rnnbench.tables.series import SeriesSet
from rnnbench.tasks.cut import Cut, Scaling, data_of, latest, lengths_of, scalings
from rnnbench.tasks.forecast import ForecastTask
from rnnbench.tasks.spec import Budget, Data, Split


def task_of(table: SeriesSet, cut: Cut, **more) -> ForecastTask:
    about = {"id": "t", "title": "t", "source": "t", "budget": Budget(steps=1)}
    return ForecastTask(**about, table=table, cut=cut, **more)


def held(split: Split) -> list[bytes]:
    """Every byte that a split's reader can see."""
    windows = split.windows
    arrays = (split.x, split.target, windows.which, windows.origin, windows.offset, windows.scale, *windows.series)
    return [array.tobytes() for array in arrays]


# ---- windows ---------------------------------------------------------------------------------------------------------

CUTS = st.builds(
    Cut,
    window=st.integers(1, 6),
    horizon=st.integers(1, 4),
    at_horizon=st.booleans(),
    test=st.none() | st.integers(4, 9),
    step=st.integers(1, 3),
    validation=st.booleans(),
)


@given(st.lists(st.integers(5, 40), min_size=1, max_size=4), CUTS, st.booleans())
def test_windows_are_those_that_lie_in_one_series_and_in_one_part(lengths, cut, filled):
    table = series_set(lengths, past=1, filled=filled)
    parts = cut.parts(lengths_of(table))
    data = data_of(table, cut, parts)
    nothing = [0] * len(lengths)
    for split, start, stop, step in (
        (data.train, nothing, parts.validation, 1),
        (data.validation, parts.validation, parts.test, 1),
        (data.test, parts.test, parts.end, cut.step),
    ):
        expected = []
        for number, rows in enumerate(lengths):
            first = [
                origin
                for origin in range(cut.window, rows + 1)  # all rows of the window are of this series
                if all(start[number] <= origin + lead - 1 < stop[number] for lead in cut.leads)
            ]
            told = [[origin + lead - 1 for lead in cut.leads] for origin in first[::step]]
            missing = table.series[number].filled
            expected += [
                (number, rows[-1] - cut.horizon + 1)
                for rows in told
                if not missing[[*rows, rows[-1] - cut.horizon]].any()
            ]
        if split is None:
            assert not expected
            continue
        windows = split.windows
        assert list(zip(windows.which.tolist(), windows.origin.tolist(), strict=True)) == expected
        assert split.x.shape == (cut.window, len(expected), 2 + filled)
        assert split.target.shape == (len(expected), len(cut.leads))
        for n, (number, origin) in enumerate(expected):
            target = table.series[number].target
            scaled = (target - windows.offset[number]) / windows.scale[number]
            assert (split.x[:, n, 0] == scaled[origin - cut.window : origin]).all()
            assert split.target[n].tolist() == [scaled[origin + lead - 1] for lead in cut.leads]
            assert windows.past(n).tolist() == target[:origin][: stop[number]].tolist()
        for known, end, own in zip(windows.series, stop, table.series, strict=True):
            assert (known == own.target[: len(known)]).all()
            assert len(known) <= end
            assert own.filled[len(known) : end].all()
            assert not own.filled[:end].any() or not own.filled[max(0, len(known) - 1)] or len(known) == 0


@given(st.lists(st.integers(5, 60), min_size=1, max_size=4), CUTS, st.integers(1, 4))
def test_folds_follow_each_other_up_to_the_test_part(lengths, cut, count):
    lengths = np.array(lengths)
    border = cut.parts(lengths).test
    folds = [cut.fold(lengths, number, count) for number in range(1, count + 1)]
    assert (folds[-1].end == border).all()
    for one, other in pairwise(folds):
        assert (one.end <= other.test).all()
    rows = lengths - border
    for fold in folds:
        assert (fold.validation <= fold.test).all()
        assert (fold.test <= fold.end).all()
        whole = fold.test > 0
        assert (fold.end - fold.test <= rows)[whole].all()
        assert (fold.end - fold.test >= cut.span)[whole].all()


def test_the_parts_of_a_hundred_rows():
    lengths = np.array([100])

    def rows(cut: Cut) -> tuple[int, ...]:
        parts = cut.parts(lengths)
        return (parts.validation[0], parts.test[0], parts.end[0])

    assert rows(Cut(window=10)) == (80, 80, 100)
    assert rows(Cut(window=10, validation=True)) == (64, 80, 100)
    assert rows(Cut(window=10, test=30)) == (70, 70, 100)
    assert rows(Cut(window=10, horizon=30)) == (70, 70, 100)
    assert rows(Cut(window=10, horizon=30, at_horizon=True)) == (80, 80, 100)
    # Before the part that stopping looks at there is to be a window and its target
    assert rows(Cut(window=63, validation=True)) == (64, 80, 100)
    assert rows(Cut(window=64, validation=True)) == (80, 80, 100)
    fold = Cut(window=10).fold(lengths, 1, 3)
    assert (fold.test[0], fold.end[0]) == (20, 40)


@given(st.integers(1, 60), st.integers(1, 9), st.none() | st.integers(9, 20))
def test_the_rows_that_are_asked_for_are_the_fewest_that_do(past, horizon, test):
    cut = Cut(window=1, horizon=horizon, test=test)
    needed = cut.rows_for(past)
    assert cut.parts(np.array([needed])).test[0] >= past
    assert cut.parts(np.array([needed - 1])).test[0] < past


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "--window takes a whole number from 1 to 2147483647; got 0"),
        ({"horizon": -1}, "--horizon takes"),
        ({"step": 0}, "--step takes"),
        ({"test": 0}, "--test takes"),
        ({"window": 2**31}, "--window takes"),
        ({"horizon": 6, "test": 5}, "--test 5 is less than one forecast of 6 rows; give --test 6"),
    ],
)
def test_a_bad_cut_is_one_line(options, message):
    with pytest.raises(UsageError) as caught:
        Cut(**{"window": 3, **options})
    assert str(caught.value).startswith(message)


# ---- columns and scaling ---------------------------------------------------------------------------------------------


def test_columns_are_in_order_and_each_is_scaled_by_its_training_part():
    table = series_set([40, 30], past=2, known=1, static=1, filled=True)
    cut = Cut(window=5, horizon=3)
    data = data_of(table, cut, cut.parts(lengths_of(table)))
    assert data.train.x.shape[2] == 1 + 2 + 1 + 1 + 1
    static = np.array([series.static[0] for series in table.series])
    for split in (data.train, data.test):
        for n, (which, origin) in enumerate(zip(split.windows.which, split.windows.origin, strict=True)):
            series = table.series[which]
            border = len(series.target) - len(series.target) // 5
            shown = slice(origin - 5, origin)
            columns = [(series.target, shown), *((column, shown) for column in series.past.T)]
            columns.append((series.known[:, 0], slice(origin - 2, origin + 3)))  # ahead by the last step, 3
            for place, (values, rows) in enumerate(columns):
                own = values[:border]
                own = own[~series.filled[:border]] if place == 0 else own
                # NumPy sums in another order
                np.testing.assert_allclose(
                    split.x[:, n, place], (values[rows] - own.mean()) / own.std(), rtol=1e-9, atol=1e-12
                )
            expected = (static[which] - static.mean()) / static.std()
            np.testing.assert_allclose(split.x[:, n, 4], expected, rtol=1e-12)
            assert (split.x[:, n, 5] == series.filled[shown]).all()


def test_a_constant_is_centred_and_no_more():
    # 0.1 three times over three is not 0.1: its deviation is a rounding error, by which nothing is to be divided
    table = series_set([6])
    table = replace(table, series=(replace(table.series[0], target=np.array([0.1, 0.1, 0.1, 0.1, 0.1, 5.0])),))
    (scaling,) = scalings(table, [5])
    assert scaling.scale == (1.0,)
    assert scaling.offset == (pytest.approx(0.1, rel=1e-15),)


def test_a_scaling_travels_as_json():
    (scaling,) = scalings(series_set([20], past=1), [16])
    stored = json.loads(json.dumps(asdict(scaling)))
    assert Scaling(tuple(stored["offset"]), tuple(stored["scale"])) == scaling


def test_windows_lead_back_to_the_unit_of_their_series():
    table = series_set([30, 25])
    cut = Cut(window=4, horizon=2)
    test = data_of(table, cut, cut.parts(lengths_of(table))).test
    own = test.windows.unscaled(test.target)
    for n, (which, origin) in enumerate(zip(test.windows.which, test.windows.origin, strict=True)):
        # A product and a sum, of values of some tens
        np.testing.assert_allclose(own[n], table.series[which].target[origin : origin + 2], rtol=0, atol=1e-13)
    np.testing.assert_allclose(test.windows.scaled(own), test.target, rtol=0, atol=1e-13)
    picked = test.rows(np.array([3, 1]))
    assert picked.windows.origin.tolist() == test.windows.origin[[3, 1]].tolist()


# ---- the latest window -----------------------------------------------------------------------------------------------


def test_the_latest_windows_are_those_that_the_test_part_would_have_had():
    table = series_set([30, 25], past=1, known=2, static=1)
    cut = Cut(window=6, horizon=4)
    lengths = lengths_of(table)
    test = data_of(table, cut, cut.parts(lengths)).test
    scaling = scalings(table, cut.parts(lengths).test)
    shorter = tuple(
        replace(one, target=one.target[:-4], past=one.past[:-4], filled=one.filled[:-4]) for one in table.series
    )
    split = latest(replace(table, series=shorter), cut, scaling)
    last = [n for n in range(test.count) if test.windows.origin[n] == lengths[test.windows.which[n]] - 4]
    assert split.x.tobytes() == np.ascontiguousarray(test.x[:, last]).tobytes()
    assert np.isnan(split.target).all()
    assert split.target.shape == (2, 4)
    assert (
        split.windows.scaled(np.zeros((2, 4))).tolist()
        == test.rows(np.array(last)).windows.scaled(np.zeros((2, 4))).tolist()
    )


def test_what_is_missing_for_a_forecast_is_one_line():
    cut = Cut(window=6, horizon=4)
    table = series_set([30, 5], known=1, ahead=4)
    with pytest.raises(UsageError, match=r"^sales.csv: series 's1' has 5 rows, and a forecast needs the last 6; give"):
        latest(table, cut, scalings(table, [30, 5]))
    table = series_set([30, 25], known=1, ahead=3)
    message = r"^sales.csv: 'k0' is not given for the 4 steps after the end of series 's0'; add rows without a target$"
    with pytest.raises(UsageError, match=message):
        latest(table, cut, scalings(table, [30, 25]))


# ---- what is not seen ------------------------------------------------------------------------------------------------


def raised(table: SeriesSet, which: int, start: int, stop: int, by: float) -> SeriesSet:
    """Add a constant to the rows of one series from `start` to before `stop`, covariates too."""

    def change(values: np.ndarray) -> np.ndarray:
        changed = values.copy()
        changed[start:stop] += by
        return changed

    own = table.series[which]
    own = replace(own, target=change(own.target), past=change(own.past), known=change(own.known))
    return replace(table, series=(*table.series[:which], own, *table.series[which + 1 :]))


def parts_of(data: Data) -> dict[str, list[bytes]]:
    return {name: held(split) for name, split in vars(data).items()}


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("cut", [Cut(5, 3, validation=True), Cut(5, 3, at_horizon=True, test=9, validation=True)])
def test_the_test_part_changes_no_byte_of_training_validation_scaling_or_folds(which, cut):
    table = series_set([60, 45], past=1, known=1, season=2)
    parts = cut.parts(lengths_of(table))
    border, end = int(parts.test[which]), int(parts.end[which])
    other = raised(table, which, border, end, 1000.0)
    before, after = task_of(table, cut), task_of(other, cut)
    assert scalings(table, parts.test) == scalings(other, parts.test)
    one, two = parts_of(before.data(0)), parts_of(after.data(0))
    assert one["train"] == two["train"]
    assert one["validation"] == two["validation"]
    assert one["test"] != two["test"]
    for number in (1, 2, 3):
        assert parts_of(before.fold(number, 3).data(0)) == parts_of(after.fold(number, 3).data(0))


def test_a_fold_sees_nothing_of_what_comes_after_it():
    table, cut = series_set([80, 60]), Cut(5, 2, validation=True)
    task = task_of(table, cut)
    fold = cut.fold(lengths_of(table), 2, 3)
    other = task_of(raised(table, 0, int(fold.end[0]), 80, -50.0), cut)
    for number in (1, 2):
        assert parts_of(task.fold(number, 3).data(0)) == parts_of(other.fold(number, 3).data(0))
    assert parts_of(task.fold(3, 3).data(0)) != parts_of(other.fold(3, 3).data(0))
    # Of a fold, what it is tested on is not seen by what it is trained on
    other = task_of(raised(table, 0, int(fold.test[0]), int(fold.end[0]), -50.0), cut)
    one, two = parts_of(task.fold(2, 3).data(0)), parts_of(other.fold(2, 3).data(0))
    assert one["train"] == two["train"]
    assert one["validation"] == two["validation"]
    assert one["test"] != two["test"]


def test_the_validation_part_changes_no_window_of_training_but_by_the_scaling():
    table, cut = series_set([60]), Cut(5, 2, validation=True)
    parts = cut.parts(lengths_of(table))
    begin, border = int(parts.validation[0]), int(parts.test[0])
    other = raised(table, 0, begin, border, 3.0)
    (one, two) = (data_of(each, cut, parts).train for each in (table, other))
    assert one.windows.origin.tolist() == two.windows.origin.tolist()
    assert one.windows.series[0].tobytes() == two.windows.series[0].tobytes()
    # The same values, standardised otherwise
    np.testing.assert_allclose(one.windows.unscaled(one.target), two.windows.unscaled(two.target), rtol=1e-12)


# ---- size ------------------------------------------------------------------------------------------------------------


def test_ten_thousand_short_series_are_cut_and_each_keeps_its_own():
    table = series_set([20] * 10_000)
    cut = Cut(window=6, horizon=2, validation=True)
    data = data_of(table, cut, cut.parts(lengths_of(table)))
    assert np.bincount(data.test.windows.which).tolist() == [3] * 10_000
    for n in (0, 14_999, 29_999):
        which, origin = data.test.windows.which[n], data.test.windows.origin[n]
        own = table.series[which].target
        scaled = (own - own[:16].mean()) / own[:16].std()
        np.testing.assert_allclose(data.test.x[:, n, 0], scaled[origin - 6 : origin], rtol=1e-9, atol=1e-12)


def test_a_split_travels_with_its_windows(tmp_path):
    """To a plugin's process, which scores it, or answers it without recurrence."""
    table = series_set([30, 25], past=1, season=7)
    cut = Cut(window=6, horizon=4)
    split = data_of(table, cut, cut.parts(lengths_of(table))).test
    arrays.save_split(tmp_path / "test.npz", split)
    again = arrays.load_split(tmp_path / "test.npz")
    assert held(again) == held(split)
    for name in ("leads", "season", "names"):
        assert getattr(again.windows, name) == getattr(split.windows, name)
    task = task_of(table, cut, metric="mase")
    prediction = np.zeros(split.target.shape)
    assert task.score(prediction, again) == task.score(prediction, split)


def test_a_gap_that_is_filled_from_both_sides_carries_nothing_over_a_border():
    """What lies between the last value of training and the first of the test part is a line to the latter."""
    cut, rows = Cut(5, 2, validation=True), 60

    def filled(by: float) -> SeriesSet:
        table = series_set([rows])
        target, missing = table.series[0].target.copy(), np.zeros(rows, bool)
        missing[44:50] = True  # the test part begins at 48
        target[50:] += by
        target[missing] = np.interp(np.flatnonzero(missing), np.flatnonzero(~missing), target[~missing])
        own = replace(table.series[0], target=target, filled=missing)
        return replace(table, series=(own,), filling="interpolate")

    before, after = task_of(filled(0.0), cut, metric="mase"), task_of(filled(1000.0), cut, metric="mase")
    one, two = parts_of(before.data(0)), parts_of(after.data(0))
    assert one["train"] == two["train"]
    assert one["validation"] == two["validation"]
    for number in (1, 2):
        assert parts_of(before.fold(number, 2).data(0)) == parts_of(after.fold(number, 2).data(0))
    # No forecast begins in the gap, whose line would tell where it ends
    assert before.data(0).test.windows.origin.min() == 51
    prediction = np.zeros((before.data(0).test.count, 2))
    test = before.data(0).test
    assert before.figures(prediction, test)["mase"] > 0
