"""People's files as they come: read as they were written, or refused in one line that leads out."""

import csv
import gzip
import io
import subprocess
import sys
import time
import zipfile
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnnbench.errors import UsageError
from rnnbench.tables import opening, typed
from rnnbench.tables.options import TableOptions
from rnnbench.tables.reading import MOST_COLUMNS, read_table

GERMAN = "Datum;Last [MW]\n2021-01-01;1201,006\n2021-01-02;1242,661\n2021-01-03;12\n"
NAMES = 'time,"Load, MW"," Temp [°C] ","Wind ""m/s""",=x,Load\n0,1201.01,12.01,5,7,9\n1,1242.66,12.43,6,8,10\n'


@pytest.fixture
def file(tmp_path):
    return tmp_path / "series.csv"


def read(path, content, **options):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(TableOptions(path, **options))


def complaint(path, content, column="a", **options):
    """The error's one line, without the folder."""
    with pytest.raises(UsageError) as caught:
        read(path, content, **options).numbers(column)
    message = str(caught.value)
    assert message.isprintable()
    return message.replace(f"{path.parent}/", "")


# ---- what is read ----------------------------------------------------------------------------------------------------


def test_semicolons_and_decimal_commas_are_read_and_said(file):
    table = read(file, GERMAN)
    assert table.columns == ("Datum", "Last [MW]")
    assert table.numbers("Last [MW]").tolist() == [1201.006, 1242.661, 12.0]
    assert table.texts("Datum").tolist() == ["2021-01-01", "2021-01-02", "2021-01-03"]
    assert table.rows.tolist() == [2, 3, 4]
    assert table.remarks == ("semicolons", "decimal commas")


def test_a_column_is_named_whatever_its_name_holds(file):
    table = read(file, NAMES)
    names = ["time", "Load, MW", "Temp [°C]", 'Wind "m/s"', "=x", "Load"]
    assert list(table.columns) == names
    assert [table.numbers(name)[0] for name in names] == [0, 1201.01, 12.01, 5, 7, 9]
    assert table.numbers(" Temp [°C] ")[1] == 12.43


def test_a_name_is_found_however_its_accents_are_written(file):
    assert read(file, "Za\u0308hler\n1\n").numbers("Z\u00e4hler").tolist() == [1.0]


def test_a_name_may_hold_the_mark_that_numbers_hold(file):
    """Either mark gives two fields a line; a comma would cut a date and its value."""
    table = read(file, "Datum;Last, MW\n2021-01-01;1201,5\n2021-01-02;7,25\n")
    assert table.columns == ("Datum", "Last, MW")
    assert table.numbers("Last, MW").tolist() == [1201.5, 7.25]


# What one column holds, and its values: the decimal mark follows from the column alone.
WRITTEN = {
    "points": (["1.5", "1200.25", "-3"], [1.5, 1200.25, -3.0], ()),
    "commas": (["1,5", "1200,25", "-3"], [1.5, 1200.25, -3.0], ("decimal commas",)),
    "German thousands": (["1.234,5", "7"], [1234.5, 7.0], ("decimal commas", "thousands marks")),
    "English thousands": (["1,234.5", "7"], [1234.5, 7.0], ("thousands marks",)),
    "millions by points": (["1.234.567", "1.234"], [1234567.0, 1234.0], ("thousands marks",)),
    "millions by commas": (["1,234,567", "1,234"], [1234567.0, 1234.0], ("thousands marks",)),
    "Swiss": (["1'234.50", "2’000"], [1234.5, 2000.0], ("thousands marks",)),
    "French": (
        ["1 234,5", "2\u202f000,25", "3\u00a0000"],
        [1234.5, 2000.25, 3000.0],
        ("decimal commas", "thousands marks"),
    ),
    "a leading zero has no thousands": (["0,123", "1,234"], [0.123, 1.234], ("decimal commas",)),
    "four digits have no thousands": (["1013,250", "1,234"], [1013.25, 1.234], ("decimal commas",)),
    "percent": (["12 %", "3.5%"], [12.0, 3.5], ("per cent as written",)),
    "currency behind": (
        ["1.234,50 €", "-7,00 €"],
        [1234.5, -7.0],
        ("decimal commas", "thousands marks", "amounts in €"),
    ),
    "currency before": (["$1,234.50", "-$7", "$-8"], [1234.5, -7.0, -8.0], ("thousands marks", "amounts in $")),
    "a currency's code": (["EUR 5.5", "7 EUR"], [5.5, 7.0], ("amounts in EUR",)),
    "parentheses": (["(1,234.5)", "7", "($8)"], [-1234.5, 7.0, -8.0], ("thousands marks", "amounts in $")),
    "a sign behind": (["5.5-", "7"], [-5.5, 7.0], ()),
    "a long minus": (["−5.5", "+7"], [-5.5, 7.0], ()),
    "exponents": (["1e3", "1.5E-3", ".5", "5."], [1000.0, 0.0015, 0.5, 5.0], ()),
    "missing words": (["1.5", "", "n/a", "#N/A", "NaN", "-", "NULL", "?", "#NV"], [1.5] + [np.nan] * 8, ()),
    "nothing": (["", ""], [np.nan, np.nan], ()),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_numbers_are_read_as_people_write_them(file, name):
    cells, values, remarks = WRITTEN[name]
    table = read(file, "t;a\n" + "".join(f"x;{cell}\n" for cell in cells))
    np.testing.assert_array_equal(table.numbers("a"), values)
    assert table.remarks == ("semicolons", *remarks)


def test_what_a_column_leaves_open_the_file_decides(file):
    assert read(file, "a;b\n1,234;0,5\n").numbers("a").tolist() == [1.234]
    assert read(file, "a;b\n1,234;0.5\n").numbers("a").tolist() == [1234.0]
    table = read(file, "a;b;c\n1,234;5,678;0.5\n")
    assert [table.numbers(name).tolist() for name in "ab"] == [[1234.0], [5678.0]]
    assert read(file, "a,b\n1.234,x\n").numbers("a").tolist() == [1.234]  # a comma separates, and so is no decimal mark
    assert read(file, 'a,b\n"1,234",x\n').numbers("a").tolist() == [1234.0]
    assert read(file, 'a,b\n1.234,"0,5"\n').numbers("a").tolist() == [1234.0]


def test_what_is_told_is_not_inferred(file):
    assert read(file, "a;b\n1,234;0.5\n", decimal=",").numbers("a").tolist() == [1.234]
    assert read(file, "a;b\n1.234;0,5\n", decimal=".").numbers("a").tolist() == [1.234]
    assert read(file, "a b\n1 2\n", separator="space").columns == ("a", "b")
    assert read(file, "a,b\n1,2\n", separator=";").columns == ("a,b",)
    assert read(file, "ä\n1\n".encode("cp850"), encoding="cp850").columns == ("ä",)


HARMLESS = {
    "BOM": b"\xef\xbb\xbf" + b"a,b\n1,x\n2,y\n",
    "CRLF": b"a,b\r\n1,x\r\n2,y\r\n",
    "CR": b"a,b\r1,x\r2,y\r",
    "blank end": b"a,b\n1,x\n2,y\n\n \n,\n",
    "spaces": b"a, b\n1, x\n 2, y\n",
    "quotes": b'"a"," b"\n"1","x"\n"2","y"\n',
    "no last newline": b"a,b\n1,x\n2,y",
    "a separator at each end": b"a,b,\n1,x,\n2,y,\n",
    "a separator at each row's end": b"a,b\n1,x,\n2,y,\n",
    "tabs": b"a\tb\n1\tx\n2\ty\n",
    "an empty first field by tabs": b"b0\ta\tb\n\t1\tx\n\t2\ty\n",
    "pipes": b"a|b\n1|x\n2|y\n",
    "UTF-16": "a,b\n1,x\n2,y\n".encode("utf-16"),
    "UTF-16 without a mark": "a,b\n1,x\n2,y\n".encode("utf-16-le"),
    "UTF-16 the other way": "a,b\n1,x\n2,y\n".encode("utf-16-be"),
    "gzip": gzip.compress(b"a,b\n1,x\n2,y\n"),
    "a text of several lines": b'a,b\n1,"x\n\nz"\n2,y\n',
    "semicolons in texts": b"a,b\n1,x;y\n2,y\n",
    "others twice": b"a,b,b\n1,x,y\n2,y,x\n",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_variants_are_read(file, name):
    table = read(file, HARMLESS[name])
    assert table.columns[-1 if name != "others twice" else 1] == "b"
    assert table.numbers("a").tolist() == [1.0, 2.0]


def test_rows_are_counted_as_an_editor_counts_lines(file):
    table = read(file, 'a,b\n1,"x\n\nz"\n2,y\n')
    assert table.rows.tolist() == [2, 5]
    assert str(table.place(1, "b").error("wrong")) == f"{file}, row 5, column 'b': wrong"


def test_another_encoding_is_said_aloud(file):
    table = read(file, "Größe;Preis €\n1;2\n".encode("cp1252"))
    assert table.columns == ("Größe", "Preis €")
    assert table.remarks == ("read as cp1252, as it is not UTF-8", "semicolons")
    assert read(file, b"a\x81b\n1\n").remarks == ("read as latin-1, as it is not UTF-8",)
    assert read(file, "a\n1\n".encode("utf-16")).remarks == ("UTF-16",)


def test_a_first_line_may_say_what_separates_the_columns(file):
    table = read(file, "sep=;\r\na,b;c\r\n1,5;x\r\n")
    assert table.columns == ("a,b", "c")
    assert table.rows.tolist() == [3]
    assert table.numbers("a,b").tolist() == [1.5]


def test_a_single_column_may_have_decimal_commas(file):
    assert read(file, "a\n1201,5\n7\n8\n").numbers("a").tolist() == [1201.5, 7, 8]


def test_a_long_single_column_takes_no_longer_than_any_file(file):
    start = time.process_time()
    assert len(read(file, "a\n" + "1\n" * 40_000).rows) == 40_000
    assert time.process_time() - start < 2


def test_standard_input_is_read(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GERMAN.encode())))
    table = read_table(TableOptions("-"))
    assert table.numbers("Last [MW]")[0] == 1201.006
    assert table.source == "standard input"


# ---- what was written is what is read --------------------------------------------------------------------------------

WORDS = st.text("abcÄé€ ,;|'\"=-", min_size=1, max_size=6).map(lambda text: f"n{text}x".replace("\n", ""))
MARKS = [",", ";", "\t", "|"]


@st.composite
def dialects(draw):
    decimal = draw(st.sampled_from(".,"))
    thousands = draw(st.sampled_from(["", "", " ", "'", ",", "."]).filter(lambda mark: mark != decimal))
    return {
        "separator": draw(st.sampled_from(MARKS)),
        "decimal": decimal,
        "thousands": thousands,
        "before": draw(st.sampled_from(["", "", "", "$", "EUR "])),
        "places": draw(st.integers(0, 5)),
        "encoding": draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"])),
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        "end": draw(st.sampled_from(["\n", "\r\n"])),
    }


@st.composite
def tables(draw):
    """Names, and rows of numbers (as whole multiples of the last place, or None), after a first column of words."""
    names = draw(st.lists(WORDS, min_size=2, max_size=4, unique_by=str.strip))
    number = st.none() | st.integers(-(10**9), 10**9) | st.integers(-2000, 2000)
    row = st.tuples(WORDS, *[number] * (len(names) - 1))
    return names, draw(st.lists(row, min_size=1, max_size=8))


def written(number, dialect):
    """A number as this dialect writes it, and the value that these digits have."""
    if number is None:
        return "", np.nan
    plain = f"{Decimal(number).scaleb(-dialect['places']):,.{dialect['places']}f}"
    marks = str.maketrans({",": dialect["thousands"], ".": dialect["decimal"]})
    sign, digits = ("-", plain[1:]) if number < 0 else ("", plain)
    return f"{sign}{dialect['before']}{digits.translate(marks)}", float(plain.replace(",", ""))


def file_of(table, dialect):
    names, rows = table
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=dialect["separator"], quoting=dialect["quoting"], lineterminator=dialect["end"])
    writer.writerow(names)
    for word, *numbers in rows:
        writer.writerow([word, *(written(number, dialect)[0] for number in numbers)])
    return out.getvalue().encode(dialect["encoding"])


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(tables(), dialects(), st.booleans())
def test_what_is_read_is_what_was_written_or_an_option_is_named(tmp_path_factory, table, dialect, told):
    """Told how it is written, every table is read; told nothing, it is read right or refused."""
    path = tmp_path_factory.mktemp("dialect") / "a.csv"
    names, rows = table
    path.write_bytes(file_of(table, dialect))
    options = {name: dialect[name] for name in ("separator", "decimal", "encoding")} if told else {}
    try:
        found = read_table(TableOptions(path, **options))
        assert found.columns == tuple(name.strip() for name in names)
        assert found.texts(names[0]).tolist() == [row[0].strip() for row in rows]
        for at, name in enumerate(names[1:], 1):
            expected = [written(row[at], dialect)[1] for row in rows]
            np.testing.assert_array_equal(found.numbers(name), expected)
    except UsageError as error:
        refused = str(error)
    else:
        return
    assert not told
    assert any(f"--{name}" in refused for name in ("separator", "decimal", "encoding"))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_values_are_those_of_float_to_the_last_bit(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("bits") / "a.csv"
    path.write_text("a,b\n" + "".join(f"{value!r},x\n" for value in values))
    found = read_table(TableOptions(path)).numbers("a")
    assert found.tobytes() == np.array(values).tobytes()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(), min_size=1, max_size=20))
def test_the_fast_reading_and_the_slow_one_agree(tmp_path_factory, values):
    """A cell of another form, "?" for missing, sends the whole column the slow way."""
    path = tmp_path_factory.mktemp("ways") / "a.csv"
    path.write_text("a,b\n" + "".join(f"{value!r},\n" for value in values))
    fast = read_table(TableOptions(path)).numbers("a")
    path.write_text("a,b\n" + "".join(f"{value!r},\n" for value in values) + "?,1\n")
    slow = read_table(TableOptions(path)).numbers("a")
    assert fast.tobytes() == slow[:-1].tobytes()


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=60) | st.text("ab12.,;|\t\"'\n-€%() \r#", max_size=80).map(str.encode))
def test_no_bytes_bring_it_down(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "a.csv"
    path.write_bytes(b"a,b\n1,2\n" + content)
    try:
        table = read_table(TableOptions(path))
        values = [table.numbers(name) for name in dict.fromkeys(table.columns) if table.columns.count(name) == 1]
    except UsageError as error:
        refused = str(error)
    else:
        assert not np.isinf(values).any()
        return
    assert len(refused.splitlines()) == 1


# ---- what is refused -------------------------------------------------------------------------------------------------


def archive(name):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr(name, "a,b\n1,2\n")
    return out.getvalue()


NO_NUMBER = "is not a number; write it like 1234.5"
ROWS = "a,b\n" + "".join(f"{n},{n}\n" for n in range(3))
BAD = {
    "nothing": ("", "series.csv: the file is empty; it needs a header and a row per time step"),
    "blanks alone": (" \n\n", "series.csv: the file is empty; it needs a header and a row per time step"),
    "a mark alone": (b"\xef\xbb\xbf", "series.csv: the file is empty; it needs a header and a row per time step"),
    "quotes around nothing": ('""\n""\n', "series.csv: the file is empty; it needs a header and a row per time step"),
    "separators alone": (";;\n;;\n", "series.csv: the file is empty; it needs a header and a row per time step"),
    "a header alone": ("a,b\n", "series.csv: there is a header and no row under it; it needs a row per time step"),
    "blanks under it": (
        "a,b\n,\n\n",
        "series.csv: there is a header and no row under it; it needs a row per time step",
    ),
    "no header": ("1,2\n3,4\n", "series.csv, row 1: the first line holds numbers, not names of columns; add a header"),
    "no header, times": (
        "2021-01-01 10:00;1,5\n2021-01-01 11:00;2\n",
        "series.csv, row 1: the first line holds numbers, not names of columns; add a header",
    ),
    "no header, percent": (
        "5 %,1\n6 %,2\n",
        "series.csv, row 1: the first line holds numbers, not names of columns; add a header",
    ),
    "a blank first line": ("\na,b\n1,2\n", "series.csv, row 1: the line is blank; fill it or take it out"),
    "a first line of commas": (",\na,b\n1,2\n", "series.csv, row 1: the line is blank; fill it or take it out"),
    "a blank line": ("a,b\n1,2\n\n3,4\n", "series.csv, row 3: the line is blank; fill it or take it out"),
    "a line of spaces": ("a,b\n1,2\n  \n3,4\n", "series.csv, row 3: the line is blank; fill it or take it out"),
    "too few fields": (ROWS + "3\n4,4\n", "series.csv, row 5: 1 field where the header has 2; mend the row"),
    "too many fields": (ROWS + "3,3,3\n", "series.csv, row 5: 3 fields where the header has 2; mend the row"),
    "one separator too many": (ROWS + "3,3,\n", "series.csv, row 5: 3 fields where the header has 2; mend the row"),
    "decimal commas between commas": (
        "a,b\n1,5,2\n",
        "series.csv, row 1: 2 fields in the first line and 3 under it, if commas separate them; "
        "take out what stands above the header, quote what holds commas, or name another --separator",
    ),
    "a title above the header": (
        "Load of 2021\nday;a\nx;1\ny;2\n",
        "series.csv, row 1: 1 field in the first line and 2 under it, if semicolons separate them; "
        "take out what stands above the header, quote what holds semicolons, or name another --separator",
    ),
    "one name over two fields": (
        "a\n1,5\n2,5\n",
        "series.csv, row 1: 1 field in the first line and 2 under it, if commas separate them; "
        "take out what stands above the header, quote what holds commas, or name another --separator",
    ),
    "spaces between columns": (
        "a b\n1 2\n3 4\n",
        "series.csv: one column, unless spaces separate several; then say --separator space, else --separator ,",
    ),
    "two numbers in a cell": ("a,b\n1 2,3\n", f"series.csv, row 2, column 'a': '1 2' {NO_NUMBER}"),
    "two separators": (
        "a,a;b\nx,y;z\nx,y;z\n",
        "series.csv: several marks could separate the columns; say which with --separator",
    ),
    "a last column without a name": (
        "day,a,\nx,1,5\ny,2,5\n",
        "series.csv, row 1: the last column has values and no name; name it",
    ),
    "an open quote": (
        'a,b\n1,2\n"3,4\n',
        "series.csv, row 3: not well-formed CSV (unexpected end of data); mend the row",
    ),
    "a quote in the middle": (
        'a,b\n1,2\n"3"x,4\n',
        "series.csv, row 3: not well-formed CSV (',' expected after '\"'); mend the row",
    ),
    "a field without end": (
        "a,b\n1," + "x" * 200_000 + "\n",
        "series.csv, row 2: not well-formed CSV (field larger than field limit (131072)); mend the row",
    ),
    "NUL": (
        ROWS + "\0,1\n",
        "series.csv, row 5: holds the byte '\\x00', which no text does; save the file as CSV in UTF-8",
    ),
    "a control character": (
        "a,b\r\n1,\x1f\r\n",
        "series.csv, row 2: holds the byte '\\x1f', which no text does; save the file as CSV in UTF-8",
    ),
    "half of UTF-16": (
        "a,b\n1,2\n".encode("utf-16") + b"x",
        "series.csv: not utf-16 text (truncated data); name another with --encoding",
    ),
    "a web page": ("\n<!DOCTYPE html><html>", "series.csv: a web page or XML, not a table; download the file itself"),
    "XML": ('<?xml version="1.0"?>', "series.csv: a web page or XML, not a table; download the file itself"),
    "JSON": ('{"a": [1]}', "series.csv: JSON, not a table; save it as CSV"),
    "JSON records": ('[{"a": 1}]', "series.csv: JSON, not a table; save it as CSV"),
    "a PDF": ("%PDF-1.7\n", "series.csv: a PDF, not a table; save it as CSV"),
    "a ZIP archive": (archive("a.csv"), "series.csv: a ZIP archive; unpack it and give the table in it"),
    "a torn ZIP archive": (
        archive("a.csv")[:40],
        "series.csv: not a sound ZIP archive or Excel file (File is not a zip file); save it again",
    ),
    "a workbook of nothing": (archive("[Content_Types].xml"), "series.csv: not a sound Excel file ("),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1", "series.csv: an old Excel file; save it as .xlsx or CSV"),
    "torn Parquet": (b"PAR1abc", "series.csv: not a sound Parquet file ("),
    "torn gzip": (gzip.compress(ROWS.encode())[:-9], "series.csv: not sound gzip (Compressed file ended before"),
    "damaged gzip": (b"\x1f\x8b\x00\x00", "series.csv: not sound gzip ("),
    "a word": ("a,b\n1,2\nx,4\n", f"series.csv, row 3, column 'a': 'x' {NO_NUMBER}"),
    "a word in a long text": (
        "a,b\n1,2\n" + "x" * 99 + ",4\n",
        f"series.csv, row 3, column 'a': 'xxxxxxxxxxxx...xxxxxxxxxxxxx' {NO_NUMBER}",
    ),
    "a unit": ("a,b\n1,2\n3 kg,4\n", f"series.csv, row 3, column 'a': '3 kg' {NO_NUMBER}"),
    "a date": ("a,b\n2021-01-01,4\n", f"series.csv, row 2, column 'a': '2021-01-01' {NO_NUMBER}"),
    "a time": ("a,b\n10:00,4\n", f"series.csv, row 2, column 'a': '10:00' {NO_NUMBER}"),
    "underscores": ("a,b\n1_000,4\n", f"series.csv, row 2, column 'a': '1_000' {NO_NUMBER}"),
    "hexadecimal": ("a,b\n0x10,4\n", f"series.csv, row 2, column 'a': '0x10' {NO_NUMBER}"),
    "other digits": ("a,b\n١٢,4\n", f"series.csv, row 2, column 'a': '١٢' {NO_NUMBER}"),
    "two signs": ("a,b\n--5,4\n", f"series.csv, row 2, column 'a': '--5' {NO_NUMBER}"),
    "a sign in parentheses": ("a,b\n(-5),4\n", f"series.csv, row 2, column 'a': '(-5)' {NO_NUMBER}"),
    "an open parenthesis": ("a,b\n(5,4\n", f"series.csv, row 2, column 'a': '(5' {NO_NUMBER}"),
    "an error of a sheet": ("a,b\n#DIV/0!,4\n", f"series.csv, row 2, column 'a': '#DIV/0!' {NO_NUMBER}"),
    "units under the header": (
        "a,b\nMW,h\n1,2\n",
        "series.csv, row 2, column 'a': 'MW' is no number, unlike what is under it; "
        "take out lines of units or comments under the header",
    ),
    "infinity": (
        "a,b\n1,2\ninf,4\n",
        "series.csv, row 3, column 'a': 'inf' is not finite; fill it or take the row out",
    ),
    "negative infinity": (
        "a,b\n-Infinity,4\n",
        "series.csv, row 2, column 'a': '-Infinity' is not finite; fill it or take the row out",
    ),
    "beyond all bounds": (
        "a,b\n1e999,4\n",
        "series.csv, row 2, column 'a': '1e999' is not finite; fill it or take the row out",
    ),
    "thousands or decimals": (
        "a;b\n1,234;x\n",
        "series.csv, row 2, column 'a': '1,234' may have thousands or decimals; "
        "say which with --decimal . or --decimal ,",
    ),
    "thousands or decimals by points": (
        "a;b\n5;x\n1.234;x\n",
        "series.csv, row 3, column 'a': '1.234' may have thousands or decimals; "
        "say which with --decimal . or --decimal ,",
    ),
    "columns that contradict each other": (
        "a;b;c\n1,234;0,5;0.5\n",
        "series.csv, row 2, column 'a': '1,234' may have thousands or decimals; "
        "say which with --decimal . or --decimal ,",
    ),
    "both marks for decimals": (
        "a;b\n0.5;x\n1.5;x\n2,5;x\n",
        "series.csv, row 4, column 'a': '2,5' is no number with decimal points, as others here; "
        "write it alike or give --decimal",
    ),
    "thousands of two digits": (
        "a;b\n0.5;x\n12,34.5;x\n",
        "series.csv, row 3, column 'a': '12,34.5' is no number with decimal points, as others here; "
        "write it alike or give --decimal",
    ),
    "per cent and not": (
        "a,b\n5 %,x\n6,x\n",
        "series.csv, row 3, column 'a': '6' is in another unit than other cells, '%'; write all of them alike",
    ),
    "two currencies": (
        "a,b\n€5,x\n6,x\n$7,x\n",
        "series.csv, row 4, column 'a': '$7' is in another unit than other cells, '€'; write all of them alike",
    ),
    "a near name": ("aa,b\n1,2\n", "series.csv: there is no column 'a'; did you mean 'aa'?"),
    "a strange name": ("x,y\n1,2\n", "series.csv: there is no column 'a'; the columns are ['x', 'y']"),
    "another case": ("A,b\n1,2\n", "series.csv: there is no column 'a'; did you mean 'A'?"),
    "a name twice": ("a,b,a\n1,2,3\n", "series.csv: there are 2 columns 'a'; rename all but one"),
    "one column": (
        "x: y\n1\n",
        "series.csv: there is no column 'a'; the only one is 'x: y'; if it is several, give their --separator",
    ),
    "a name without end": (
        "x" * 10_000 + ",b\n1,2\n",
        "series.csv, row 1: the name of a column has 10000 characters, at most 300 are taken; shorten it",
    ),
    "too many columns": (
        ",".join(f"c{n}" for n in range(MOST_COLUMNS + 1)) + "\n",
        f"series.csv, row 1: {MOST_COLUMNS + 1} columns, at most {MOST_COLUMNS} are taken; keep those you need",
    ),
}


def test_there_are_as_many_bad_files_as_were_thought_of():
    assert len(BAD) >= 60


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gets_one_line(file, name):
    content, message = BAD[name]
    told = complaint(file, content)
    assert told.startswith(message) if message.endswith("(") or "gzip" in message else told == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"separator": ";;"}, "the separator must be one character or 'tab'; got ';;'"),
        ({"separator": '"'}, "the separator must be one character or 'tab'; got '\"'"),
        ({"decimal": "x"}, "the decimal mark is . or ,; got 'x'"),
        ({"encoding": "klingon"}, "there is no encoding 'klingon'; say utf-8, utf-16, cp1252 or latin-1"),
        ({"encoding": "hex"}, "there is no encoding 'hex'; say utf-8, utf-16, cp1252 or latin-1"),
        ({"encoding": "ascii"}, "series.csv: not ascii text (ordinal not in range(128)); name another with --encoding"),
        ({"decimal": ","}, "series.csv, row 2, column 'a': '1.5' is no number with decimal commas, as others here; "
                           "write it alike or give --decimal"),
    ],
)  # fmt: skip
def test_a_bad_option_gets_one_line(file, options, message):
    assert complaint(file, "a,ä\n1.5,2\n", **options) == message


def test_what_is_no_file_is_told(tmp_path):
    def told(source):
        with pytest.raises(UsageError) as caught:
            read_table(TableOptions(source))
        return str(caught.value).replace(f"{tmp_path}/", "")

    assert (
        told(tmp_path / "no.csv")
        == "no.csv: no such file or directory; give the path of a CSV file, or - for standard input"
    )
    (tmp_path / "folder").mkdir()
    assert (
        told(str(tmp_path / "folder")) == "folder: is a directory; give the path of a CSV file, or - for standard input"
    )
    assert "embedded null" in told("a\0b")
    assert told([1, 2]) == "a table is a path or a pandas frame; got list"
    subprocess.run(["mkfifo", tmp_path / "pipe"], check=True)
    assert told(tmp_path / "pipe") == (
        "pipe: not an ordinary file; give the path of a CSV file, or - for standard input"
    )


@pytest.mark.parametrize(
    "content", [b"a\n" + b"1\n" * 99, gzip.compress(b"a\n" + b"1\n" * 99)], ids=["plain", "packed"]
)
def test_a_file_over_the_limit_is_told(file, monkeypatch, content):
    monkeypatch.setattr(opening, "MOST_BYTES", 100)
    assert complaint(file, content) == (
        "series.csv: larger than the 100 bytes that are read; keep the columns and rows you need"
    )


# ---- tables with types -----------------------------------------------------------------------------------------------

FRAME = pd.DataFrame(
    {
        "ds": pd.to_datetime(["2021-01-01", "2021-01-02", "2021-01-03"]),
        "y": [1.5, np.nan, 1201.006],
        "n": [1, 2, 3],
        "id": ["a", "b", None],
    }
)


def saved(frame, folder, kind):
    path = folder / f"a.{kind}"
    if kind == "xlsx":
        frame.to_excel(path, index=False)
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("kind", ["frame", "csv", "parquet", "xlsx"])
def test_a_frame_reads_alike_however_it_is_kept(tmp_path, kind):
    source = FRAME if kind == "frame" else saved(FRAME, tmp_path, kind)
    table = read_table(TableOptions(source))
    assert table.columns == ("ds", "y", "n", "id")
    assert table.rows.tolist() == [2, 3, 4]
    assert table.numbers("y").tobytes() == FRAME["y"].to_numpy().tobytes()
    assert table.numbers("n").tolist() == [1, 2, 3]
    assert table.texts("id").tolist() == ["a", "b", ""]
    assert table.typed("id") is None
    times = table.typed("ds")
    assert (times is None) == (kind == "csv")
    if times is not None:
        assert times.tolist() == FRAME["ds"].tolist()
        with pytest.raises(UsageError, match=r"column 'ds': it holds datetime64\[.*\], not numbers"):
            table.numbers("ds")


def test_what_a_frame_has_as_its_index_becomes_a_column():
    y = pd.Series([1.0, 2.0], index=pd.date_range("2021-01-01", periods=2), name="y")
    assert read_table(TableOptions(y.to_frame())).columns == ("time", "y")
    assert read_table(TableOptions(y)).columns == ("time", "y")
    assert read_table(TableOptions(y.rename_axis("day").to_frame())).columns == ("day", "y")
    assert read_table(TableOptions(y.to_period("D").to_frame())).typed("time")[1] == pd.Timestamp("2021-01-02")
    assert read_table(TableOptions(y.reset_index(drop=True).to_frame())).columns == ("y",)
    long = pd.DataFrame({"y": [1.0, 2.0]}, index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["id", "t"]))
    assert read_table(TableOptions(long)).texts("id").tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pd.array([1, None], dtype="Int64"), [1, np.nan]),
        (pd.Categorical([2.0, 1.0]), [2, 1]),
        ([True, False], [1, 0]),
        (np.array([Decimal("1.5"), None], object), [1.5, np.nan]),
        (np.array([None, None], object), [np.nan, np.nan]),
        (["1.234,5", "7"], [1234.5, 7]),
        (np.array(["0.5", 7.25], object), [0.5, 7.25]),
    ],
)
def test_columns_of_a_frame_of_many_types_are_numbers(column, values):
    np.testing.assert_array_equal(read_table(TableOptions(pd.DataFrame({"a": column}))).numbers("a"), values)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"a": [1.0, np.inf]}, "the frame, row 3, column 'a': the value is not finite; fill it or take the row out"),
        ({"a": [1 + 2j]}, "the frame, column 'a': it holds complex128, not numbers; name another column"),
        ({"a": ["1.234"]}, "the frame, row 2, column 'a': '1.234' may have thousands or decimals; say which with"),
        ({"a": []}, "the frame: there is a header and no row under it; it needs a row per time step"),
        ({("a", "b"): [1]}, "the frame: its columns have several levels; flatten them to one name each"),
        ({"A": [1]}, "the frame: there is no column 'a'; did you mean 'A'?"),
    ],
)
def test_a_bad_frame_gets_one_line(frame, message):
    with pytest.raises(UsageError) as caught:
        read_table(TableOptions(pd.DataFrame(frame))).numbers("a")
    assert str(caught.value).startswith(message)


def workbook(path, *sheets):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets:
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_a_sheet_is_read_with_the_rows_that_it_shows(tmp_path):
    rows = [[], ["day", "y", "note"], [date(2021, 1, 1), 1, "x"], [datetime(2021, 1, 2, 3), None, 5]]
    path = workbook(tmp_path / "a.xlsx", ("One", rows), ("Two", [["z"], [7]]))
    table = read_table(TableOptions(path))
    assert table.remarks == ("sheet 'One', the first of 2",)
    assert table.rows.tolist() == [3, 4]
    np.testing.assert_array_equal(table.numbers("y"), [1, np.nan])
    assert table.texts("note").tolist() == ["x", "5"]
    assert table.typed("day").tolist() == [pd.Timestamp("2021-01-01"), pd.Timestamp("2021-01-02 03:00")]
    assert read_table(TableOptions(path, sheet="Two")).numbers("z").tolist() == [7]
    with pytest.raises(UsageError, match=r"a\.xlsx: there is no sheet 'two'; did you mean 'Two'\?"):
        read_table(TableOptions(path, sheet="two"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "a.xlsx: the sheet is empty; it needs a header and a row per time step"),
        ([["a", "b"]], "a.xlsx: there is a header and no row under it; it needs a row per time step"),
        ([["a"], [1], [], [2]], "a.xlsx, row 3: the line is blank; fill it or take it out"),
        ([[], ["a"], [1, 2]], "a.xlsx, row 3: a value right of the header's 1 columns; mend the row"),
        ([["a"], [1], ["#DIV/0!"]], f"a.xlsx, row 3, column 'a': '#DIV/0!' {NO_NUMBER}"),
    ],
)
def test_a_bad_sheet_gets_one_line(tmp_path, rows, message):
    path = workbook(tmp_path / "a.xlsx", ("One", rows))
    with pytest.raises(UsageError) as caught:
        read_table(TableOptions(path)).numbers("a")
    assert str(caught.value).replace(f"{tmp_path}/", "") == message


def test_a_table_that_is_larger_than_its_file_is_refused(tmp_path, monkeypatch):
    """Ten million equal values are some bytes of Parquet, or of a workbook's archive."""
    monkeypatch.setattr(typed, "MOST_CELLS", 10)
    path = saved(pd.DataFrame({"a": np.zeros(11)}), tmp_path, "parquet")
    with pytest.raises(UsageError, match=r"a\.parquet: 11 cells, and 10 are read; keep the columns"):
        read_table(TableOptions(path))
    path = workbook(tmp_path / "a.xlsx", ("One", [["a"], *[[7]] * 5000]))
    with monkeypatch.context() as patch:
        patch.setattr(typed, "MOST_ROWS", 5000)
        with pytest.raises(UsageError, match="a sheet of more than 5000 rows; save it again"):
            read_table(TableOptions(path))
    monkeypatch.setattr(opening, "MOST_BYTES", path.stat().st_size)
    with pytest.raises(UsageError, match="bytes that are read, once unpacked"):
        read_table(TableOptions(path))


@pytest.mark.parametrize(
    ("module", "kind", "extra"), [("pyarrow", "parquet", "parquet"), ("openpyxl", "xlsx", "excel")]
)
def test_what_reads_it_is_named_where_it_is_not_installed(tmp_path, monkeypatch, module, kind, extra):
    path = saved(FRAME, tmp_path, kind)
    for name in (module, f"{module}.{kind}"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=rf"pip install 'rnnbench\[{extra}\]'"):
        read_table(TableOptions(path))


# ---- size ------------------------------------------------------------------------------------------------------------

LARGE = """
import resource, sys, time
from rnnbench.tables.options import TableOptions
from rnnbench.tables.reading import read_table
import numpy, pandas
held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.process_time()
table = read_table(TableOptions(sys.argv[1]))
values = [table.numbers(name) for name in ("a", "b")]
print(len(values[0]), time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held)
"""


@pytest.mark.slow
@pytest.mark.parametrize("decimal", [".", ","])
def test_a_million_rows_are_read_in_seconds(tmp_path, decimal):
    path = tmp_path / "large.csv"
    with path.open("w") as out:
        out.write("t;a;b\n")
        out.writelines(f"2021-01-01;{n};{n / 7:.4f}\n".replace(".", decimal) for n in range(1_000_000))
    done = subprocess.run([sys.executable, "-c", LARGE, str(path)], capture_output=True, text=True, check=True)
    rows, seconds, kibibytes = done.stdout.split()
    assert int(rows) == 1_000_000
    assert float(seconds) < 10
    assert int(kibibytes) < 1 << 20
