"""`rnnbench compare` from the command line to the exit code, with a backend that trains in NumPy on tiny sizes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from stored_runs import failed, record

from rnnbench import registry as plugins
from rnnbench.cli import main
from rnnbench.cli.compare import exit_code
from rnnbench.records.record import COLUMNS

Capture = pytest.CaptureFixture[str]

BACKENDS = """
from rnnbench import BackendInfo, hookimpl
from rnnbench.backends.numpy_reference import NumpyBackend

class Faulty(NumpyBackend):
    def session(self, *arguments, **options):
        raise ValueError("no\\x1b[31m weights")

@hookimpl
def rnnbench_backends():
    return [
        BackendInfo("plain", "NumPy that trains", "rnnbench.backends.numpy_reference:NumpyBackend"),
        BackendInfo("faulty", "Always fails", "tiny:Faulty"),
        BackendInfo("picky", "Only LSTM", "rnnbench.backends.numpy_reference:NumpyBackend", cells=("lstm",)),
    ]
"""
TINY = ["--task", "sine", "--cell", "rnn-tanh", "--hidden", "3", "--steps", "3", "--batch", "4", "--no-baselines"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with the plugin; later tests get the registry that was there."""
    monkeypatch.setattr(plugins, "_current", plugins.registry())
    monkeypatch.setattr(plugins, "_requests", plugins.requests())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.py").write_text(BACKENDS)
    return tmp_path


def compare(*arguments: str) -> int:
    return main(["compare", "-p", "tiny.py", *TINY, *arguments])


def test_a_run_is_printed_stored_and_printed_again(folder: Path, capsys: Capture) -> None:
    flags = ["--json", "rows.json", "--export", "rows.csv", "--export", "report.md"]
    assert compare("--backend", "plain", "--seeds", "2", *flags) == 0
    shown = capsys.readouterr()
    payload = json.loads((folder / "rows.json").read_text(), parse_constant=pytest.fail)
    assert [(row["cell"], row["seed"], row["status"]) for row in payload["rows"]] == [
        ("rnn-tanh", 0, "ok"),
        ("rnn-tanh", 1, "ok"),
    ]
    assert tuple(payload["rows"][0]) == COLUMNS
    assert payload["rows"][0]["train_steps"] == 3
    assert payload["rows"][0]["hidden_size"] == 3
    assert len((folder / "rows.csv").read_text().splitlines()) == 3
    assert "[2/2] sine rnn-tanh h3 seed 1: ok" in shown.err
    assert "Model: hidden size 3" in shown.out
    assert [path.name for path in (folder / "results" / "runs").iterdir()] == [payload["run_id"]]
    assert main(["show", payload["run_id"]]) == 0
    assert capsys.readouterr().out == shown.out


def test_baselines_are_rows_too_and_no_rows_of_them_are_as_if_nothing_ran(capsys: Capture) -> None:
    words = [word for word in TINY if word != "--no-baselines"]
    assert main(["compare", "-p", "tiny.py", *words, "--backend", "picky", "--quick", "--json", "-"]) == 3
    rows = json.loads(capsys.readouterr().out)["rows"]
    found = {row["cell"]: row for row in rows if row["backend"] == "baseline"}
    assert found.keys() >= {"constant", "last-value", "seasonal-last-value", "ridge", "ses"}
    assert found["last-value"]["score"] == pytest.approx(1.0)
    assert found["ridge"]["score"] < 1e-4  # a sine follows a recursion of two steps, but for the penalty
    assert found["ridge"]["learned"] is True
    assert {row["learned"] for name, row in found.items() if name in ("constant", "last-value")} == {False}
    assert main(["list", "baselines", "--json"]) == 0
    assert {row["baseline"] for row in json.loads(capsys.readouterr().out)["rows"]} >= found.keys()


def test_quick_is_one_seed_and_says_so(capsys: Capture) -> None:
    assert compare("--backend", "plain", "--quick") == 0
    shown = capsys.readouterr()
    assert "[1/1]" in shown.err
    assert "One seed, so one process a side" in " ".join(shown.out.split())


def test_a_failing_row_gives_one_and_its_reason(capsys: Capture) -> None:
    assert compare("--backend", "plain,faulty", "--quick", "--json", "-") == 1
    shown = capsys.readouterr()
    rows = {row["backend"]: row for row in json.loads(shown.out)["rows"]}
    assert rows["plain"]["status"] == "ok"
    assert rows["faulty"]["status"] == "crashed"
    assert rows["faulty"]["reason"].startswith("ValueError: no")
    assert "\x1b" not in shown.err


def test_nothing_that_could_run_gives_three(capsys: Capture) -> None:
    assert compare("--backend", "picky", "--quick") == 3
    assert "rnn-tanh" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "inputs"),
    [
        (["--past", "Load, MW"], 2),
        (["--past", "Load, MW", "--features", "wind, m/s"], 3),
        (["--past", "price,day"], 3),
        (["--known", "price", "--past", "Load, MW"], 3),
        (["--past", "price,wind, m/s"], 0),  # each part of it is to be a column
    ],
)
def test_columns_are_named_with_their_commas_or_with_commas_between(
    asked: list[str], inputs: int, folder: Path, capsys: Capture
) -> None:
    lines = [f"{day},{day % 7},{day * day % 13},{day % 5},{day % 3}" for day in range(80)]
    (folder / "load.csv").write_text('"Load, MW",sold,"wind, m/s",price,day\n' + "\n".join(lines) + "\n")
    series = ["--csv", "load.csv", "--target", "sold", "--window", "6", *TINY[2:], "--quick", "--backend", "plain"]
    code = main(["compare", "-p", "tiny.py", *series, "--json", "-", *asked])
    shown = capsys.readouterr()
    if not inputs:
        assert code == 2
        assert "there is no column" in shown.err
        return
    assert code == 0
    assert json.loads(shown.out)["rows"][0]["input_size"] == inputs


def test_your_own_csv_file_is_a_task(folder: Path, capsys: Capture) -> None:
    lines = [f"{day},{day % 7},{day * day % 13}" for day in range(80)]
    (folder / "sales.csv").write_text("day,sold,price\n" + "\n".join(lines) + "\n")
    series = ["--csv", "sales.csv", "--target", "sold", "--features", "price", "--window", "6", "--horizon", "2"]
    tiny = [
        "--cell",
        "rnn-tanh",
        "--hidden",
        "3",
        "--steps",
        "3",
        "--batch",
        "4",
        "--quick",
        "--backend",
        "plain",
        "--json",
        "-",
    ]
    assert main(["compare", "-p", "tiny.py", *tiny, *series]) == 0
    *_, row = json.loads(capsys.readouterr().out)["rows"]
    assert row["task"].startswith("csv-sales-")
    assert (row["input_size"], row["seq_len"]) == (2, 6)
    assert main(["show", "latest"]) == 0
    assert "sold of sales.csv, 1 to 2 ahead" in capsys.readouterr().out


def test_an_interrupted_run_keeps_its_groups_and_resumes(folder: Path, capsys: Capture) -> None:
    arguments = ["compare", "-p", "tiny.py", *TINY, "--backend", "plain", "--seeds", "3"]
    command = [sys.executable, "-m", "rnnbench", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("[1/3]"):
                os.kill(process.pid, signal.SIGINT)
                break
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in errors
    assert "sine" in output
    assert main([*arguments, "--resume", "--json", "-"]) == 0
    shown = capsys.readouterr()
    assert "resuming run" in shown.err
    assert "already stored" in shown.err
    assert sorted(row["seed"] for row in json.loads(shown.out)["rows"]) == [0, 1, 2]
    assert len(list((folder / "results" / "runs").iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "sien"], "unknown task 'sien'; did you mean 'sine'?"),
        (["--cell", "lstm,grru"], "unknown cell 'grru'; did you mean 'gru'?"),
        (["--backend", "plian"], "unknown backend 'plian'; did you mean 'plain'?"),
        (["--hidden", "0"], "--hidden takes whole numbers of at least 1"),
        (["--hidden", "16,x"], "'16,x' is not whole numbers"),
        (["--hidden", "16,,32"], "an item is empty"),
        (["--layers", "0"], "--layers takes whole numbers of at least 1"),
        (["--threads", "4096"], "--threads 4096 is more than the"),
        (["--threads", "0"], "--threads takes whole numbers of at least 1"),
        (["--dtype", "float16"], "--dtype takes float32 or float64"),
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--seed", "-1"], "--seed at least 0"),
        (["--batch", "0"], "--batch must be at least 1"),
        (["--steps", "-1"], "--steps must be 0 or more"),
        (["--lr", "0"], "--lr must be positive"),
        (["--lr", "inf"], "inf is not a finite number"),
        (["--lr", "fast"], "'fast' is not a valid float"),
        (["--export", "x.txt"], "its name must end in .csv or .md"),
        (["--target", "sold"], "--target belongs to --csv FILE"),
        (
            ["--window", "12,24", "--csv", "a.csv"],
            "--window': it takes one value, and '12,24' are several; run once for",
        ),
        (["--lr", "0.1,0.2"], "--lr': it takes one value, and '0.1,0.2' are several"),
        (["--steps", "5", "--steps", "6"], "--steps takes one value and is given 2 times"),
        (["--horizon", "x", "--csv", "a.csv"], "'x' is not a valid integer"),
        (["--cell", "LSTM"], "unknown cell 'LSTM'; did you mean 'lstm'?"),
        (["sales.parquet"], "did you mean --csv sales.parquet --target COLUMN?"),
        (["--csv", "absent.csv", "--target", "sold"], "absent.csv"),
    ],
)
def test_a_bad_request_is_one_line_before_any_work(
    arguments: list[str], message: str, capsys: Capture, folder: Path
) -> None:
    assert main(["compare", "-p", "tiny.py", *arguments]) == 2
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not (folder / "results").exists()


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (("ok", "ok"), 0),
        (("ok", "unsupported"), 0),
        (("ok", "crashed"), 1),
        (("ok", "load_error"), 1),
        (("diverged", "timeout"), 1),
        (("unsupported", "load_error"), 3),
        ((), 3),
    ],
)
def test_exit_codes(statuses: tuple[str, ...], code: int) -> None:
    rows = [record("sine", "gru", "numba", 0)] * len(statuses)
    assert (
        exit_code([row if s == "ok" else failed(row, s, "why") for row, s in zip(rows, statuses, strict=True)]) == code
    )


def test_not_having_learned_is_no_failure() -> None:
    assert exit_code([record("sine", "gru", "numba", 0, learned=False)]) == 0
