import csv
import io
import os
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from stored_runs import failed, record, stored

from rnnbench.comparison.description import Description
from rnnbench.errors import UsageError
from rnnbench.records.record import COLUMNS, Record
from rnnbench.records.store import Run
from rnnbench.report import export, markdown, terminal
from rnnbench.report.document import Report


def printed(run: Run, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), markup=False, emoji=False, highlight=False)
    for part in terminal.render(Report.of(run), console):
        console.print(part)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def with_trouble(row: Record) -> Record:
    return failed(row, "mismatch", "off by 1.3e-2") if row.backend == "torch" and row.cell == "gru" else row


@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_table_fits_with_nothing_cut_or_wrapped(tmp_path: Path, width: int) -> None:
    backends = ("numba", "torch", "onnxruntime")
    lines = printed(stored(tmp_path, backends=backends, hidden_sizes=(16, 32), change=with_trouble), width)
    assert max(map(cell_len, lines)) <= width
    assert not any("…" in line for line in lines)
    body = [line for line in lines if line.split()[:1] and line.split()[0] in ("rnn-tanh", "lstm", "gru")]
    assert sum(line.split()[1] in backends for line in body) == 3 * 2 * 3


def test_the_wider_the_more_columns(tmp_path: Path) -> None:
    run = stored(tmp_path)
    heads = {
        width: next(line for line in printed(run, width) if line.startswith("cell")) for width in (60, 80, 120, 160)
    }
    assert "score" in heads[60]
    assert "infer" in heads[60]
    for column, width in (("params", 80), ("learned", 80), ("95 %", 80), ("to learn", 120), ("first call", 160)):
        assert column in heads[width]
    assert "to learn" not in heads[80]


def test_a_missing_figure_is_a_dash_and_its_reason_stands_below(tmp_path: Path) -> None:
    lines = printed(stored(tmp_path, backends=("numba", "torch"), change=with_trouble), 80)
    (row,) = [line for line in lines if line.startswith("gru") and "torch" in line.split()]
    assert "mismatch" in row
    assert row.count("–") >= 3
    assert any(line == "gru on torch: mismatch: off by 1.3e-2" for line in lines)


def test_lines_break_between_words_and_not_inside_an_interval(tmp_path: Path) -> None:
    text = printed(stored(tmp_path), 60)
    assert not any(line.count("[") != line.count("]") for line in text)
    assert not any(line.endswith("rnn-") for line in text)


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_the_report_says_what_was_trained_and_on_what(tmp_path: Path, seeds: int) -> None:
    text = "\n".join(printed(stored(tmp_path, seeds=seeds), 200))
    assert "Training: Adam, learning rate 0.01, gradients clipped to norm 1, batch 32, 200 steps." in text
    assert "Measured on Testor 9000, 2 cores; Python 3.11.9, numba 0.68.1." in text
    assert ("a verdict takes" in text or "no verdict is given" in text) == (seeds < 5)


def test_a_run_without_rows_says_so(tmp_path: Path) -> None:
    assert "holds no rows" in "\n".join(printed(stored(tmp_path, seeds=1, cells=(), tasks=()), 80))


def test_markdown_is_a_table_with_all_columns(tmp_path: Path) -> None:
    text = markdown.render(Report.of(stored(tmp_path)))
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 6
    assert len({line.count("|") for line in table}) == 1
    for name in ("params", "score (mean ± 95 %)", "learned (seeds)", "first call", "of peak"):
        assert name in table[0]
    assert "- Score: gru beats lstm by " in text


@pytest.mark.parametrize(
    ("hostile", "forbidden"),
    [("a|b", "a|b"), ("<script>x</script>", "<"), ("![i](http://e)", "]("), ("`x`", " `x"), ("\x1b[31m", "\x1b")],
)
def test_markdown_lets_no_markup_through(tmp_path: Path, hostile: str, forbidden: str) -> None:
    run = stored(tmp_path, change=lambda row: failed(row, "crashed", hostile) if row.cell == "gru" else row)
    assert forbidden not in markdown.render(Report.of(run))


def test_terminal_lets_no_escape_code_or_markup_through(tmp_path: Path) -> None:
    reason = "\x1b]0;owned\x07 [bold red]x[/] :smile:"
    run = stored(tmp_path, change=lambda row: failed(row, "crashed", reason) if row.cell == "gru" else row)
    text = "\n".join(printed(run, 80))
    assert "\x1b" not in text
    assert "[bold red]x[/] :smile:" in text


def test_csv_holds_every_record_and_column() -> None:
    rows = [record("adding", "gru", "numba", seed) for seed in range(3)]
    table = list(csv.DictReader(io.StringIO(export.rows_csv(COLUMNS, (row.as_json().values() for row in rows)))))
    assert tuple(table[0]) == COLUMNS
    assert [float(line["score"]) for line in table] == [row.score for row in rows]
    assert table[0]["parameters_two_bias"] == "3361"
    assert table[0]["forward_error"] == ""


@pytest.mark.parametrize("start", ["=", "+", "-", "@", " =", "\t=", "\n="])
def test_csv_cells_cannot_be_formulas_and_numbers_stay_numbers(start: str) -> None:
    reason = f"{start}HYPERLINK(1)"
    rows = [record("adding", "gru", "numba", 0, score=-0.5, reason=reason, warnings=(reason, "x"))]
    (line,) = csv.DictReader(io.StringIO(export.rows_csv(COLUMNS, (row.as_json().values() for row in rows))))
    assert line["reason"].startswith("'")
    assert line["warnings"].startswith("'")
    assert line["score"] == "-0.5"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "report.md"
    target.write_text("old")

    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UsageError, match="No space left on device"):
        export.write_file(target, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]
    assert target.read_text() == "old"


def test_a_description_comes_back_as_it_was(tmp_path: Path) -> None:
    settings = stored(tmp_path, hidden_sizes=(8, 16)).settings
    assert Description.from_json(settings).as_json() == {**settings, "settings": _tuples(settings["settings"])}


def _tuples(settings: dict[str, object]) -> dict[str, object]:
    """JSON gives lists for tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}


@pytest.mark.parametrize(
    "damage", [{}, {"schema": 2, "settings": {}, "tasks": {}}, {"schema": 1, "settings": {"nonsense": 1}, "tasks": {}}]
)
def test_settings_that_cannot_be_read_are_one_line(damage: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="this run") as caught:
        Description.from_json(damage)
    assert "\n" not in str(caught.value)


def test_rows_of_a_task_that_the_settings_lack_are_refused(tmp_path: Path) -> None:
    run = stored(tmp_path)
    run.settings["tasks"] = {}
    with pytest.raises(UsageError, match="'sunspots'"):
        Report.of(run)
