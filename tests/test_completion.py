"""What the shell offers on TAB: names of cells, tasks, backends and runs; nothing, in silence, where that fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from stored_runs import stored

from rnnbench.cli._group import group
from rnnbench.registry import registry

VARIABLE = "_RNNBENCH_COMPLETE"


def offered(*words: str) -> list[str]:
    """Return what is offered for the last word."""
    *typed, last = words
    return [item.value for item in ShellComplete(group, {}, "rnnbench", VARIABLE).get_completions(typed, last)]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("compare", "--cell", "ls"), ["lstm"]),
        (("compare", "--cell", "lstm,g"), ["lstm,gru", "lstm,gru-before"]),
        (("compare", "--cell", "gru,g"), ["gru,gru-before"]),  # each once
        (("compare", "--task", "s"), ["sine", "sunspots"]),
        (("compare", "--backend", "num"), ["numba", "numba-cuda", "numpy"]),
        (("warmup", "--cell", "u"), ["ugrnn"]),
        (("history", "--task", "ad"), ["adding"]),
        (("gate", "HEAD", "--backend", "nump"), ["numpy"]),
        (("gate", "HEAD", "--task", "co"), ["copy"]),
        (("plugins", "check", "nump"), ["numpy"]),
        (("convert", "a.onnx", "b.onnx", "--cell", "rnn-"), ["rnn-relu", "rnn-tanh"]),
        (("compare", "--cell", "zz"), []),
        (("no-such-command", "--cell", "x"), []),
    ],
)
def test_names_are_completed(words: tuple[str, ...], names: list[str]) -> None:
    assert offered(*words) == names


def test_every_cell_is_offered() -> None:
    assert offered("compare", "--cell", "") == sorted(registry().cells)


def test_runs_are_offered_newest_first(tmp_path: Path) -> None:
    first, second = stored(tmp_path, seeds=1).id, stored(tmp_path, seeds=1).id
    assert offered("show", "--results", str(tmp_path), "") == ["latest", second, first]
    assert offered("show", "--results", str(tmp_path), second) == [second]
    assert offered("show", "--results", str(tmp_path / "absent"), "20") == []


@pytest.mark.parametrize("words", [("compare", "--cell", ""), ("show", "")])
def test_what_fails_offers_nothing_and_says_nothing(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        print("noise")  # noqa: T201
        raise OSError("no such thing")

    monkeypatch.setattr("rnnbench.registry.registry", broken)
    monkeypatch.setattr("rnnbench.records.store.Store.runs", broken)
    assert offered(*words) == []
    assert capfd.readouterr() == ("", "")


def complete(shell: str, *words: str, **variables: str) -> str:
    """Return what the program prints for a shell that asks by environment, as docs/shell-completion.md sets it up."""
    environment = {**os.environ, VARIABLE: shell, "COMP_WORDS": " ".join(words), **variables}
    done = subprocess.run(
        [sys.executable, "-m", "rnnbench"], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


def test_a_shell_gets_the_names_alone() -> None:
    assert complete("bash_complete", "rnnbench", "list", "ta", COMP_CWORD="2") == "plain,tasks\n"
    assert complete("zsh_complete", "rnnbench", "compare", "--cell", "ls", COMP_CWORD="3") == "plain\nlstm\n_\n"
    assert complete("fish_complete", "rnnbench", "compare", "--cell", "ls", COMP_CWORD="ls") == "plain,lstm\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_page_names_the_line_that_each_shell_runs(shell: str) -> None:
    page = (Path(__file__).parents[1] / "docs" / "shell-completion.md").read_text(encoding="utf-8")
    assert f"{VARIABLE}={shell}_source rnnbench" in page
    assert VARIABLE in complete(f"{shell}_source")
