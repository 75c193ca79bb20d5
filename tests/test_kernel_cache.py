"""The kernel cache: a second process does not compile, and nothing damaged or foreign is ever run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rnnbench.kernels import kernel_folder

SCRIPT = """
import json, sys
from rnnbench.kernels import compiled
log, before = compiled.LOG, (0, 0)
for _ in range(int(sys.argv[1])):
    compiled.common.cache_clear()  # as a process of its own would find them
    compiled.common("adam", "float32"), compiled.common("adam", "float64")
    found = (log.compiled - before[0], log.read - before[1])
    before = (log.compiled, log.read)
    print(json.dumps({"compiled": found[0], "read": found[1], "notices": sorted({*log.lost})}))
"""


def in_a_process(directory: Path, **environment: str) -> dict:
    """What is compiled and what is read where two kernels are asked for."""
    return times_in_a_process(1, directory, **environment)[0]


def times_in_a_process(times: int, directory: Path, **environment: str) -> list[dict]:
    env = os.environ | {"RNNBENCH_CACHE_DIR": str(directory)} | environment
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(times)], env=env, capture_output=True, text=True, timeout=120, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    directory = tmp_path_factory.mktemp("compiled") / "kernels"
    first = in_a_process(directory)
    assert (first["compiled"], first["read"]) == (2, 0)
    return directory


@pytest.fixture
def filled(compiled, tmp_path):
    """A copy of what one process has left, modes and all."""
    return Path(shutil.copytree(compiled, tmp_path / "kernels"))


def test_a_second_process_reads_what_the_first_compiled(filled):
    second = in_a_process(filled)
    assert (second["compiled"], second["read"], second["notices"]) == (0, 2, [])


def test_the_directory_is_the_owner_s_alone(filled):
    assert filled.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("damage", [b"", b"not a header", None], ids=["empty", "no header", "a flipped bit"])
def test_a_damaged_file_is_compiled_anew_and_mended(filled, damage):
    files = sorted(filled.glob("*" + kernel_folder.SUFFIX))
    content = bytearray(files[0].read_bytes())
    content[-20] ^= 1
    files[0].write_bytes(content if damage is None else damage)
    assert [found["compiled"] for found in times_in_a_process(2, filled)] == [1, 0]


def test_a_file_under_another_key_is_not_taken(filled):
    files = sorted(filled.glob("*" + kernel_folder.SUFFIX))
    files[0].write_bytes(files[1].read_bytes())
    assert in_a_process(filled)["compiled"] == 1


def test_a_directory_others_may_write_is_not_used(filled):
    filled.chmod(0o777)
    seen = in_a_process(filled)
    assert (seen["compiled"], seen["read"]) == (2, 0)
    assert "chmod 700" in seen["notices"][0]


def test_no_writable_place_means_no_cache_and_one_notice(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    seen = in_a_process(blocked / "kernels")
    assert seen["compiled"] == 2
    assert len(seen["notices"]) == 1
    assert "RNNBENCH_CACHE_DIR" in seen["notices"][0]


def test_the_key_follows_what_decides_the_code(filled):
    assert in_a_process(filled, NUMBA_OPT="2")["compiled"] == 2
    assert in_a_process(filled, NUMBA_CPU_NAME="generic")["compiled"] == 2


def test_kernels_serve_any_number_of_threads(filled):
    for threads in ("1", "2"):
        assert in_a_process(filled, NUMBA_NUM_THREADS=threads)["compiled"] == 0


CELLS = """
import os
from pathlib import Path

import numpy as np
from numba import njit

from rnnbench import Accumulator, Cell, Stage, hookimpl
import helper

def cell(name, factor):
    @njit
    def act(x):
        return x * factor

    def pair(m):
        def forward(pre, prev):
            return (act(pre[0]) * helper.FACTOR,), ()
        def backward(saved, prev, dstate):
            return (dstate[0],), (m.zero,)
        return forward, backward

    return Cell(name, name, ("h",), (Stage((Accumulator("h"),), pair),), "none")

from_file = np.float32(Path(__file__).with_name("factor.txt").read_text())

@hookimpl
def rnnbench_cells():
    return [cell("once", from_file), cell("thrice", np.float32(3)), cell("given", np.float32(os.environ["GIVEN"]))]
"""
ERRORS = """
import json, sys
import numpy as np
import rnnbench
from rnnbench.kernels.compiled import LOG
from rnnbench.registry import configure

configure([sys.argv[1]])
found = {}
for cell in sys.argv[2:]:
    model = rnnbench.Model(cell, 3, 5, 2)
    x = np.random.default_rng(0).standard_normal((4, 2, 3)).astype("float32")
    numba, numpy = (rnnbench.session(name, model, model.init(0)).forward(x)[0] for name in ("numba", "numpy"))
    found[cell] = float(np.abs(numba - numpy).max() / np.abs(numpy).max())
print(json.dumps({"errors": found, "compiled": LOG.compiled, "lost": LOG.lost}))
"""


@pytest.mark.slow
def test_a_kernel_in_the_cache_is_the_one_its_source_means(tmp_path: Path) -> None:
    """Each time another process, with one thing changed that the pair uses. Three cells have a function of one name:
    compiled apart, none may run another's when a process reads them together."""
    plugin, helper, factor = (tmp_path / name for name in ("cells.py", "helper.py", "factor.txt"))

    def errors(*cells: str, given: str = "2") -> dict:
        env = {"RNNBENCH_CACHE_DIR": str(tmp_path / "kernels"), "GIVEN": given, "PYTHONPATH": str(tmp_path)}
        env |= {"PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-c", ERRORS, str(plugin), *cells]
        done = subprocess.run(
            command, env=os.environ | env, capture_output=True, text=True, timeout=300, check=True, cwd=tmp_path
        )
        return json.loads(done.stdout)

    plugin.write_text(CELLS)
    helper.write_text("import numpy as np\nFACTOR = np.float32(1)")
    factor.write_text("1")
    seen = [errors("once"), errors("thrice"), errors("given"), errors("given", "once", "thrice")]
    assert seen[3]["compiled"] == 0
    plugin.write_text("# moved\n\n" + CELLS)
    seen.append(errors("once"))
    assert seen[4]["compiled"] == 0
    seen.append(errors("given", given="5"))
    factor.write_text("1.5")
    seen.append(errors("once"))
    helper.write_text("import numpy as np\nFACTOR = np.float32(4)")
    seen.append(errors("thrice"))
    assert [found["compiled"] for found in seen[5:]] == [1, 1, 1]  # the forward scan alone
    assert [found["lost"] for found in seen] == [[]] * 8
    assert max(error for found in seen for error in found["errors"].values()) < 1e-5


SYMBOLS = """
import json
from rnnbench.kernels.compiled import kernels
from rnnbench.registry import registry

(result,) = kernels(registry().cell("rnn-relu"), "float32").forward.kernel.overloads.values()
print(json.dumps(sorted(f.name for f in result.library.get_defined_functions())))
"""


@pytest.mark.slow
def test_two_processes_give_no_two_functions_one_name(tmp_path: Path) -> None:
    """Numba numbers functions from 1 in every process: two kernels, compiled apart and read from the cache together,
    would meet under one name. Gate functions may: their vector type is part of the name, and their code follows from
    it."""
    found = []
    for place in ("one", "other"):
        env = os.environ | {"RNNBENCH_CACHE_DIR": str(tmp_path / place)}
        command = [sys.executable, "-c", SYMBOLS]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=True)
        found.append(set(json.loads(done.stdout)))
    assert any("scan" in name for name in found[0])
    assert {name for name in found[0] & found[1] if "rnnbench" in name and "gates" not in name} == set()
