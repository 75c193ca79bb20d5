"""Tables become series: order, steps, gaps, several series, covariates."""

import contextlib
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnbench.errors import UsageError
from rnnbench.tables.filling import forward, interpolate, seasonal
from rnnbench.tables.options import TableOptions
from rnnbench.tables.panel import read_series
from rnnbench.tables.series import Series, SeriesSet
from rnnbench.tasks.m1_yearly import panel

NAN = float("nan")


def read(source: object, **options: object) -> SeriesSet:
    return read_series(TableOptions(source, **options))


def refused(source: object, **options: object) -> str:
    with pytest.raises(UsageError) as caught:
        read(source, **options)
    assert str(caught.value).isprintable()
    return str(caught.value)


def days(count: int, first: str = "2021-01-01") -> list[str]:
    return list(pd.date_range(first, periods=count).strftime("%Y-%m-%d"))


def daily(values: list[float], **columns: object) -> pd.DataFrame:
    return pd.DataFrame({"day": days(len(values)), "y": values, **columns})


def same(one: Series, other: Series) -> bool:
    fields = ("target", "past", "known", "static", "times", "filled")
    return one.id == other.id and all(np.array_equal(getattr(one, f), getattr(other, f), True) for f in fields)


def all_same(one: SeriesSet, other: SeriesSet) -> bool:
    return len(one.series) == len(other.series) and all(map(same, one.series, other.series))


# ---- one series ------------------------------------------------------------------------------------------------------


def test_what_comes_out_of_a_plain_table():
    found = read(daily([3.0, 1.0, 2.0]))
    (series,) = found.series
    assert (series.id, series.target.tolist(), series.filled.tolist()) == ("y", [3.0, 1.0, 2.0], [False] * 3)
    assert (series.times == np.array(days(3), "M8[ns]")).all()
    assert (series.past.shape, series.known.shape, series.static.shape) == ((3, 0), (3, 0), (0,))
    assert (found.target, found.frequency, found.season, found.filling) == ("y", "D", 7, "none")
    assert found.remarks == ("times in day", "target y", "daily")


def test_a_file_says_what_was_inferred(tmp_path):
    path = tmp_path / "umsatz.csv"
    path.write_text("Datum;Umsatz\n31.12.2021;1,5\n01.01.2022;2,5\n04.01.2022;3,5\n05.01.2022;4,5\n")
    found = read(str(path), fill="forward")
    assert found.source == "umsatz.csv"
    assert found.remarks == (
        *("semicolons", "decimal commas", "times in Datum", "target Umsatz", "dates day first", "daily"),
        "2 missing values filled (forward)",
    )
    assert found.series[0].target.tolist() == [1.5, 2.5, 2.5, 2.5, 3.5, 4.5]


def test_without_times_the_oldest_is_first():
    found = read(pd.DataFrame({"y": [3.0, 1.0, 2.0]}))
    assert (found.frequency, found.season, found.series[0].times) == (None, None, None)
    assert found.remarks == ("target y", "without times, oldest first")
    assert found.series[0].target.tolist() == [3.0, 1.0, 2.0]
    assert "--frequency 'D' needs a column of times" in refused(pd.DataFrame({"y": [1.0, 2.0]}), frequency="D")


def test_order_is_made_and_said():
    frame = daily([1.0, 2.0, 3.0, 4.0])
    assert read(frame[::-1]).remarks[-2:] == ("newest first, put in order", "daily")
    assert read(frame.iloc[[2, 0, 3, 1]]).remarks[-2:] == ("put in order of day", "daily")
    for mixed in (frame[::-1], frame.iloc[[2, 0, 3, 1]]):
        assert all_same(read(mixed), read(frame))


def test_numbered_steps():
    found = read(pd.DataFrame({"ds": [3, 1, 2], "y": [30.0, 10.0, 20.0]}))
    assert (found.series[0].target.tolist(), found.series[0].times, found.frequency) == ([10.0, 20.0, 30.0], None, None)
    assert "between 2 (row 3) and 4 (row 4)" in refused(pd.DataFrame({"ds": [1, 2, 4], "y": [1.0, 2.0, 3.0]}))


@pytest.mark.parametrize(
    ("dates", "message"),
    [
        (
            ["2021-01-01", "2021-01-02", "2021-01-04", "2021-01-05"],
            "column 'day': a gap (daily): between 2021-01-02 (row 3) and 2021-01-04 (row 4); fill with --fill forward,",
        ),
        (
            ["2021-01-01", "2021-01-02", "2021-01-02", "2021-01-03"],
            "row 4, column 'day': 2021-01-02 is there already in row 3; keep one row of each time",
        ),
        (
            ["2021-01-01", "2021-01-02", "2021-01-03", "2021-01-03 12:00"],
            "row 5, column 'day': 2021-01-03 12:00:00 is not a whole number of steps (daily) after its",
        ),
    ],
)
def test_gaps_duplicates_and_rows_between(dates, message):
    assert message in refused(pd.DataFrame({"day": dates, "y": [1.0, 2.0, 3.0, 4.0]}))


def test_the_first_three_gaps_are_named():
    frame = daily(list(map(float, range(40)))).drop([3, 8, 9, 14, 20])
    said = refused(frame)
    assert "4 gaps (daily): between 2021-01-03 (row 4) and 2021-01-05 (row 5), " in said
    assert said.count(" and 2021") == 3
    assert "and 1 more; fill" in said


def test_two_rows_of_a_month_and_steps_of_any_length_are_no_months():
    dates = ["2021-01-01", "2021-01-15", "2021-02-01", "2021-03-01"]
    said = refused(pd.DataFrame({"day": dates, "y": [1.0, 2.0, 3.0, 4.0]}), frequency="MS", fill="forward")
    assert "row 3, column 'day': 2021-01-15 is not a whole number of steps (monthly)" in said
    dates = pd.Timestamp("2021-01-01") + pd.to_timedelta(np.cumsum([0, 40, 70, 100, 40, 130]), "D")
    said = refused(pd.DataFrame({"day": dates, "y": [1.0] * 6}), fill="forward")
    assert "2021-04-21 is not a whole number of steps (a row every 40 days)" in said


def test_rows_may_be_said_to_be_steps():
    frame = daily([1.0, 2.0, 3.0, 4.0, 5.0]).drop([2])
    found = read(frame[::-1], frequency="rows")
    assert found.series[0].target.tolist() == [1.0, 2.0, 4.0, 5.0]
    assert (found.frequency, found.season) == (None, None)
    assert found.series[0].times.tolist() == pd.to_datetime(frame["day"]).to_numpy().astype("M8[ns]").tolist()


def test_what_is_more_gap_than_row_is_refused():
    frame = pd.DataFrame({"day": ["2021-01-01", "2021-01-02", "2921-01-03"], "y": [1.0, 2.0, 3.0]})
    assert "outside the years 1678 to 2261" in refused(frame, fill="forward")
    frame["day"] = ["2021-01-01", "2021-01-02", "2201-01-03"]
    assert "3 rows on 65746 steps (daily): more would be filled than is there" in refused(frame, fill="forward")


def test_a_missing_value_is_refused_with_its_rows():
    said = refused(daily([1.0, NAN, 3.0, NAN, 5.0, NAN, 7.0, NAN, 9.0, NAN, 11.0]))
    assert "row 3, column 'y': the value is missing, and in 4 more (rows 5, 7, 9, ...); fill with" in said


@pytest.mark.parametrize(
    ("fill", "wanted"),
    [("forward", [1, 2, 2, 2, 5, 8]), ("interpolate", [1, 2, 3, 4, 5, 8]), ("seasonal", [1, 2, 1, 2, 5, 8])],
)
def test_filling_a_gap_and_a_missing_value(fill, wanted):
    frame = daily([1.0, 2.0, NAN, NAN, 5.0, 8.0]).drop([3])
    found = read(frame, fill=fill, season=2)
    assert found.series[0].target.tolist() == wanted
    assert found.series[0].filled.tolist() == [False, False, True, True, False, False]
    assert (found.filling, found.series[0].times.tolist()) == (fill, read(daily([0.0] * 6)).series[0].times.tolist())


def test_filling_where_nothing_is_missing_leaves_no_indicator():
    assert read(daily([1.0, 2.0, 3.0]), fill="forward").filling == "none"


def test_seasonal_filling_needs_a_season():
    frame = pd.DataFrame({"y": [1.0, NAN, 3.0]})
    assert "--fill seasonal needs to know the season; give --season" in refused(frame, fill="seasonal")


def test_missing_values_at_the_ends_are_left_out():
    found = read(daily([NAN, 1.0, 2.0, NAN, NAN]))
    assert found.series[0].target.tolist() == [1.0, 2.0]
    assert found.series[0].times.tolist() == np.array(days(2, "2021-01-02"), "M8[ns]").tolist()
    assert found.remarks[-1] == "3 missing values at the ends left out"
    assert "column 'y': it has no value at all; name another target" in refused(daily([NAN, NAN]))


def test_short_and_constant_series_are_read():
    assert read(daily([1.0])).series[0].target.tolist() == [1.0]
    assert read(daily([1.0, 1.0])).series[0].target.tolist() == [1.0, 1.0]
    assert "not finite" in refused(daily([1.0, float("inf")]))


def test_the_season_may_be_told():
    assert read(daily([1.0, 2.0, 3.0]), season=2).season == 2
    assert read(daily([1.0, 2.0, 3.0]), season=1).season is None
    assert "--season takes a whole number" in refused(daily([1.0, 2.0]), season=0)


def test_days_and_times_of_day_in_two_columns(tmp_path):
    path = tmp_path / "kw.csv"
    moments = pd.date_range("2021-01-12 22:00", periods=40, freq="15min")
    path.write_text("Date;Time;kw\n" + "".join(f"{at:%d/%m/%Y};{at:%H:%M:%S};1\n" for at in moments))
    for options in ({}, {"time": "Date", "target": ("kw",)}, {"target": ("all",)}):
        found = read(str(path), **options)
        assert (found.series[0].times == moments.to_numpy()).all()
        assert "times in Date and Time" in found.remarks


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("backwards", [False, True])
def test_days_of_23_and_25_hours(zone, backwards):
    """The oracle is pandas: as many rows as hours, in the order in which they were."""
    moments = pd.date_range("2020-12-31", "2022-01-02", freq="h", tz=zone)
    frame = pd.DataFrame({"hour": moments.strftime("%d.%m.%Y %H:%M"), "y": np.arange(len(moments), dtype=float)})
    found = read(frame[:: -1 if backwards else 1], target=("y",))
    assert found.series[0].target.tolist() == frame["y"].tolist()
    assert found.frequency == "h"
    assert any(remark.startswith("clock changes as in ") for remark in found.remarks)
    two = pd.concat([frame.assign(id="a"), frame.assign(id="b")])
    both = read(two, target=("y",), id="id")
    assert [series.target.tolist() for series in both.series] == [frame["y"].tolist()] * 2
    shuffled = frame.sample(frac=1, random_state=0)  # which of the two hours was first is lost
    assert "is there already" in refused(shuffled, target=("y",))


# ---- several series --------------------------------------------------------------------------------------------------


@st.composite
def panels(draw: st.DrawFn) -> pd.DataFrame:
    """Series of several lengths and beginnings, in long form and in order."""
    frames = []
    for number in range(draw(st.integers(1, 4))):
        values = draw(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=7))
        first = draw(st.integers(0, 3))
        times = pd.date_range("2021-01-01", periods=20)[first : first + len(values)]
        frames.append(pd.DataFrame({"unique_id": f"s{number}", "ds": times, "y": values}))
    return pd.concat(frames, ignore_index=True)


@settings(max_examples=50)
@given(panels(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(frame, random):
    order = list(range(len(frame)))
    random.shuffle(order)
    assert all_same(read(frame.iloc[order]), read(frame))


@settings(max_examples=50)
@given(panels())
def test_long_and_wide_give_the_same(frame):
    wide = frame.pivot(index="ds", columns="unique_id", values="y").reset_index()
    assert all_same(read(wide, target=("all",)), read(frame))


@settings(max_examples=50)
@given(panels())
def test_each_series_is_its_rows(frame):
    found = read(frame)
    for series, (id, own) in zip(found.series, frame.groupby("unique_id"), strict=True):
        assert series.id == id
        assert series.target.tolist() == own["y"].tolist()
        assert (series.times == own["ds"].to_numpy()).all()


def test_a_frame_is_as_its_file(tmp_path):
    times = pd.date_range("2021-03-31", periods=12, freq="ME")
    frame = pd.DataFrame({"store": ["a"] * 6 + ["b"] * 6, "month": [*times[:6], *times[:6]]})
    frame["sales"], frame["kind"] = np.arange(12) / 7, ["x"] * 6 + ["y"] * 6
    frame.to_csv(tmp_path / "sales.csv", index=False)
    options = {"target": ("sales",), "id": "store", "static": ("kind",)}
    one, other = read(frame, **options), read(str(tmp_path / "sales.csv"), **options)
    assert all_same(one, other)
    assert one.static == other.static == ("kind=x", "kind=y")
    assert one.remarks == other.remarks == ("times in month", "monthly", "2 series")


def test_repeated_dates_name_the_column_that_tells_them_apart():
    frame = pd.DataFrame({"day": days(3) * 2, "y": [1.0, 2, 3, 4, 5, 6], "n": range(6), "shop": ["a"] * 3 + ["b"] * 3})
    said = refused(frame, target=("y",))
    assert "row 5, column 'day': 2021-01-01 is there already in row 2, and so 2 times more; " in said
    assert said.endswith("if these are several series, give --id 'shop'")
    assert [series.id for series in read(frame, target=("y",), id="shop").series] == ["a", "b"]
    again = pd.concat([frame, frame])
    assert refused(again, target=("y",)).endswith("keep one row of each time or, of several series, a column for --id")
    assert refused(again, target=("y",), id="shop").endswith("keep one row of each time of each series")


def test_targets_by_name_by_pattern_and_all():
    frame = daily([1.0, 2.0], **{"a1": [1.0, 2.0], "a2": [3.0, 4.0], "all b": [5.0, 6.0]})
    ids = lambda *target: [series.id for series in read(frame, target=target).series]  # noqa: E731
    assert ids("a1") == ["a1"]
    assert ids("a*", "a1", "y") == ["a1", "a2", "all b", "y"]
    assert ids("all") == ["y", "a1", "a2", "all b"]
    assert "--target 'b*' fits no column; they are 'day', 'y', 'a1'" in refused(frame, target=("b*",))
    assert "did you mean 'a1'?" in refused(frame, target=("A1",))
    assert "say which column to forecast with --target" in refused(frame.rename(columns={"y": "x"}))


def test_a_column_without_a_value_among_several_is_left_out():
    found = read(daily([1.0, 2.0], empty=[NAN, NAN]), target=("all",))
    assert [series.id for series in found.series] == ["y"]
    assert found.remarks[-1] == "'empty' left out, without a value"


def test_columns_with_two_roles_and_roles_that_do_not_fit():
    frame = daily([1.0, 2.0], a=[1.0, 2.0], b=["u", "u"])
    assert "column 'a': it is named by --past and --known; leave one out" in refused(frame, past=("a",), known=("a",))
    assert "column 'y': it is named by --target and --known" in refused(frame, target=("y",), known=("y",))
    assert "2 targets and an --id, 'b'; give one target" in refused(frame, target=("a", "y"), id="b")
    assert "--static tells series apart" in refused(frame, target=("a", "y"), static=("b",))
    assert read(frame, target=("y",), past=("y", "a")).past == ("a",)  # its own past is always seen
    missing = frame.assign(b=["u", None])
    assert "row 3, column 'b': the id is missing" in refused(missing, target=("y",), id="b")


# ---- covariates ------------------------------------------------------------------------------------------------------


def test_past_known_and_static():
    frame = daily([1.0, 2.0, NAN, NAN], heat=[5.0, 6.0, NAN, NAN], holiday=["no", "yes", "no", "no"], area=[7.0] * 4)
    found = read(frame, target=("y",), past=("heat",), known=("holiday",), static=("area",))
    (series,) = found.series
    assert (found.past, found.known, found.static) == (("heat",), ("holiday=no", "holiday=yes"), ("area",))
    assert series.target.tolist() == [1.0, 2.0]
    assert series.past.tolist() == [[5.0], [6.0]]
    assert series.known.tolist() == [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]
    assert series.static.tolist() == [7.0]
    assert len(series.times) == 4
    assert found.remarks[-1] == "2 steps ahead of the target's end"


def test_a_known_column_that_is_not_known_ahead_is_refused():
    frame = daily([1.0, 2.0, NAN], heat=[5.0, 6.0, NAN])
    said = refused(frame, target=("y",), known=("heat",))
    assert said.endswith(
        "row 4, column 'heat': it is not known ahead: missing after the target's end; give it with --past"
    )
    frame = daily([1.0, 2.0, 3.0], heat=[5.0, NAN, 7.0])
    assert "row 3, column 'heat': the value is missing" in refused(frame, target=("y",), known=("heat",))
    gap = daily([1.0, 2.0, NAN, NAN, NAN], heat=[5.0, 6.0, 7.0, 8.0, 9.0]).drop([3])
    assert "a gap (daily)" in refused(gap, target=("y",), known=("heat",))


def test_covariates_are_filled_by_the_value_before():
    frame = daily([1.0, NAN, 3.0, 4.0], heat=[5.0, NAN, NAN, 8.0], kind=["u", None, "v", "v"])
    found = read(frame, target=("y",), past=("heat", "kind"), fill="interpolate")
    assert found.series[0].past.tolist() == [[5, 1, 0], [5, 1, 0], [5, 0, 1], [8, 0, 1]]
    assert found.series[0].target.tolist() == [1, 2, 3, 4]
    first = daily([1.0, 2.0], heat=[NAN, 1.0])
    said = refused(first, target=("y",), past=("heat",), fill="forward")
    assert "row 2, column 'heat': the value is missing, with none before it" in said


def test_categories_have_a_limit_and_numbers_with_a_fault_are_none():
    values = [float(at) for at in range(60)]
    many = daily(values, name=[f"name {at}" for at in range(60)])
    said = refused(many, target=("y",), past=("name",))
    assert "column 'name': 60 different texts, at most 50 are taken as categories; group them" in said
    odd = daily([1.0, 2.0, 3.0], heat=["1.5", "2.5 m", "3.5"])
    assert "row 3, column 'heat': '2.5 m' is not a number" in refused(odd, target=("y",), past=("heat",))


def test_a_static_column_that_changes_is_refused():
    frame = daily([1.0, 2.0, 3.0], area=[7.0, 7.0, 8.0])
    said = refused(frame, target=("y",), static=("area",))
    assert "row 4, column 'area': it changes within the series 'y', and a static column stays" in said


# ---- whatever is there -----------------------------------------------------------------------------------------------

_DIGITS = st.text("0123456789", min_size=1, max_size=4)
_ODD_TIMES = st.one_of(
    st.builds("".join, st.lists(st.one_of(_DIGITS, st.sampled_from([*"-/.: QWMTZ+", "Jan", "pm", "n/a"])), max_size=7)),
    st.datetimes().map(str),
    st.dates().map(str),
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from(["2021-01-01", "2021-01-02", "2021-01-03", "2021-01-05", "2021Q1", "2021Q3", "1/2/2021", "12:30"]),
)
_ODD_VALUES = st.one_of(
    st.floats().map(str), st.integers(-5, 5).map(str), st.sampled_from(["", "x", "n/a", "1,5", "5 %"])
)
_NAMES = ["t", "y", "s", "c"]


def read_or_refuse(frame: pd.DataFrame, **options: object) -> SeriesSet | None:
    with contextlib.suppress(UsageError):
        return read(frame, **options)
    assert refused(frame, **options)
    return None


@settings(max_examples=200)
@given(
    st.lists(st.tuples(_ODD_TIMES, _ODD_VALUES, st.sampled_from("ab"), _ODD_VALUES), min_size=1, max_size=6),
    st.fixed_dictionaries(
        {},
        optional={
            "time": st.sampled_from(_NAMES),
            "id": st.sampled_from(_NAMES),
            "target": st.lists(st.sampled_from([*_NAMES, "all", "*"]), max_size=2).map(tuple),
            "past": st.lists(st.sampled_from(_NAMES), max_size=2).map(tuple),
            "known": st.lists(st.sampled_from(_NAMES), max_size=1).map(tuple),
            "static": st.lists(st.sampled_from(_NAMES), max_size=1).map(tuple),
            "fill": st.sampled_from(["none", "forward", "interpolate", "seasonal"]),
            "frequency": st.sampled_from(["D", "MS", "rows", "h", "B", "QS", "W"]),
            "day_first": st.booleans(),
            "season": st.integers(-1, 3),
        },
    ),
)
def test_any_table_is_read_or_refused_in_one_line(rows, options):
    found = read_or_refuse(pd.DataFrame(rows, columns=_NAMES, dtype=object), **options)
    for series in found.series if found else ():
        count, beyond = len(series.target), len(series.known) - len(series.target)
        assert len(series.past) == len(series.filled) == count > 0
        assert beyond >= 0
        for values in (series.target, series.past, series.known, series.static):
            assert np.isfinite(values).all()
        if series.times is not None:
            assert len(series.times) == count + beyond
            assert (np.diff(series.times) > np.timedelta64(0)).all()
        assert not series.filled.any() or options["fill"] == found.filling


# ---- fills, by hand --------------------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.one_of(st.just(NAN), st.floats(-9, 9)), min_size=1, max_size=9), min_size=1, max_size=4))
def test_fills_as_pandas_does_within_each_series(rows):
    rows = [[0.0, *row, 1.0] for row in rows]
    values = np.concatenate(rows)
    lengths = np.array([len(row) for row in rows])
    start = np.repeat(np.cumsum(lengths) - lengths, lengths)
    later = np.concatenate([pd.Series(row[1:]).ffill() for row in rows])  # series that begin without a value too
    cut = np.delete(values, start)
    assert np.array_equal(forward(cut, np.repeat(np.cumsum(lengths - 1) - lengths + 1, lengths - 1)), later, True)
    straight = np.concatenate([pd.Series(row).interpolate() for row in rows])
    assert np.allclose(interpolate(values), straight, rtol=0, atol=1e-13)  # values below 10, a rounding or two
    by_hand = []
    for row in rows:
        filled = list(row)
        for at, value in enumerate(row):
            if np.isnan(value):
                before = [row[back] for back in range(at - 2, -1, -2) if not np.isnan(row[back])]
                filled[at] = before[0] if before else filled[at - 1]
        by_hand += filled
    assert np.array_equal(seasonal(values, start, 2), by_hand)


def test_a_competition_as_one_file():
    """The panel M1 yearly, which its task reads by itself."""
    found = read(str(files("rnnbench.tasks") / "data" / "m1-yearly.csv"))
    wanted = {series.id: series.target for series in panel().series}
    assert {series.id: series.target.tolist() for series in found.series} == {
        id: y.tolist() for id, y in wanted.items()
    }
    assert found.remarks == ("series by unique_id", "times in ds", "target y", "yearly", "181 series")
    assert (found.frequency, found.season) == ("YS-JAN", None)


# ---- size ------------------------------------------------------------------------------------------------------------


def test_ten_thousand_short_series(tmp_path: Path):
    """Per series there is one object to make, per row nothing: rows as Python objects would take minutes."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"unique_id": np.repeat(np.arange(10_000), 20), "ds": np.tile(days(20), 10_000)})
    frame["y"] = rng.normal(size=200_000)
    found = read(frame.sample(frac=1, random_state=0))
    assert len(found.series) == 10_000
    wanted = frame.set_index("unique_id")["y"]
    for id in (0, 5, 9_999):
        (series,) = (series for series in found.series if series.id == str(id))
        assert series.target.tolist() == wanted.loc[id].tolist()
