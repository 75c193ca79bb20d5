"""What the system may lack or hold in store: streams that are full or closed, few descriptors, files without end."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import FAULTY, NO_NUMBA

from rnnbench.cli import main

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX shells and files")
SECONDS = 60  # none of these may hang


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line in which `rnnbench` stands for ours."""
    function = f'rnnbench() {{ "{sys.executable}" -m rnnbench "$@"; }}\n'
    given = {**os.environ, **environment}
    return subprocess.run(["sh", "-c", function + line], env=given, capture_output=True, text=True, timeout=SECONDS)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("arguments", ["list cells", "list cells --json", "--help", "show --json -"])
def test_a_full_stdout_is_one_line_and_no_success(arguments: str, tmp_path: Path) -> None:
    done = shell(f"rnnbench {arguments} >/dev/full", PWD=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == "error: the system refuses: No space left on device; make room there\n"


@pytest.mark.parametrize(
    ("streams", "code"),
    [(">&-", 2), (">&- 2>&- <&-", 2), ("2>&-", 0), ("<&-", 0), ("2>/dev/full", 0)],
)
def test_closed_streams_are_no_fault_of_ours(streams: str, code: int) -> None:
    """Without stdout a result would be lost, which is no success; without stderr nothing can be told."""
    done = shell(f"rnnbench list cells {streams}")
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert ("standard output is closed" in done.stderr) is (streams == ">&-")
    assert shell("rnnbench nope 2>/dev/full").returncode == 2


def test_a_file_that_is_opened_never_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    code = "import sys; from rnnbench.cli import main; main(['--version']); f = open('kept', 'w'); print(f.fileno())"
    done = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -c "{code}" 2>&- <&-'], cwd=tmp_path, capture_output=True, text=True
    )
    assert int(done.stdout.split()[-1]) > 2


@pytest.mark.parametrize("count", [6, 9])
def test_few_descriptors_are_one_line(count: int, tmp_path: Path) -> None:
    code = (
        "import resource, sys; from rnnbench.cli import main;"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({count}, {count})); sys.exit(main(sys.argv[1:]))"
    )
    command = ["compare", "-p", FAULTY, "-p", NO_NUMBA, "--task", "mean", "--backend", "good", "--quick"]
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--results", str(tmp_path)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert not list(tmp_path.glob("rnnbench-*"))


@pytest.mark.parametrize(("number", "remedy"), [(errno.EAGAIN, "ulimit -u"), (errno.EMFILE, "ulimit -n")])
def test_what_the_system_refuses_is_told_with_what_helps(
    number: int, remedy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("rnnbench.registry.configure", refused)
    assert main(["list", "cells"]) == 1
    line = capsys.readouterr().err
    assert line.startswith(f"error: the system refuses: {os.strerror(number)}; ")
    assert remedy in line
    assert line.count("\n") == 1


@pytest.mark.parametrize("name", ["/dev/zero", "pipe.csv", "huge.csv"])
def test_a_csv_without_end_is_refused_at_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.csv")
    with Path("huge.csv").open("wb") as file:
        file.truncate(4 << 30)
    assert main(["compare", "--csv", name, "--target", "a"]) == 2
    line = capsys.readouterr().err
    assert ("not an ordinary file" in line) is (name != "huge.csv")
    assert ("larger than the 268435456 bytes" in line) is (name == "huge.csv")
    assert line.count("\n") == 1


@pytest.mark.parametrize("suffix", [".onnx", ".safetensors"])
def test_a_pipe_is_no_model(suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / f"pipe{suffix}")
    assert main(["compare", "--model", str(tmp_path / f"pipe{suffix}")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_no_home_is_no_fault(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rnnbench", "cache"], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True
    )
    assert done.returncode == 0


@pytest.mark.parametrize("name", ["NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK", "NUMBA_DEBUGINFO"])
def test_other_code_than_ours_is_not_measured(name: str) -> None:
    script = "from rnnbench.kernels.target import check_settings; check_settings()"
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, name: "1"}, capture_output=True, text=True, check=False
    )
    assert f"Unsupported: {name} is set, and other code than ours would be measured; unset it" in done.stderr
