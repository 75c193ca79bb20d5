"""`rnnbench.testing.gradient_error`: right cells pass with room, a wrong sign in any derivative does not."""

from dataclasses import replace

import pytest

from rnnbench import registry as plugins
from rnnbench.testing import gradient_error


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
