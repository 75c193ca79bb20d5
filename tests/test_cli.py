import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from stored_runs import failed, stored

from rnnbench import __version__
from rnnbench import registry as plugins
from rnnbench.cli import main
from rnnbench.cli._group import group
from rnnbench.records.record import COLUMNS

Capture = pytest.CaptureFixture[str]

CELL_PLUGIN = """
from rnnbench import Accumulator, Cell, Stage, hookimpl

def pair(m):
    def forward(pre, prev):
        return (pre[0],), ()
    def backward(saved, prev, dstate):
        return (dstate[0],), (m.zero,)
    return forward, backward

@hookimpl
def rnnbench_cells():
    return [Cell("linear", "Linear\\x1b[31m RNN", ("h",), (Stage((Accumulator("h"),), pair),), "none")]
"""


@pytest.fixture(autouse=True)
def restored_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands load plugins; later tests get the registry that was there."""
    monkeypatch.setattr(plugins, "_current", plugins.registry())
    monkeypatch.setattr(plugins, "_requests", plugins.requests())


def fails(arguments: list[str], capsys: Capture, code: int = 2) -> str:
    """The one line that the command ends with."""
    assert main(arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
    (line,) = shown.err.splitlines()
    return line


COMMANDS = [
    *("cache", "compare", "convert", "doctor", "forecast", "gate", "history", "list", "plugins", "roofline", "show"),
    *("train", "warmup"),
]


def test_help_names_every_command_with_a_summary(capsys: Capture) -> None:
    assert main(["--help"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.partition("Commands:\n")[2].splitlines()]
    assert [words[0] for words in lines] == COMMANDS
    assert min(map(len, lines)) > 3


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS), ["plugins", "check"], ["cache", "clear"]])
def test_h_is_help(command: list[str], capsys: Capture) -> None:
    assert main([*command, "--help"]) == main([*command, "-h"]) == 0
    shown = capsys.readouterr().out
    assert shown[: len(shown) // 2] == shown[len(shown) // 2 :]


def test_without_a_command_help_is_shown(capsys: Capture) -> None:
    assert main([]) == 0
    assert "Commands:" in capsys.readouterr().out


def test_version(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"rnnbench {__version__}\n"


def test_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "rnnbench", "lst"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "error: unknown command 'lst'; did you mean 'list'?\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lst"], "unknown command 'lst'; did you mean 'list'?"),
        (["list", "cels"], "'cels' is not one of"),
        (["list", "cells", "--jsn"], "No such option '--jsn'"),
        (["list", "cells", "-p", "absent.py"], "there is no plugin file 'absent.py'"),
        (["list", "cells", "-p", "absent_module"], "there is no module 'absent_module'; -p takes a .py file"),
        (["list", "cells", "-p", "../odd"], "there is no module '../odd'; -p takes a .py file"),
        (["compare", "--time", "a", "--time=b"], "--time takes one value and is given 2 times; give it once"),
        (["warmup", "--no-training", "--training"], "--training takes one value and is given 2 times; give it once"),
        (["plugins", "new", "x", "--in", "a", "--in", "b"], "--in takes one value and is given 2 times; give it once"),
        (["gate", "HEAD", "--task", "a", "HEAD", "--task", "b"], "--task takes one value and is given 2 times"),
        (["compare", "sales.csv"], "did you mean --csv sales.csv --target COLUMN?"),
        (["compare", "net.ONNX"], "did you mean --model net.ONNX?"),
        (["compare", "lstm"], "'lstm' belongs to no option; options begin with --"),
        (["compare", "--seeds", "0,1,2"], "3 seeds from the first on are --seeds 3"),
        (["compare", "--cell", "LSTM"], "unknown cell 'LSTM'; did you mean 'lstm'?"),
        (["compare", "--cell", "all"], "for all of them, name them with commas: "),
        (["list", "cells", "-p", "no:cells.lst"], "did you mean 'cells.lstm'?"),
    ],
)
def test_a_usage_error_is_one_line_and_two(arguments: list[str], message: str, capsys: Capture) -> None:
    line = fails(arguments, capsys)
    assert line.startswith("error: ")
    assert message in line


def test_flags_and_repeatable_options_may_be_given_twice(capsys: Capture) -> None:
    assert main(["list", "cells", "--json", "--json", "-p", "no:cells.lstm", "-p", "no:cells.gru"]) == 0
    assert not {"lstm", "gru"} & {row["cell"] for row in json.loads(capsys.readouterr().out)["rows"]}


def test_every_option_of_one_value_is_refused_twice(capsys: Capture) -> None:
    """By one rule, whatever the command: those that are added too."""
    context, count = click.Context(group), 0
    for name in COMMANDS:
        command = group.get_command(context, name)
        subcommands = {name: command} if not isinstance(command, click.Group) else command.commands
        for subcommand in subcommands.values():
            path = [name] if subcommand is command else [name, subcommand.name]
            for option in subcommand.params:
                if isinstance(option, click.Option) and not option.multiple and not option.is_flag:
                    line = fails([*path, option.opts[0], "1", option.opts[-1], "2"], capsys)
                    assert line == f"error: {option.opts[0]} takes one value and is given 2 times; give it once"
                    count += 1
    assert count > 25


@pytest.mark.parametrize("arguments", [["--traceback", "show", "x"], ["show", "x", "--traceback"]])
def test_a_traceback_on_request(arguments: list[str], capsys: Capture, tmp_path: Path) -> None:
    assert main([*arguments, "--results", str(tmp_path)]) == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.splitlines()[-1].startswith("error: there are no runs")


def test_a_traceback_by_environment(capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNNBENCH_TRACEBACK", "1")
    assert main(["show", "x", "--results", str(tmp_path)]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_fault_of_our_own_is_one_line_too(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr("rnnbench.registry.configure", broken)
    line = fails(["list", "cells"], capsys, code=1)
    assert line == "error: rnnbench failed with RuntimeError: first second; --traceback shows where"


def test_list_cells_shows_states_gates_and_source(capsys: Capture) -> None:
    assert main(["list", "cells", "--json"]) == 0
    listing = json.loads(capsys.readouterr().out)
    assert listing["schema"] == 1
    (lstm,) = [row for row in listing["rows"] if row["cell"] == "lstm"]
    assert (lstm["states"], lstm["gates"]) == (["h", "c"], ["i", "f", "g", "o"])
    assert "Hochreiter" in lstm["source"]


def test_list_tasks_shows_score_baseline_and_budget(capsys: Capture) -> None:
    assert main(["list", "tasks", "--json"]) == 0
    (adding,) = [row for row in json.loads(capsys.readouterr().out)["rows"] if row["task"] == "adding"]
    assert adding["baseline"] == pytest.approx(1 / 6)
    assert adding["better"] == "lower"
    assert adding["steps"] > 0


def test_list_backends_shows_what_is_missing_and_its_remedy(capsys: Capture, tmp_path: Path) -> None:
    plugin = tmp_path / "absent.py"
    plugin.write_text(
        "from rnnbench import BackendInfo, Requirement, hookimpl\n"
        "@hookimpl\n"
        "def rnnbench_backends():\n"
        "    need = Requirement('no_such_module', 'pip install no-such')\n"
        "    return [BackendInfo('absent', 'Absent', 'absent:make', requires=(need,))]\n"
    )
    assert main(["list", "backends", "-p", str(plugin), "--json"]) == 0
    rows = {row["backend"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert (rows["absent"]["status"], rows["absent"]["remedy"]) == ("needs no_such_module", "pip install no-such")
    assert rows["numpy"]["status"] == "installed"


@pytest.mark.parametrize("kind", ["cells", "tasks", "backends"])
@pytest.mark.parametrize("columns", ["80", "120"])
def test_listings_fit_the_terminal(kind: str, columns: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["list", kind]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= int(columns)
    assert not any("…" in line for line in lines)
    assert len(lines) <= 2 + 4 * len(vars(plugins.registry())[kind])  # wrapped, and not into a tower


def test_a_wider_terminal_shows_more_of_a_task(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    heads = []
    for columns in ("80", "120"):
        monkeypatch.setenv("COLUMNS", columns)
        assert main(["list", "tasks"]) == 0
        heads.append(capsys.readouterr().out.splitlines()[0].split())
    assert heads[0] == ["task", "title", "score", "baseline", "steps"]
    assert heads[1] == ["task", "title", "score", "baseline", "steps", "batch", "hidden", "source"]


def test_names_from_plugins_cannot_drive_the_terminal(capsys: Capture, tmp_path: Path) -> None:
    plugin = tmp_path / "linear.py"
    plugin.write_text(CELL_PLUGIN)
    assert main(["list", "cells", "-p", str(plugin)]) == 0
    shown = capsys.readouterr().out
    assert "linear" in shown
    assert "\x1b" not in shown


def test_a_broken_plugin_is_one_warning_and_the_rest_goes_on(capsys: Capture, tmp_path: Path) -> None:
    plugin = tmp_path / "broken.py"
    plugin.write_text("print('noise')\nraise ValueError('first\\x1b[31m\\nsecond')\n")
    assert main(["list", "cells", "-p", str(plugin), "--json"]) == 0
    shown = capsys.readouterr()
    assert shown.err.splitlines() == ["warning: plugin broken: ValueError: first[31m"]
    assert len(json.loads(shown.out)["rows"]) >= 6


def test_plugins_list_tells_loaded_from_left_out(capsys: Capture, tmp_path: Path) -> None:
    plugin = tmp_path / "typo.py"
    plugin.write_text("def rnnbench_cell():\n    return []\n")
    assert main(["plugins", "list", "-p", str(plugin), "--json"]) == 0
    rows = {row["plugin"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["cells.lstm"]["status"] == "loaded"
    assert rows["typo"]["status"] == "left out"
    assert "did you mean 'rnnbench_cells'?" in rows["typo"]["problem"]


def test_show_lists_the_stored_runs(capsys: Capture, tmp_path: Path) -> None:
    assert main(["show", "--results", str(tmp_path)]) == 0
    assert "there are no runs" in capsys.readouterr().err
    first, second = stored(tmp_path, seeds=1), stored(tmp_path, seeds=2, change=lambda r: failed(r, "oom", "too big"))
    assert main(["show", "--results", str(tmp_path), "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["run"], row["rows"], row["failed"]) for row in rows] == [(first.id, 6, 0), (second.id, 12, 12)]
    assert main(["show", "--results", str(tmp_path)]) == 0
    assert first.id in capsys.readouterr().out


def test_baselines_are_neither_cells_nor_backends_of_a_run(capsys: Capture, tmp_path: Path) -> None:
    stored(tmp_path, seeds=1, cells=("gru",), baselines={"ridge": 0.5})
    assert main(["show", "--results", str(tmp_path), "--json", "-"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["cells"], row["backends"], row["rows"]) == (["gru"], ["numba", "numpy"], 3)


def test_show_prints_a_stored_run_by_any_name(capsys: Capture, tmp_path: Path) -> None:
    run = stored(tmp_path)
    for name in (run.id, run.id[:-1], "latest"):
        assert main(["show", name, "--results", str(tmp_path)]) == 0
        assert "Speed: numba ran faster than numpy" in capsys.readouterr().out.replace("\n  ", " ")


def test_show_of_an_unknown_run_suggests_one(capsys: Capture, tmp_path: Path) -> None:
    run = stored(tmp_path)
    line = fails(["show", "x" + run.id, "--results", str(tmp_path)], capsys)
    assert f"did you mean '{run.id}'?" in line


def test_json_to_stdout_is_alone_there(capsys: Capture, tmp_path: Path) -> None:
    run = stored(tmp_path)
    assert main(["show", "latest", "--results", str(tmp_path), "--json", "-"]) == 0
    payload = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert set(payload) == {"schema", "run_id", "rows", "summary"}
    assert payload["run_id"] == run.id
    assert len(payload["rows"]) == 30
    assert tuple(payload["rows"][0]) == COLUMNS


def test_exports_by_ending(capsys: Capture, tmp_path: Path) -> None:
    stored(tmp_path / "runs")
    targets = [tmp_path / "rows.csv", tmp_path / "report.md", tmp_path / "rows.json"]
    flags = ["--export", str(targets[0]), "--export", str(targets[1]), "--json", str(targets[2])]
    assert main(["show", "latest", "--results", str(tmp_path / "runs"), *flags]) == 0
    assert targets[0].read_text().startswith("task,cell,backend,")
    assert targets[1].read_text().startswith("# rnnbench run ")
    assert len(json.loads(targets[2].read_text())["rows"]) == 30
    assert "sunspots: Sunspots of the next year" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--export", "x.xlsx"], "its name must end in .csv or .md"),
        (["--export", "absent/x.csv"], "there is no folder 'absent'"),
        (["--json", "absent/x.json"], "there is no folder 'absent'"),
        (["--json", "."], "is a folder"),
    ],
)
def test_a_target_that_cannot_be_written_is_told_first(
    flags: list[str], message: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in fails(["show", "latest", *flags], capsys)


def test_a_damaged_group_is_named_and_the_rest_shown(capsys: Capture, tmp_path: Path) -> None:
    run = stored(tmp_path)
    victim = sorted((run.path / "groups").iterdir())[0]
    victim.write_text(victim.read_text().replace("ok", "no", 1))
    assert main(["show", "latest", "--results", str(tmp_path), "--json", "-"]) == 0
    shown = capsys.readouterr()
    assert len(json.loads(shown.out)["rows"]) == 28
    assert victim.name in shown.err


def test_colour_only_where_it_is_wanted(tmp_path: Path) -> None:
    stored(tmp_path, change=lambda row: failed(row, "oom", "too big") if row.cell == "gru" else row)
    command = [sys.executable, "-m", "rnnbench", "show", "latest", "--results", str(tmp_path)]
    base = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    coloured = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    for extra, codes in (({}, False), (coloured, True), ({**coloured, "NO_COLOR": "1"}, False)):
        done = subprocess.run(command, capture_output=True, check=True, env={**base, **extra})
        assert (b"\x1b[33m" in done.stdout) == codes
