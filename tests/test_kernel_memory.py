"""No kernel reads or writes outside its arrays: forward, step, gradients, packing and Adam, for odd sizes and threads.

Every array that a kernel is given ends right before a forbidden page, or begins right behind one, so one step outside
ends the process; the results are those of ordinary memory to the last bit. See guarded_kernels.py.
"""

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from guarded_memory import MPROTECT, SIDES, Memory

HERE = Path(__file__).resolve().parent
PAGES = pytest.mark.skipif(MPROTECT is None, reason="this system cannot forbid pages")
EACH_SIDE = pytest.mark.parametrize(
    "side", [pytest.param(side, marks=[] if side == "poisoned" else PAGES) for side in SIDES]
)
QUICK = ("poisoned",) if MPROTECT is None else ("behind", "before")
SOME = ("lstm", "gru-before")  # of one stage and of two


def python(*arguments):
    return subprocess.run([sys.executable, *arguments], cwd=HERE, capture_output=True, text=True, timeout=900)


def kernels(*arguments):
    return python("guarded_kernels.py", *arguments)


@pytest.mark.parametrize("side", QUICK)
def test_some_kernels_stay_inside_their_arrays(side):
    done = kernels(side, "all", "float32", *SOME)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr[-2000:]


@EACH_SIDE
@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_kernels_stay_inside_their_arrays(cell_id, dtype, side):
    done = kernels(side, "all", dtype, cell_id)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr[-2000:]


@PAGES
def test_a_session_may_be_let_go_while_a_thread_still_waits():
    done = kernels("behind", "dropped")
    assert done.returncode == 0, done.stderr[-2000:]


# --- that the tests above can fail ------------------------------------------------------------------------------------


@PAGES
@pytest.mark.parametrize(
    "key",
    [
        "forward-work",
        *(
            pytest.param(key, marks=pytest.mark.slow)
            for key in ("forward-scratch", "backward-work", "products-scratch")
        ),
    ],
)
def test_scratch_memory_a_vector_too_short_ends_the_process(key):
    assert kernels("behind", "short", key).returncode < 0


@PAGES
@pytest.mark.parametrize(("side", "offset"), [("behind", 10), ("before", -1)])
@pytest.mark.parametrize("touch", ["ctypes.string_at(place, 4)", "ctypes.memset(place, 0, 4)"])
def test_a_step_onto_the_forbidden_page_ends_the_process(side, offset, touch):
    made = f"array = Memory({side!r}).array(10, np.float32); place = array.ctypes.data + 4 * {offset}"
    lines = ["import ctypes", "import numpy as np", "from guarded_memory import Memory", made]
    assert python("-c", "\n".join(lines)).returncode == 0
    assert python("-c", "\n".join([*lines, touch])).returncode < 0


@pytest.mark.parametrize(("side", "offset"), [("behind", -1), ("before", 10), ("poisoned", -1), ("poisoned", 10)])
def test_a_step_to_where_no_page_is_forbidden_is_seen(side, offset):
    memory = Memory(side if MPROTECT else "poisoned")
    array = memory.array(10, np.float32, 0)
    place = array.ctypes.data + 4 * offset
    memory.check()
    assert np.isnan(ctypes.c_float.from_address(place).value)
    ctypes.memset(place, 0, 4)
    with pytest.raises(AssertionError, match="outside an array of 40 bytes"):
        memory.check()
