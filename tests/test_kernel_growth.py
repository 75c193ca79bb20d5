"""What inference allocates does not grow with the steps, beyond the output and what is named here; and the script that
times the growth, on sizes of a few steps."""

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

import rnnbench
from rnnbench.model import Model

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "growth.py"
ROWS, INPUTS, HIDDEN = 8, 20, 40
A_ROW = HIDDEN * 4  # bytes of one row's h in float32
SHORT, LONG = 10_000, 20_000  # NumPy's passing buffers, of at most 8192 elements, are small beside either
# Python's own objects, some hundred bytes that do not come in steps: a byte a step would be sixteen times as much.
PYTHON = 500
ARRAYS_GIVEN = 4  # x, the first states, the last ones, and the result


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("growth", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["growth"] = module  # a dataclass looks its own module up
    spec.loader.exec_module(module)
    return module


growth = load_script()


def session(cell: str, **more: Any) -> Any:
    model = Model(cell, INPUTS, HIDDEN, **more)
    made = rnnbench.session("numba", model, model.init(0))
    made.forward(sequence(5))  # packs the weights and makes room for so many rows
    return made


def sequence(T: int) -> Any:
    return np.zeros((T, ROWS, INPUTS), np.float32)


def lengths(T: int) -> Any:
    return np.array([T // 2, *[T] * (ROWS - 1)])


def extra(made: Any, T: int, ragged: bool = False, seen: bool = True) -> int:
    """Bytes besides the output, in a call of a size that the session has `seen` before or not."""
    x, given = sequence(T), lengths(T) if ragged else None
    if seen:
        made.forward(x, given)
    return int(growth.extra_bytes(made, x, given))


# ---- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("readout", ["last", "all"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_layer_allocates_as_much_for_many_steps_as_for_few(cell_id: str, readout: str, bidirectional: bool) -> None:
    made = session(cell_id, readout=readout, bidirectional=bidirectional)
    assert extra(made, 1000) <= extra(made, 100) + PYTHON


# Bytes a step: what grows after all, and why.
NAMED = {
    "a head on the last h": ({"output_size": 3}, False, 0),
    "a head on every h": ({"output_size": 3, "readout": "all"}, False, ROWS * A_ROW),  # the features under it
    "two layers": ({"layers": 2}, False, ROWS * A_ROW),  # the sequence that the second layer reads
    "three layers": ({"layers": 3}, False, 2 * ROWS * A_ROW),  # the sequence that a layer reads and that it writes
    "four layers": ({"layers": 4}, False, 2 * ROWS * A_ROW),  # no more: what has been read is let go
    # x with its padding cleared; the mask of running rows, their numbers, and those of the steps
    "lengths": ({}, True, ROWS * INPUTS * 4 + ROWS + 8 + 8),
}


@pytest.mark.parametrize("name", NAMED)
def test_what_grows_with_the_steps_is_named(name: str) -> None:
    settings, ragged, a_step = NAMED[name]
    made = session("lstm", **settings)
    allowed = a_step * (LONG - SHORT)
    grown = extra(made, LONG, ragged) - extra(made, SHORT, ragged)
    assert allowed - PYTHON <= grown <= allowed + PYTHON


def test_the_plan_of_a_new_size_is_sixteen_bytes_a_step_and_a_mask() -> None:
    """How many rows still run, int64; for the time of making it the steps' numbers and the mask of running rows."""
    made = session("lstm")
    grown = extra(made, LONG, seen=False) - extra(made, SHORT, seen=False)
    assert grown <= (8 + 8 + ROWS) * (LONG - SHORT) + PYTHON


@pytest.fixture
def counting() -> Iterator[None]:
    _nrt_python.memsys_enable_stats()
    yield
    _nrt_python.memsys_disable_stats()


@pytest.mark.parametrize("T", [100, 1000])
def test_a_kernel_allocates_nothing(cell_id: str, T: int, counting: None) -> None:
    """Numba counts what it allocates, which Python's own tools do not see: here a handle for each array whose address
    is asked for, and nothing inside."""
    made, x = session(cell_id), sequence(T)
    made.forward(x)
    before = rtsys.get_allocation_stats()
    made.forward(x)
    after = rtsys.get_allocation_stats()
    assert after.mi_alloc - before.mi_alloc == after.alloc - before.alloc == ARRAYS_GIVEN
    assert after.free - before.free == ARRAYS_GIVEN


# ---- time ------------------------------------------------------------------------------------------------------------


def test_slopes_of_made_up_times() -> None:
    square = growth.GrowthCurve("lstm", "T", 1, (1, 10, 100, 1000), (1.0, 100.0, 1e4, 1e6), (0, 0, 0, 0))
    assert square.slope() == pytest.approx(2)
    bent = replace(square, seconds=(1.0, 1.0, 10.0, 100.0))
    assert bent.slope(2) == pytest.approx(1)
    assert bent.slope() < 0.8
    assert bent.steepest == pytest.approx(1)


@pytest.mark.slow
def test_the_script_measures_tells_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(growth, "STEPS", (4, 16, 64))
    monkeypatch.setattr(growth, "ROWS", (1, 2, 3))
    monkeypatch.setattr(sys, "argv", ["growth.py", "--out", str(tmp_path)])
    growth.main()
    assert len(capsys.readouterr().out.splitlines()) == 6
    page = (tmp_path / "growth.md").read_text()
    assert page.count("\n| 64 |") == page.count("\n| 3 |") == 1
    assert "| gru, B = 32 | T |" in page
    drawing = (tmp_path / "growth.svg").read_text()
    assert "<!-- lstm, B = 1 (slope " in drawing
    assert "<!-- B (rows); dashed: in proportion -->" in drawing


def test_sixteen_times_the_steps_take_more_time_and_not_sixty_four_times() -> None:
    """Only what noise cannot turn round; the slopes themselves are for a quiet machine."""
    found = growth.measured("gru", "T", (50, 800), 8)
    assert 0.5 < found.slope() < 1.5
