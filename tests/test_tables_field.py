"""Tables as people have them, each once refused without a way out, or read as what it is not."""

import csv
from pathlib import Path

import numpy as np
import pytest

from rnnbench import UsageError
from rnnbench.cli import main
from rnnbench.tables.options import TableOptions
from rnnbench.tables.panel import read_series

FIELD = Path(__file__).parent / "field"
TABLES = {path.name for path in FIELD.glob("*.csv")}


def series_of(name: str, **asked: object):
    return read_series(TableOptions(str(FIELD / name), **asked))


def columns_of(name: str, separator: str = ",") -> dict[str, list[str]]:
    """Read a file as plainly as can be."""
    with (FIELD / name).open(encoding="utf-8") as file:
        header, *rows = csv.reader(file, delimiter=separator)
    return dict(
        zip((field.strip() for field in header), (list(column) for column in zip(*rows, strict=True)), strict=True)
    )


def test_each_of_them_is_in_the_list():
    table = (FIELD / "README.md").read_text(encoding="utf-8")
    assert len(TABLES) == 4
    assert all(f"`{name}`" in table for name in TABLES)


def test_semicolons_and_decimal_commas_are_read_as_written():
    found = series_of("german.csv", target=("Last [MW]",))
    written = [float(text.replace(",", ".")) for text in columns_of("german.csv", ";")["Last [MW]"]]
    assert found.series[0].target.tolist() == written
    said = "; ".join(found.remarks)
    assert "semicolons" in said
    assert "decimal commas" in said
    assert found.frequency == "D"


def test_dates_in_descending_order_are_sorted_and_it_is_said():
    found = series_of("newest-first.csv", target=("Close",))
    assert found.series[0].target.tolist() == [float(text) for text in columns_of("newest-first.csv")["Close"]][::-1]
    assert (np.diff(found.series[0].times) > np.timedelta64(0)).all()
    assert "newest first, put in order" in found.remarks


def test_stacked_series_are_refused_by_the_column_that_tells_them_apart():
    with pytest.raises(UsageError) as caught:
        series_of("stacked-series.csv", target=("sales",))
    assert "'store'" in str(caught.value)
    assert "--id" in str(caught.value)
    assert str(caught.value).isprintable()


def test_stacked_series_are_five_with_their_column():
    found = series_of("stacked-series.csv", target=("sales",), id="store")
    columns = columns_of("stacked-series.csv")
    for series in found.series:
        own = [float(y) for store, y in zip(columns["store"], columns["sales"], strict=True) if store == series.id]
        assert series.target.tolist() == own
    assert [series.id for series in found.series] == sorted(set(columns["store"]))
    assert len(found.series) == 5


@pytest.mark.parametrize("name", ["Load, MW", 'Wind "m/s"', "=x", "Temp [°C]"])
def test_a_column_of_any_name_can_be_asked_for(name):
    others = ("Load",) if name != "Load" else ()
    found = series_of("column-names.csv", target=(name,), past=others)
    assert found.target == name
    assert found.series[0].target.tolist() == [float(text) for text in columns_of("column-names.csv")[name]]
    assert found.past == others


@pytest.mark.slow
@pytest.mark.parametrize(
    "asked",
    [
        ["german.csv", "--target", "Last [MW]"],
        ["newest-first.csv", "--target", "Close"],
        ["stacked-series.csv", "--target", "sales", "--id", "store"],
        ["column-names.csv", "--target", "Load, MW", "--past", 'Wind "m/s"', "--past", "=x"],
    ],
    ids=lambda asked: asked[0],
)
def test_each_is_compared_on(asked, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name, *columns = asked
    options = ["--cell", "rnn-tanh", "--backend", "numba", "--quick", "--steps", "5"]
    assert main(["compare", "--csv", str(FIELD / name), *columns, *options]) == 0
    assert "rnn-tanh" in capsys.readouterr().out


def test_stacked_series_are_a_usage_error_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "--csv", str(FIELD / "stacked-series.csv"), "--target", "sales"]) == 2
    assert "'store'" in capsys.readouterr().err
