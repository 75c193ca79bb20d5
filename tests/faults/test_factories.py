"""A backend whose module never comes to the end of its import."""

import os

import pytest
from marks import children
from small_runs import FAULTY, NO_NUMBA, carry_out, load, settings

from rnnbench import BackendInfo
from rnnbench.workers.worker import WorkerLimits

LOAD_SECONDS = 6.0  # a good backend takes a tenth of it on a quiet core, a half on a busy one
MODULES = {
    "exits": ("import os\nos._exit(3)", "load_error", "exited with code 3"),
    "segfaults": ("import os\nos.kill(os.getpid(), 11)", "load_error", "SIGSEGV"),
    "loops": ("while True: pass", "timeout", f"gave no answer within {LOAD_SECONDS:g} s"),
}


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_a_factory_whose_import_ends_or_hangs_the_process_costs_its_own_row_alone(tmp_path, monkeypatch):
    registry = load(monkeypatch, FAULTY, NO_NUMBA)
    monkeypatch.syspath_prepend(tmp_path)
    for name, (source, _, _) in MODULES.items():
        (tmp_path / f"import_{name}.py").write_text(source)
        registry.backends[name] = BackendInfo(id=name, title=name, factory=f"import_{name}:make")
    chosen = settings(backends=("good", *MODULES), seeds=2, steps=2)
    outcome, run = carry_out(tmp_path / "runs", chosen, WorkerLimits(load_seconds=LOAD_SECONDS, call_seconds=20.0))
    rows = {(row.backend, row.seed): row for row in outcome.records}
    for name, (_, status, reason) in MODULES.items():
        for seed in range(2):
            assert rows[name, seed].status == status
            assert f"could not be loaded: {reason}" in rows[name, seed].reason.replace("its process ", "").replace(
                "was ended by ", ""
            )
    assert {rows["good", seed].status for seed in range(2)} == {"ok"}
    assert run.problems() == []
    assert children() == []
