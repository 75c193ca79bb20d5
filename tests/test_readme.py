"""The README keeps its word: its figures, its commands and its Python are the repository's."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = "https://github.com/rnnbench/rnnbench"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_its_tables_are_the_reference_s():
    spec = importlib.util.spec_from_file_location("update_readme", ROOT / "tools" / "update_readme.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert README.count(": begin -->") == len(tool.EXCERPTS)
    assert "| lstm | numba |" in README
    assert tool.updated(README) == README


def test_ci_runs_its_test_command_as_written():
    command = blocks("sh")[1].strip()
    assert "pytest" in command
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_its_python_runs(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # a comparison stores its run
    comparison, session = blocks("python")
    exec(compile(comparison, "README.md", "exec"), {})
    assert capsys.readouterr().out.splitlines()[0].split() == ["cell", "score", "infer_seconds", "parameters"]
    exec(compile(session, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("(8, 2) ")


def test_its_commands_take_the_options_they_show():
    lines = [line.split() for line in blocks("sh")[2].splitlines()]
    shown: dict[str, set[str]] = {}
    for _, name, *words in lines:
        shown.setdefault(name, set()).update(re.findall(r"--[a-z-]+", " ".join(words)))
    assert {"compare", "train", "forecast"} <= shown.keys()
    for name, options in shown.items():
        command = [sys.executable, "-m", "rnnbench", name, "--help"]
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        assert {option for option in options if option not in told} == set(), name


def test_its_links_lead_somewhere():
    """Whole addresses, since a package index shows the page too: each of them that is ours is a file here."""
    targets = dict(re.findall(r"^\[(.+)\]: (\S+)$", README, re.MULTILINE))
    assert targets
    assert [target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target] == []
    prose = re.sub(r"```.*?```|`[^`]*`", "", README, flags=re.DOTALL)
    assert set(re.findall(r"\[([a-z][^]]*)\]", prose)) == targets.keys()
    paths = [re.sub(rf"^{HOME}/(blob|tree)/main/", "", target) for target in targets.values()]
    assert [path for path in paths if not (ROOT / path).exists()] == []
