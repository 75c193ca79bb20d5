import csv
import io
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from stored_runs import baseline, failed, record, stored

from rnnbench.comparison.description import Description
from rnnbench.errors import UsageError
from rnnbench.records.record import COLUMNS, Record
from rnnbench.records.store import Run, Store
from rnnbench.report import export, markdown, terminal
from rnnbench.report.document import Report
from rnnbench.tasks.spec import Training


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


def test_what_there_is_no_room_for_is_said(tmp_path: Path) -> None:
    run = stored(tmp_path)
    text = " ".join(line.strip() for line in printed(run, 80))
    (told,) = re.findall(r"No room for the columns (.*?): a wider terminal shows them, --export report.md writes", text)
    assert {"step p99", "memory", "first call"} < set(re.split(", | and ", told))
    heads = " ".join(next(line for line in printed(run, 80) if line.startswith("cell")).split())
    assert not any(name in heads for name in re.split(", | and ", told) if name != "infer 95 %")
    assert "No room" not in "\n".join(printed(run, 250))


def test_baselines_stand_under_the_cells_best_first_with_a_dash_for_a_backend(tmp_path: Path) -> None:
    run = stored(tmp_path, baselines={"last-value": 1.0, "ridge": 0.53}, hidden_sizes=(16, 32))
    lines = printed(run, 120)
    body = [line.split()[:4] for line in lines[lines.index("") : lines.index("", lines.index("") + 1)][4:]]
    assert [words[0] for words in body[-2:]] == ["ridge", "last-value"]
    assert body[-2] == ["ridge", "–", "–", "13"]
    assert body[0][2] == "16"


def test_times_too_far_apart_for_one_unit_have_their_own(tmp_path: Path) -> None:
    def change(row: Record) -> Record:
        return row if row.is_baseline else replace(row, train_seconds=75.0)

    lines = printed(stored(tmp_path, baselines={"ridge": 0.53}, change=change), 120)
    assert any(line.startswith("ridge") and " 300 µs " in line for line in lines)
    assert any(line.startswith("gru") and " 75.0 s " in line for line in lines)


def test_own_units_and_early_ends_are_columns(tmp_path: Path) -> None:
    def change(row: Record) -> Record:
        steps = None if row.train_steps is None else 100 + 20 * row.seed
        return replace(
            row, mae=12.34, mase=0.81, rmse=15.0, persistence_ratio=row.score * (1 + 1e-12), train_steps=steps
        )

    early = Training(2000, patience=5)
    run = stored(tmp_path, baselines={"ridge": 0.53}, change=change, training=early)
    wide, narrow = (next(line for line in printed(run, width) if line.startswith("cell")) for width in (200, 80))
    assert all(head in wide.split() for head in ("MAE", "MASE", "RMSE", "steps"))
    assert "MAE" in narrow.split()
    assert "/ persistence" not in wide  # it is the score
    assert any(line.startswith("gru") and " 140 " in line for line in printed(run, 200))
    assert "steps" not in next(line for line in printed(stored(tmp_path), 200) if line.startswith("cell")).split()


def test_folds_have_a_table_of_their_own_and_the_choice_a_sentence(tmp_path: Path) -> None:
    settings = stored(tmp_path / "settings", cells=("gru", "lstm"))
    run = Store(tmp_path).create(settings.settings, settings.digest, settings.machine)
    for fold in (1, 2, None):
        for seed in range(5):
            rival = baseline("sunspots", "ridge", seed, 0.54, fold=fold)
            run.append(f"f{fold}_s{seed}_baselines", [rival], {})
            for cell in ("gru", "lstm") if fold else ("gru",):
                run.append(f"f{fold}_s{seed}_{cell}", [record("sunspots", cell, "numba", seed, fold=fold)], {})
    on_folds, tested = Report.of(run).sections
    assert on_folds.title.endswith(", on 2 folds of the training part")
    assert tested.title.endswith(", on the test part")
    assert [section.columns[0].cells for section in (on_folds, tested)] == [("gru", "lstm", "ridge"), ("gru", "ridge")]
    assert tested.findings[0].startswith(
        "Chosen on 2 folds: gru; on the test part, looked at once: 0.550 ± 0.020; ridge"
    )
    assert not any(line.startswith("Chosen") for line in on_folds.findings)
    assert run.problems() == []


def test_what_a_run_left_out_by_choice_is_told(tmp_path: Path) -> None:
    run = stored(tmp_path)
    run.settings["left_out"] = ["sunspots: all backends then run the best 3"]
    assert "sunspots: all backends then run the best 3" in printed(run, 120)


def test_baselines_are_rows_of_what_other_programs_read(tmp_path: Path) -> None:
    run = stored(tmp_path, cells=("gru",), baselines={"ridge": 0.53}, seeds=2)
    rows = [row.as_json() for row in run.rows()]
    assert [rows[0][name] for name in ("cell", "backend", "hidden_size")] == ["ridge", "baseline", 0]
    assert json.dumps(rows, allow_nan=False)
    assert set(run.frame()["backend"]) == {"baseline", "numba", "numpy"}
    table = export.rows_csv(COLUMNS, (row.as_json().values() for row in run.records()))
    assert sum(line["backend"] == "baseline" for line in csv.DictReader(io.StringIO(table))) == 2


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
