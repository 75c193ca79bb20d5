"""The kernel cache: a second process does not compile, and nothing damaged or foreign is ever run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rnnbench.kernels import cache

SCRIPT = """
import json, sys
from rnnbench.kernels import compiled
log, before = compiled.LOG, (0, 0)
for _ in range(int(sys.argv[1])):
    compiled.common.cache_clear()  # as a process of its own would find them
    compiled.common("adam", "float32"), compiled.common("adam", "float64")
    found = (log.compiled - before[0], log.read - before[1])
    before = (log.compiled, log.read)
    print(json.dumps({"compiled": found[0], "read": found[1], "notices": sorted(log.notices)}))
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
    files = sorted(filled.glob("*" + cache.SUFFIX))
    content = bytearray(files[0].read_bytes())
    content[-20] ^= 1
    files[0].write_bytes(content if damage is None else damage)
    assert [found["compiled"] for found in times_in_a_process(2, filled)] == [1, 0]


def test_a_file_under_another_key_is_not_taken(filled):
    files = sorted(filled.glob("*" + cache.SUFFIX))
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


def test_an_edited_cell_has_another_key(tmp_path, monkeypatch):
    import numpy as np

    from rnnbench.registry import registry

    monkeypatch.setenv("RNNBENCH_CACHE_DIR", str(tmp_path))
    lstm, kind = registry().cell("lstm"), np.dtype("float32")
    before = cache.digest("forward", lstm, kind, "()")
    assert before == cache.digest("forward", lstm, kind, "()")
    assert before != cache.digest("forward", registry().cell("gru"), kind, "()")
    assert before != cache.digest("backward", lstm, kind, "()")
    original = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: original(path) + (b"#" if path.name == "lstm.py" else b""))
    assert before != cache.digest("forward", lstm, kind, "()")


def test_a_cell_without_a_source_file_is_not_cached():
    import numpy as np

    from rnnbench.cells.spec import Accumulator, Cell, Stage

    scope: dict = {}
    exec("def pair(m):\n    return None", scope)
    cell = Cell("typed-in", "", ("h",), (Stage((Accumulator("h"),), scope["pair"]),), "")
    assert cache.digest("forward", cell, np.dtype("float32"), "()") is None


SYMBOLS = """
import itertools, json
from numba.core.bytecode import FunctionIdentity
from rnnbench.kernels.compiled import _MAKERS, common, kernels
from rnnbench.registry import registry

def names(make):
    FunctionIdentity._unique_ids = itertools.count(1000)  # as if each were compiled by a process of its own
    (result,) = make().overloads.values()
    return sorted(f.name for f in result.library.get_defined_functions())

cells = [names(lambda: kernels(registry().cell(cell), "float32").forward.kernel) for cell in ("ugrnn", "mingru")]
others = [[names(lambda: common(name, dtype)) for dtype in ("float32", "float64")] for name in _MAKERS]
print(json.dumps([cells, *others]))
"""


@pytest.mark.slow
def test_kernels_of_two_processes_do_not_mix_in_a_third(tmp_path):
    """Numba numbers functions from 1 in every process: the kernels of two cells or dtypes, compiled apart and read from
    the cache together, must not meet under one name. Gate functions may: their vector type is part of the name, and
    their code follows from it."""
    env = os.environ | {"RNNBENCH_CACHE_DIR": str(tmp_path / "kernels")}
    command = [sys.executable, "-c", SYMBOLS]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=True)
    both_names = [[set(names) for names in pair] for pair in json.loads(done.stdout)]
    assert any("scan" in name for name in both_names[0][0])
    for one, other in both_names:
        ours = {name for name in one & other if "rnnbench" in name}
        assert {name for name in ours if "gates" not in name} == set()
