"""`rnnbench warmup` and `rnnbench cache`: filling the kernel cache, looking into it, and clearing nothing else."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rnnbench.cli import main

Capture = pytest.CaptureFixture[str]

USE = """
import numpy as np, rnnbench
from rnnbench.kernels.compiled import LOG
model = rnnbench.Model("rnn-relu", 3, 5, 2, layers=2, bidirectional=True)
s = rnnbench.session("numba", model, model.init(0))
x = np.ones((4, 2, 3), "float32")
s.forward(x)
s.train_step(x, np.ones((2, 2), "float32"))
print(LOG.compiled, LOG.read > 0)
"""
NOT_KEPT = """
from rnnbench import Accumulator, Cell, Stage, hookimpl
from numba import njit

@njit
def act(x):
    return x

act(1.0)

def pair(m):
    def forward(pre, prev):
        return (act(pre[0]),), ()
    def backward(saved, prev, dstate):
        return (dstate[0],), (m.zero,)
    return forward, backward

@hookimpl
def rnnbench_cells():
    return [Cell("used-up", "Used up", ("h",), (Stage((Accumulator("h"),), pair),), "none")]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "kernels"
    monkeypatch.setenv("RNNBENCH_CACHE_DIR", str(place))
    return place


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: in ours, kernels that other tests have used are made already."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=300)


def kernel(folder: Path, digit: str, content: bytes = b"12345") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{digit * 64}.kernel"
    path.write_bytes(content)
    return path


# ---- warmup ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_after_a_warmup_a_fresh_process_compiles_nothing(folder: Path) -> None:
    first = run("-m", "rnnbench", "warmup", "--cell", "rnn-relu")
    assert first.returncode == 0, first.stderr
    (line,) = first.stdout.splitlines()
    assert line.split()[:4] == ["rnn-relu", "float32", "compiled", str(len(list(folder.iterdir())))]
    assert "read" not in line
    assert run("-c", USE).stdout == "0 True\n"
    again = run("-m", "rnnbench", "warmup", "--cell", "rnn-relu", "--no-training")
    (line,) = again.stdout.splitlines()
    assert "from the cache in" in line
    assert "compiled" not in line


@pytest.mark.slow
def test_a_cell_whose_kernels_cannot_be_kept_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "used.py").write_text(NOT_KEPT)
    done = run("-m", "rnnbench", "warmup", "--cell", "used-up", "--no-training", "-p", str(tmp_path / "used.py"))
    assert done.returncode == 1
    assert done.stdout.startswith("used-up      float32  compiled 6 kernels in ")
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: used-up: kernels of used-up are not cached: its pair uses act, which was compiled")
    assert "Warning" not in done.stderr


@pytest.mark.slow
def test_after_a_warmup_a_comparison_compiles_nothing(folder: Path, tmp_path: Path) -> None:
    """On any number of threads, the measured peak included."""
    assert run("-m", "rnnbench", "warmup", "--cell", "rnn-relu").returncode == 0
    before = {path.name for path in folder.iterdir()}
    for threads in ("1", "2"):
        options = ["--cell", "rnn-relu", "--task", "sine", "--backend", "numba", "--seeds", "1", "--threads", threads]
        options += ["--hidden", "8", "--steps", "20", "--results", str(tmp_path / threads)]
        done = run("-m", "rnnbench", "compare", *options, "--json", str(tmp_path / "rows.json"))
        assert done.returncode == 0, done.stderr
        assert {path.name for path in folder.iterdir()} == before
        rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
        (row,) = (row for row in rows if row["backend"] == "numba")
        assert row["compile_cache"] == "warm"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cell", "lsmt"], "unknown cell 'lsmt'; did you mean 'lstm'?"),
        (["--dtype", "float16"], "dtype must be one of float32, float64; got 'float16'"),
    ],
)
def test_what_warmup_refuses(arguments: list[str], message: str, folder: Path, capsys: Capture) -> None:
    assert main(["warmup", *arguments]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"
    assert not folder.exists()


def test_without_a_place_for_kernels_warmup_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RNNBENCH_CACHE_DIR", str(tmp_path / "file" / "kernels"))
    assert main(["warmup", "--cell", "lstm"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith("error: kernels are not cached: ")
    assert line.endswith("set RNNBENCH_CACHE_DIR")


# ---- cache -----------------------------------------------------------------------------------------------------------


def test_the_cache_is_shown(folder: Path, capsys: Capture) -> None:
    os.utime(kernel(folder, "a", b"x" * 2000), (0, 0))
    kernel(folder, "b", b"x" * 345)
    (folder / "notes.txt").write_text("mine")
    assert main(["cache"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"kernel cache: {folder}", "2 kernels, 2.3 kB"]
    assert lines[2].startswith("written from 19")
    assert lines[3] == "1 other file, never read or removed"
    assert main(["cache", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["directory"], facts["files"], facts["bytes"], facts["foreign_files"]) == (str(folder), 2, 2345, 1)
    assert facts["oldest"] < facts["newest"]


def test_clearing_removes_kernels_and_nothing_else(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    outside = tmp_path / f"{'c' * 64}.kernel"
    outside.write_bytes(b"precious")
    ours = [kernel(folder, "a"), kernel(folder, "b")]
    (folder / f"{'c' * 64}.kernel").symlink_to(outside)
    (folder / f"{'d' * 64}.kernel").mkdir()
    kernel(folder / f"{'d' * 64}.kernel", "e")
    for name in ("popcorn.kernel", f"{'a' * 63}.kernel", f"{'a' * 64}.kernel.bak", "tmp1x2y"):
        (folder / name).write_text("not ours")
    before = set(tmp_path.rglob("*"))
    assert main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out == f"removed 2 kernels, 10 bytes, from {folder}; left 6 other files alone\n"
    assert before - set(tmp_path.rglob("*")) == set(ours)
    assert outside.read_bytes() == b"precious"


def test_a_cache_that_is_not_there_is_empty(folder: Path, capsys: Capture) -> None:
    assert main(["cache"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["0 kernels, 0 bytes", "fill it with: rnnbench warmup"]
    assert main(["cache", "--clear", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] == 0
    assert not folder.exists()


def test_a_cache_that_is_no_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RNNBENCH_CACHE_DIR", str(tmp_path / "file"))
    assert main(["cache", "--clear"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: cannot read ")


def test_a_kernel_that_cannot_be_removed_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    stuck, free = kernel(folder, "a"), kernel(folder, "b")
    unlink = Path.unlink

    def refusing(path: Path, missing_ok: bool = False) -> None:
        if path == stuck:
            raise PermissionError(errno.EACCES, "Permission denied")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refusing)
    assert main(["cache", "--clear"]) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith("removed 1 kernel, 5 bytes, ")
    assert shown.err == f"error: {stuck.name} cannot be removed: Permission denied; check who owns {folder}\n"
    assert (stuck.exists(), free.exists()) == (True, False)
