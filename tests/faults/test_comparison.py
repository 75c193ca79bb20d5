"""A whole comparison whose results cannot be written."""

from pathlib import Path

import pytest
from small_runs import FAULTY, NO_NUMBA

from rnnbench.cli import main
from rnnbench.workers.sandbox import Sandbox

TINY = ["compare", "-p", FAULTY, "-p", NO_NUMBA, "--task", "mean", "--cell", "gru", "--backend", "good", "--quick"]


@pytest.mark.usefixtures("default_registry")
def test_a_read_only_results_folder_is_one_error_and_no_worker_is_started(tmp_path, monkeypatch, capsys):
    """By a system that refuses: the superuser may write where the mode says otherwise."""

    def refuse(path, *_, **__):
        raise OSError(30, "Read-only file system", str(path))

    def never(self):
        raise AssertionError("work was begun")

    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(Sandbox, "__enter__", never)
    assert main([*TINY, "--results", str(tmp_path / "runs")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: cannot write to {tmp_path / 'runs'}: Read-only file system; choose another folder")
