"""`rnnbench.testing.gradient_error`: right cells pass with room, a wrong sign in any derivative does not. A comparison
names the cell then, and not whoever is right."""

from dataclasses import replace
from pathlib import Path

import pytest
from small_runs import FAULTY, NO_NUMBA, carry_out, load, settings

from rnnbench import registry as plugins
from rnnbench.testing import gradient_error
from rnnbench.verify.gradient import ROUGH, difference, wrong_gradient

WRONG_CELLS = str(Path(__file__).parent / "plugins" / "wrong_cells.py")


def test_every_cell_is_right_to_rounding(cell_id: str) -> None:
    assert gradient_error(cell_id) < 1e-12


@pytest.mark.parametrize("number", range(4))
def test_a_flipped_sign_shows(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lstm = plugins.registry().cell("lstm")
    (stage,) = lstm.stages

    def wrong_pair(m):
        forward, backward = stage.pair(m)

        def wrong_backward(saved, prev, dstate):
            dpre, dprev = backward(saved, prev, dstate)
            return tuple(-d if n == number else d for n, d in enumerate(dpre)), dprev

        return forward, wrong_backward

    wrong = replace(lstm, stages=(replace(stage, pair=wrong_pair),))
    monkeypatch.setitem(plugins.registry().cells, "lstm", wrong)
    assert gradient_error("lstm") > 0.01


def test_differences_are_as_good_as_is_said(cell_id: str) -> None:
    assert gradient_error(cell_id, along=difference) < ROUGH / 10


@pytest.mark.parametrize("cell", ["real", "floats"])
def test_a_forward_without_complex_numbers_is_no_fault(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch, WRONG_CELLS)
    assert wrong_gradient(cell) is None


@pytest.mark.parametrize("cell", ["too-small", "nan-behind", "a-little-too-small"])
def test_a_backward_that_is_wrong_is_called_so(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch, WRONG_CELLS)
    found = wrong_gradient(cell)
    assert found is not None
    assert not found < (1e-7 if "little" in cell else 0.05)


def test_a_cell_whose_backward_is_wrong_is_named_and_no_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, FAULTY, WRONG_CELLS, NO_NUMBA)
    outcome, _ = carry_out(tmp_path, settings(cells=("too-small", "real"), backends=("good", "independent")))
    for row in outcome.records:
        if row.cell == "real":
            assert row.status == "ok", row.reason
        else:
            assert row.status == "mismatch"
            assert row.reason.startswith(
                "the backward of cell 'too-small' is not the derivative of its forward: off by"
            )
            assert row.infer_seconds is None
    assert len(outcome.records) == 4
