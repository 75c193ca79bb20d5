"""What a plugin or a name could get into what we print."""

import json
from pathlib import Path

import pytest

from rnnbench.cli import main
from rnnbench.errors import UsageError
from rnnbench.report.export import check_suffix

LOUD = """
import os
import sys

print("x" * 10_000_000)
sys.stdout.write("y" * 1000)

from rnnbench import BackendInfo, hookimpl


@hookimpl
def rnnbench_backends():
    print("z" * 1000)
    return [BackendInfo(id="loud", title="Loud", factory="loud_plugin:make")]
"""


@pytest.mark.usefixtures("default_registry")
def test_json_is_valid_whatever_a_plugin_prints(tmp_path, capfd):
    path = tmp_path / "loud_plugin.py"
    path.write_text(LOUD)
    assert main(["list", "backends", "--json", "-p", str(path)]) == 0
    rows = json.loads(capfd.readouterr().out)["rows"]
    assert "loud" in {row["backend"] for row in rows}


@pytest.mark.parametrize("suffix", [".html", ".htm", ".xhtml", ".svg"])
def test_there_is_no_html_for_markup_to_get_into(suffix):
    """Whoever adds an export in HTML has to put the names of the clause through it here."""
    with pytest.raises(UsageError, match=r"must end in \.csv or \.md"):
        check_suffix(Path(f"report{suffix}"))
