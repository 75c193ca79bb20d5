"""`rnnbench plugins check`: a line per property, JSON, and the exit codes."""

import json
from pathlib import Path

import pytest

from rnnbench.cli import main
from rnnbench.testing.suite import NAMES

DEFECTIVE = str(Path(__file__).parent / "plugins" / "defective.py")
Capture = pytest.CaptureFixture[str]


@pytest.mark.usefixtures("default_registry")
def test_a_line_for_each_property_with_its_figure(capsys: Capture) -> None:
    assert main(["plugins", "check", "honest", "-p", DEFECTIVE]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [next(name for name in sorted(NAMES, key=len, reverse=True) if line.startswith(name)) for line in lines] == [
        *NAMES
    ]
    assert all(" ok " in line for line in lines)
    (outputs,) = [line for line in lines if line.startswith("outputs")]
    assert " of 1e-05 " in outputs


@pytest.mark.usefixtures("default_registry")
def test_a_broken_promise_is_exit_code_one(capsys: Capture) -> None:
    assert main(["plugins", "check", "gate-order", "-p", DEFECTIVE, "--json"]) == 1
    rows = {row["property"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["outputs"]["ok"] is False
    assert rows["outputs"]["figure"] > rows["outputs"]["tolerance"]
    assert rows["gradients"] == {
        "property": "gradients",
        "ok": None,
        "figure": None,
        "tolerance": None,
        "reason": "'outputs' comes first",
    }


def test_an_unknown_backend_is_one_line(capsys: Capture) -> None:
    assert main(["plugins", "check", "nump"]) == 2
    assert capsys.readouterr().err == "error: unknown backend 'nump'; did you mean 'numpy'?\n"
