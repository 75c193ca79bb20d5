"""A task from the user's CSV file, and the one line that a bad file gets."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnbench.backends.base import ID_PATTERN
from rnnbench.errors import UsageError
from rnnbench.tables.place import Place
from rnnbench.tasks.csv_file import csv_task
from rnnbench.tasks.scores import persistence
from rnnbench.tasks.sunspots import SUNSPOTS
from rnnbench.tasks.table import MOST_COLUMNS, read_columns

ROWS = 60


def text(a=None, b=None) -> str:
    """A file of two columns, whose values a test replaces where it likes: {index: field}."""
    lines = ["day,a,b"]
    for n in range(ROWS):
        lines.append(f"{n},{(a or {}).get(n, n % 7)},{(b or {}).get(n, n % 5)}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "series.csv"


def complaint(path: Path, target: str = "a", **options) -> str:
    """The error's one line, without the folder."""
    with pytest.raises(UsageError) as caught:
        csv_task(path, target, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{path.parent}/", "")


def test_the_series_is_read_and_cut(file):
    file.write_text(text())
    task = csv_task(file, "a", features=["b"], window=4, horizon=2)
    data = task.data(0)
    assert task.input_size == 2
    assert data.test.count == ROWS // 5
    assert data.train.count == ROWS - ROWS // 5 - 5
    known = np.arange(ROWS - ROWS // 5) % 7
    assert data.test.target[-1, 0] == pytest.approx(((ROWS - 1) % 7 - known.mean()) / known.std(), rel=1e-12)
    assert data.test.x[-1, -1, 0] == pytest.approx(((ROWS - 3) % 7 - known.mean()) / known.std(), rel=1e-12)
    other = np.arange(ROWS - ROWS // 5) % 5
    assert data.test.x[-1, -1, 1] == pytest.approx(((ROWS - 3) % 5 - other.mean()) / other.std(), rel=1e-12)


def test_it_is_scored_as_sunspots_are(file):
    file.write_text(text())
    task = csv_task(file, "a")
    test = task.data(0).test
    assert (task.baseline, task.score_name, task.metric) == (SUNSPOTS.baseline, SUNSPOTS.score_name, SUNSPOTS.metric)
    assert task.score(persistence(test), test) == 1
    assert not task.learned(1.0)


def test_the_test_rows_do_not_reach_the_training_part(file):
    file.write_text(text())
    before = csv_task(file, "a", ["b"]).data(0)
    file.write_text(text({n: 1000 + n * n for n in range(48, ROWS)}, {n: -n for n in range(48, ROWS)}))
    after = csv_task(file, "a", ["b"]).data(0)
    assert before.train.x.tobytes() == after.train.x.tobytes()
    assert before.train.target.tobytes() == after.train.target.tobytes()
    assert before.test.target.tobytes() != after.test.target.tobytes()


def test_the_target_named_as_a_feature_is_one_input(file):
    file.write_text(text())
    assert csv_task(file, "a", ["b", "a", "b"]).input_size == 2


def test_the_id_tells_data_and_cut_apart_but_not_folders(file, tmp_path):
    file.write_text(text())
    ids = [csv_task(file, "a").id, csv_task(file, "b").id, csv_task(file, "a", window=5).id]
    file.write_text(text({3: 99}))
    ids.append(csv_task(file, "a").id)
    assert len(set(ids)) == 4
    (tmp_path / "other").mkdir()
    same = tmp_path / "other" / "series.csv"
    same.write_text(text({3: 99}))
    assert csv_task(same, "a").id == ids[-1]


@pytest.mark.parametrize("name", ["Übung 1.csv", "…", "a" * 200 + ".csv", "--x.csv", "<b>.csv"])
def test_any_file_name_gives_a_valid_id(tmp_path, name):
    path = tmp_path / name
    path.write_text(text())
    assert ID_PATTERN.fullmatch(csv_task(path, "a").id)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + text().replace("day,a,b", "a,day,b").encode(),
        text().replace("\n", "\r\n").encode(),
        text().replace("\n", "\r").encode(),
        (text() + "\n\n\n").encode(),
        text().replace(",", ", ").encode(),
        text().replace("day,a,b", '"day"," a ","b"').encode(),
        text({3: '"5"', 4: "1e1", 5: "+.5", 6: " 2 "}).encode(),
        text().rstrip("\n").encode(),
        text().replace("day,a,b", "b,a,b").encode(),
    ],
    ids=["BOM", "CRLF", "CR", "blank end", "spaces", "quoted header", "numbers", "no last newline", "others twice"],
)
def test_harmless_variants_are_read(file, content):
    file.write_bytes(content)
    assert csv_task(file, "a").data(0).test.count == ROWS // 5


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "series.csv: the file is empty; it needs a header and a row per time step"),
        ("day,a,b\n", "series.csv: there is a header and no row under it; it needs a row per time step"),
        (text({7: "high"}), "series.csv, row 9, column 'a': 'high' is not a number; write it like 1234.5"),
        (text({7: "1_000"}), "series.csv, row 9, column 'a': '1_000' is not a number; write it like 1234.5"),
        (text({7: '"1,5"'}), "series.csv, row 9, column 'a': '1,5' is not a number; write it like 1234.5"),
        (text({0: ""}), "series.csv, row 2, column 'a': the value is missing; fill it or take the row out"),
        (text({59: "NaN"}), "series.csv, row 61, column 'a': the value is missing; fill it or take the row out"),
        (text({7: "-inf"}), "series.csv, row 9, column 'a': '-inf' is not finite; fill it or take the row out"),
        (text({7: "1e999"}), "series.csv, row 9, column 'a': '1e999' is not finite; fill it or take the row out"),
        (text({7: "1,2"}), "series.csv, row 9: 4 fields where the header has 3; mend the row"),
        (text().replace("\n9,2,4", "\n9,2"), "series.csv, row 11: 2 fields where the header has 3; mend the row"),
        (text().replace("\n9,", "\n\n9,"), "series.csv, row 11: the line is blank; fill it or take it out"),
        (text().replace("day", "a"), "series.csv, row 1: there are 2 columns 'a'; rename all but one"),
        (text().replace(",a,", ",aa,"), "series.csv, row 1: there is no column 'a'; did you mean 'aa'?"),
        (text().replace(",a,", ",x,"), "series.csv, row 1: there is no column 'a'; the columns are ['day', 'x', 'b']"),
        (text().replace(",", ";"), "series.csv, row 1: there is no column 'a'; separate the columns by commas"),
        (
            text(dict.fromkeys(range(ROWS), 4)),
            "series.csv, column 'a': it stays as it was in all 12 forecasts of the test part; "
            "there is nothing to forecast",
        ),
        (
            text({n: 1e300 * n for n in range(ROWS)}),
            "series.csv: a column's values are too large or too close together; rescale it",
        ),
        (
            text({n: 1e-300 * n for n in range(ROWS)}),
            "series.csv: a column's values are too large or too close together; rescale it",
        ),
        (
            "a\n" + "1\n2\n" * 12,
            "series.csv: 24 rows, and a window of 24 with a horizon of 1 needs 31; give more rows or a shorter window",
        ),
        (
            "a\n1\n",
            "series.csv: 1 rows, and a window of 24 with a horizon of 1 needs 31; give more rows or a shorter window",
        ),
        (
            ",".join(f"c{n}" for n in range(MOST_COLUMNS + 1)) + "\n",
            f"series.csv, row 1: {MOST_COLUMNS + 1} columns, at most {MOST_COLUMNS} are taken; keep those you need",
        ),
    ],
)
def test_a_bad_file_gets_one_line(file, content, expected):
    file.write_text(content)
    assert complaint(file) == expected


def test_a_feature_is_checked_like_the_target(file):
    file.write_text(text(b={4: "x"}))
    assert complaint(file, features=["b"]).startswith("series.csv, row 6, column 'b': 'x' is not a number")
    assert csv_task(file, "a").input_size == 1  # a column that nobody asked for may hold anything


def test_a_constant_feature_is_taken(file):
    file.write_text(text(b=dict.fromkeys(range(ROWS), 3)))
    assert not csv_task(file, "a", ["b"]).data(0).train.x[..., 1].any()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_a_file_in_a_wide_encoding_is_told(file, encoding):
    file.write_bytes(text().encode(encoding))
    assert complaint(file) == "series.csv, row 1: not UTF-8 text; save the file as CSV in UTF-8"


def test_a_file_in_latin_1_is_told_with_its_row(file):
    file.write_bytes(text({7: "é"}).encode("latin-1"))
    assert complaint(file) == "series.csv, row 9: not UTF-8 text; save the file as CSV in UTF-8"


def test_a_quote_that_is_never_closed_is_told_where_it_opens(file):
    file.write_text(text({7: '"5'}))
    assert complaint(file).startswith("series.csv, row 9: not well-formed CSV (")


def test_rows_after_a_field_of_several_lines_are_numbered_as_in_an_editor(file):
    file.write_text('note,a\n"two\nlines",1\nx,high\n')
    assert complaint(file).startswith("series.csv, row 4, column 'a'")


def test_a_path_that_no_system_takes_is_told():
    with pytest.raises(UsageError, match="embedded null"):
        csv_task("a\0b", "a")


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    assert complaint(tmp_path / "no.csv") == "no.csv: no such file or directory; give the path of a CSV file"
    (tmp_path / "folder").mkdir()
    assert complaint(tmp_path / "folder") == "folder: is a directory; give the path of a CSV file"


@pytest.mark.parametrize("option", ["window", "horizon"])
@pytest.mark.parametrize("size", [0, -3])
def test_sizes_below_one_are_refused_before_the_file_is_read(tmp_path, option, size):
    assert complaint(tmp_path / "no.csv", **{option: size}) == (
        f"--{option} takes a whole number from 1 to 2147483647; got {size}"
    )


@given(st.integers(1, 40), st.integers(1, 5))
def test_the_number_of_rows_that_is_asked_for_is_the_smallest_that_does(tmp_path_factory, window, horizon):
    path = tmp_path_factory.mktemp("csv") / "series.csv"

    def write(rows: int) -> None:
        path.write_text("a\n" + "".join(f"{n * n}\n" for n in range(rows)))

    write(2)
    needed = int(re.search(r"needs (\d+);", complaint(path, window=window, horizon=horizon)).group(1))
    write(needed - 1)
    assert f"needs {needed};" in complaint(path, window=window, horizon=horizon)
    write(needed)
    assert csv_task(path, "a", window=window, horizon=horizon).data(0).train.count >= 1


@given(st.binary(max_size=60))
def test_no_bytes_bring_it_down(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("csv") / "series.csv"
    path.write_bytes(b"a,b\n1,2\n" + content)
    try:
        values = read_columns(path, ["a"])
    except UsageError as error:
        lines = str(error).splitlines()
    else:
        assert np.isfinite(values).all()
        return
    assert len(lines) == 1


def test_a_column_name_cannot_break_the_line():
    assert "\n" not in str(Place(Path("x"), 1, "a\nb").error("wrong"))
