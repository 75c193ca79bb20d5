"""The `numba-cuda` backend where there is no GPU: listed, with what it lacks and how to get it, and nothing else."""

import json
import subprocess
import sys

import pytest

from rnnbench import UsageError
from rnnbench import registry as plugins
from rnnbench.backends import numba_cuda
from rnnbench.backends.base import Requirement
from rnnbench.cli import main


def test_it_names_the_package_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Requirement, "met", lambda self: False)
    absent = plugins.registry().backend("numba-cuda").missing()
    assert absent is not None
    assert absent.module == "numba_cuda"
    assert "pip install 'rnnbench[cuda12]'" in absent.remedy


def test_it_names_the_driver_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Requirement, "met", lambda self: True)
    monkeypatch.setattr("ctypes.CDLL", _no_library)
    absent = plugins.registry().backend("numba-cuda").missing()
    assert absent is not None
    assert absent.module == "NVIDIA's driver"
    with pytest.raises(UsageError, match=r"NVIDIA's driver, which is not installed; see docs/gpu\.md"):
        _session()


def _no_library(name: str) -> None:
    raise OSError(name)


def _session() -> None:
    import rnnbench

    model = rnnbench.Model("lstm", 2, 3, 1)
    rnnbench.session("numba-cuda", model, model.init(0))


def test_the_simulator_needs_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba_cuda, "SIMULATED", True)
    monkeypatch.setattr("ctypes.CDLL", _no_library)
    assert plugins.registry().backend("numba-cuda").missing() is None


def test_the_listing_gives_the_reason_and_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(numba_cuda.CudaPackage, "met", lambda self: False)
    assert main(["list", "backends", "--json"]) == 0
    rows = {row["backend"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["numba-cuda"]["status"] == "needs numba_cuda"
    assert "pip install 'rnnbench[cuda12]'" in rows["numba-cuda"]["remedy"]
    assert rows["numba"]["status"] == "installed"


def test_listing_imports_no_numba() -> None:
    asking = "registry().backend('numba-cuda').missing()"
    code = f"import sys; from rnnbench.registry import registry; {asking}; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_it_says_of_itself_is_light() -> None:
    """Beyond the contract, importing it takes nothing but a few modules of rnnbench, and no kernel."""
    code = (
        "import sys; import rnnbench.backends.base, rnnbench.hookspecs; before = set(sys.modules)\n"
        "import rnnbench.backends.numba_cuda; print(*sorted(sys.modules.keys() - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kernels = {"rnnbench.kernels", "rnnbench.kernels.cuda", "rnnbench.kernels.cuda.provider"}
    assert set(done.stdout.split()) == {"rnnbench.backends.numba_cuda"} | kernels
