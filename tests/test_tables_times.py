"""Times as people write them, held to pandas; steps, held to what pandas infers and to its time zones."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnbench.errors import UsageError
from rnnbench.tables.options import TableOptions
from rnnbench.tables.reading import Table, read_table
from rnnbench.tables.steps import commonest_step, told_step, winter_time
from rnnbench.tables.times import find_times, read_times

DAYS = pd.date_range("2021-01-01", "2021-12-31", freq="D")


def table(values: object, name: str = "when", **others: object) -> Table:
    return read_table(TableOptions(pd.DataFrame({name: values, **others})))


def read(values: object, day_first: bool | None = None) -> np.ndarray:
    return read_times(table(values), "when", day_first).values


def refused(values: object, day_first: bool | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        read(values, day_first)
    return str(caught.value)


FORMATS = [
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y",
    "%m-%d-%Y", "%m/%d/%y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y", "%d. %B %Y", "%d%b%Y",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
def test_every_day_of_a_year_in_every_form(form):
    assert (read(DAYS.strftime(form)) == DAYS.to_numpy()).all()


CLOCKS = ["%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p"]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("clock", CLOCKS)
def test_with_a_time_of_day(form, clock):
    moments = pd.date_range("2021-01-12", "2021-02-20", freq="95min")
    assert (read(moments.strftime(f"{form} {clock}")) == moments.to_numpy()).all()


@given(st.lists(st.datetimes(pd.Timestamp("1700-01-01"), pd.Timestamp("2250-01-01")), min_size=1, max_size=8))
def test_moments_as_python_and_iso_write_them(moments):
    wanted = np.array(moments, "M8[ns]")
    for write in (str, lambda moment: moment.isoformat(), lambda moment: moment.isoformat() + "Z"):
        assert (read([write(moment) for moment in moments]) == wanted).all()


@pytest.mark.parametrize(
    ("written", "first"),
    [
        (["2021Q1", "2021Q2"], "2021-01-01"),
        (["2021-Q4", "2022-Q1"], "2021-10-01"),
        (["Q3 2021", "Q4 2021"], "2021-07-01"),
        (["2021-02", "2021-03"], "2021-02-01"),
        (["2021/12", "2022/1"], "2021-12-01"),
        (["2021M03", "2021M04"], "2021-03-01"),
        (["202105", "202106"], "2021-05-01"),
        (["05/2021", "06/2021"], "2021-05-01"),
        (["Mar 2021", "Apr 2021"], "2021-03-01"),
        (["December-1999"], "1999-12-01"),
        (["1999", "2000"], "1999-01-01"),
        (["2021-W01", "2021-W02"], "2021-01-04"),  # the week of 4 January
        (["2020W53"], "2020-12-28"),
        (["2021-01-01 24:00"], "2021-01-02"),
        (["1 Jan 2021 12:00 AM"], "2021-01-01"),
    ],
)
def test_coarser_and_odder_forms(written, first):
    assert read(written)[0] == np.datetime64(first)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_counted_since_1970(unit):
    moments = pd.date_range("2021-01-01", periods=30, freq="h")
    found = read_times(table(moments.as_unit(unit).asi8), "when", None)
    assert (found.values == moments.to_numpy()).all()
    assert "since 1970" in found.remarks[0]


def test_other_whole_numbers_are_counts():
    assert read([3, 1, 2]).tolist() == [3, 1, 2]
    assert read(["1.0", "2.0"]).tolist() == [1, 2]
    assert read([1999, 2000, 5000]).tolist() == [1999, 2000, 5000]  # 5000 is no year that has a time


def test_the_whole_column_decides_which_comes_first():
    assert read_times(table(["1/2/2021", "13/2/2021"]), "when", None).remarks == ("dates day first",)
    assert read_times(table(["1/2/2021", "2/13/2021"]), "when", None).remarks == ("dates month first",)
    twelve = [f"{day}/{month}/2021" for day in range(1, 13) for month in range(1, 13)]
    assert "each date here may have the day or the month first; say --day-first or --month-first" in refused(twelve)
    assert read(twelve, True)[1] == np.datetime64("2021-02-01")
    assert read(twelve, False)[1] == np.datetime64("2021-01-02")
    assert read(["1/1/2021", "2/2/2021"])[1] == np.datetime64("2021-02-02")  # the same day either way
    assert "the day or the year first" in refused(["31/1/21", "30/1/21"])
    assert read(["31/1/21"], True)[0] == np.datetime64("2021-01-31")
    assert "row 3, column 'when': '13/2/2021' is no day with the month first" in refused(
        ["1/2/2021", "13/2/2021"], False
    )


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (["2021-01-01", ""], "row 3, column 'when': the time is missing"),
        (["2021-01-01", "n/a"], "row 3, column 'when': the time is missing"),
        (["2021-01-01", "Total"], "row 3, column 'when': 'Total' is no date like '2021-01-01', the first"),
        (["next week"], "row 2, column 'when': 'next week' is no date as it is read here"),
        (["2021-02-28", "2021-02-29"], "row 3, column 'when': '2021-02-29' is no day, or outside"),
        (["1492-10-12"], "'1492-10-12' is no day, or outside the years 1678 to 2261"),
        (["13/13/2021"], "'13/13/2021' is no day"),
        (["2021-01-01 10:00", "2021-01-01 25:00"], "row 3, column 'when': '25:00' is no time of day"),
        (["2021-01-01 13:00 PM"], "'13:00 PM' is no time of day"),
        (["2021-01-01 10:00 CEST"], "'10:00 CEST' is no time of day"),
        (["2021-01-01 10:00Z", "2021-01-01 11:00"], "row 3, column 'when': the time has no offset from UTC"),
        (["2021-W54"], "is no day"),
        (["2021-W53"], "is no day"),  # 2021 has 52 weeks
        (["0/1/2021", "13/1/2021"], "row 2"),
        (["12:00"], "is no date"),
    ],
)
def test_refused_in_one_line(written, message):
    said = refused(written)
    assert message in said
    assert said.isprintable()


def test_offsets_become_utc_and_midnights_days():
    assert read(["2021-06-01 10:00+02:00", "2021-06-01T11:00+0200"])[0] == np.datetime64("2021-06-01T08:00")
    aware = pd.date_range("2021-03-26", periods=6, freq="D", tz="Europe/Berlin")
    for days in (aware, aware.strftime("%Y-%m-%dT%H:%M%z")):
        assert (read(days) == aware.tz_localize(None).to_numpy()).all()  # one of them has 23 hours
    hours = pd.date_range("2021-03-28", periods=6, freq="h", tz="Europe/Berlin")
    assert (read(hours) == hours.tz_convert("UTC").tz_localize(None).to_numpy()).all()


def test_typed_columns():
    assert (read(DAYS) == DAYS.to_numpy()).all()
    assert (read(DAYS.date) == DAYS.to_numpy()).all()
    assert (read(DAYS.to_period("D")) == DAYS.to_numpy()).all()
    assert "row 3, column 'when': the time is missing" in refused([pd.Timestamp("2021-01-01"), pd.NaT])
    assert "outside the years" in refused(np.array(["1500-01-01"], "M8[s]"))


def test_the_plain_column_is_found():
    dates, numbers = DAYS[:3].strftime("%d.%m.%Y"), [1234.5, 2021.01, 7.0]
    assert find_times(table(dates, "Tag", y=numbers), ()) == "Tag"
    assert find_times(table(dates, "Tag", y=numbers), ("Tag",)) is None
    assert find_times(table([2001, 2002, 2003], "year", y=numbers), ()) == "year"
    assert find_times(table([2001, 2002, 2003], "sales", y=numbers), ()) is None
    assert find_times(table([1, 2, 3], "time", y=numbers), ()) is None
    assert find_times(table([1, 2, 3], "ds", y=numbers), ()) == "ds"
    assert find_times(table(dates, "date", created=dates), ()) == "date"
    assert find_times(table([*dates[:2], "Total"], "Tag"), ()) == "Tag"  # and what is none is refused when it is read
    assert find_times(table(["monday", "tuesday", "friday"], "date"), ()) == "date"
    assert find_times(table(["monday", "tuesday", "friday"], "weekday"), ()) is None
    assert find_times(table(["10:00", "11:00", "12:00"], "time"), ()) is None
    with pytest.raises(UsageError, match=r"times stand in 'from' and in 'to'; say which with --time"):
        find_times(table(dates, "from", to=dates), ())


# ---- steps -----------------------------------------------------------------------------------------------------------

FREQUENCIES = [
    "D", "2D", "3D", "30D", "45D", "B", "W-SUN", "W-WED", "2W-MON", "4W-MON", "MS", "ME", "2MS", "QS-JAN", "QE-DEC",
    "QS-FEB", "YS-JAN", "YE-DEC", "YS-APR", "2YS-JAN", "h", "2h", "6h", "30min", "15min", "5min", "min", "s", "10s",
    "ms", "us",
]  # fmt: skip


# Pandas 2 calls the same quarters by the last of the months that they begin in, pandas 3 by the first.
SAME_QUARTERS = {"QS-OCT": "QS-JAN", "QS-NOV": "QS-FEB", "QS-DEC": "QS-MAR"}


def inferred(times: pd.DatetimeIndex) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it will give an offset, some day
        found = pd.infer_freq(times)
    name = found if isinstance(found, str) else found.freqstr
    return SAME_QUARTERS.get(name, name) if pd.__version__ < "3" else name


def inner(values: np.ndarray) -> np.ndarray:
    return np.ones(len(values) - 1, bool)


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_a_frequency_is_named_as_pandas_names_it(frequency):
    times = pd.date_range("2020-02-20", periods=40, freq=frequency)
    values = times.to_numpy().astype("M8[ns]")
    step = commonest_step(values, inner(values))
    assert step.name == inferred(times)
    assert told_step(frequency, values, inner(values)) == step
    position, on = step.positions(values, np.zeros(40, np.int64))
    assert on.all()
    assert position.tolist() == list(range(40))
    assert (step.times(values[:1].repeat(40), position) == values).all()


@pytest.mark.parametrize("frequency", FREQUENCIES)
@settings(max_examples=20)
@given(gone=st.sets(st.integers(1, 38), max_size=8))
def test_gaps_do_not_hide_the_step(frequency, gone):
    """Up to a fifth of the rows are missing, so that at least half of the steps left are whole ones."""
    times = pd.date_range("2020-02-20", periods=40, freq=frequency)
    kept = np.array([at not in gone for at in range(40)])
    values = times.to_numpy().astype("M8[ns]")[kept]
    step = commonest_step(values, inner(values))
    assert step.name == inferred(times)
    position, on = step.positions(values, np.zeros(len(values), np.int64))
    assert on.all()
    assert position.tolist() == np.flatnonzero(kept).tolist()


SEASONS = {
    "D": 7,
    "B": 5,
    "h": 24,
    "30min": 48,
    "15min": 96,
    "2h": 12,
    "W-SUN": 52,
    "MS": 12,
    "ME": 12,
    "2MS": 6,
    "QS-JAN": 4,
    "YS-JAN": None,
    "s": None,
}


@pytest.mark.parametrize("frequency", SEASONS)
def test_the_season_that_a_frequency_suggests(frequency):
    values = pd.date_range("2021-01-01", periods=40, freq=frequency).to_numpy().astype("M8[ns]")
    assert commonest_step(values, inner(values)).season == SEASONS[frequency]


def test_two_rows_are_a_step():
    for frequency in ("D", "h", "MS", "ME", "QS", "YS"):
        for first in ("2021-01-01", "2020-12-31", "2021-02-01", "2021-04-01"):
            times = pd.date_range(first, periods=2, freq=frequency)
            step = commonest_step(times.to_numpy().astype("M8[ns]"), np.ones(1, bool))
            assert step.name.startswith(frequency)


@pytest.mark.parametrize("frequency", ["nonsense", "-1D", "SME", "0D", ""])
def test_a_frequency_that_is_none_is_refused(frequency):
    values = DAYS.to_numpy().astype("M8[ns]")
    with pytest.raises(UsageError, match=r"--frequency .*; write it as pandas does"):
        told_step(frequency, values, inner(values))


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "Europe/London", "Europe/Athens", "America/Chicago", "Australia/Melbourne"]
)
@pytest.mark.parametrize("frequency", ["h", "30min", "15min"])
@pytest.mark.parametrize(
    "span", [("2020-12-01", "2023-01-15"), ("2021-03-01", "2021-04-10"), ("2021-10-01", "2021-11-20")]
)
def test_hours_of_summer_are_known_as_such(zone, frequency, span):
    moments = pd.date_range(*span, freq=frequency, tz=zone)
    clock = moments.tz_localize(None).to_numpy().astype("M8[ns]")
    if (np.diff(clock) == np.diff(clock)[0]).all():  # no change of the clocks in this span
        assert winter_time(clock, inner(clock)) is None
        return
    winter, _ = winter_time(clock, inner(clock))
    assert (np.diff(winter) == pd.Timedelta(moments.freq).to_timedelta64()).all()
    assert set((clock - winter).astype("m8[h]").astype(int)) == {0, 1}


def test_gaps_that_are_no_summer_hours_stay():
    moments = pd.date_range("2021-01-01", "2021-06-01", freq="h").to_numpy().astype("M8[ns]")
    for gone in (500, 2000):
        values = np.delete(moments, gone)
        assert winter_time(values, inner(values)) is None
