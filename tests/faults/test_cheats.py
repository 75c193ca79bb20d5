"""Backends that gain by a lie, and honest ones: the first get no figures, or true ones; the second are never accused.

`python tools/validate.py cheats honest` does all of this many times, and writes docs/cheats.md.
"""

from collections.abc import Sequence
from functools import cache

import pytest
from small_runs import load
from validation import cheats, honest
from validation.cheats import CAUGHT, IN_VAIN, Found

# The boldest of these in every run; every strength of every kind in the slow one.
QUICK = ("content", "rows", "row-by-row", "lazy", "position", "batch")
KINDS = (
    *("content", "identity", "sample", "rows", "row-by-row", "prefix", "skips", "lazy", "filled"),
    *("off", "off-timed", "weights", "short", "short-timed", "lengths", "predictions"),
    *("position", "step-content", "state"),
    *("early", "aside", "batch", "last-loss", "leaves-out", "stops", "watched"),
    *("child", "daemon", "affinity", "bursts", "clock", "every-clock"),
)
# How large a lie passes. What rounding may do to an honest backend is allowed to all; the others are told of in
# docs/cheats.md: they are too rare to be met with certainty, behave while they are looked at, or leave no trace.
ROUNDING = {
    "off": ("5e-06", "1e-06"),
    "off-timed": ("5e-06", "1e-06"),
    "predictions": ("5e-06", "1e-06"),
    "weights": ("18 bits", "20 bits"),
    "short": ("17 bits", "19 bits", "21 bits"),
    "short-timed": ("17 bits", "19 bits", "21 bits"),
}
RARE = {
    "skips": ("1 of 8", "1 of 16", "1 of 64"),
    "early": ("all but the loss",),
    "leaves-out": ("1 of 8", "1 of 16"),
    "watched": ("after 1 steps",),
    "affinity": ("within each call",),
    "bursts": ("1 of 16 calls", "1 of 64 calls"),
}
PASSES = ROUNDING | RARE


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch, default_registry: None) -> dict[str, object]:
    """The lies by id, with their backends in the registry."""
    load(monkeypatch)
    return {lie.id: lie for lie in cheats.lies()}


@cache
def quick_ones() -> dict[str, Found]:
    lies = [lie for lie in cheats.lies() if lie.id in QUICK]
    return {found.lie: found for found in cheats.attempts([(lie, next(iter(lie.strengths))) for lie in lies], seed=0)}


def hold(found: Found, answer: Sequence[str]) -> None:
    assert found.verdict in (CAUGHT, IN_VAIN), f"{found.lie}, {found.strength}: {found.verdict} {found.sentence}"
    if found.verdict == CAUGHT:
        assert any(words in found.sentence for words in answer), found.sentence


def test_every_kind_is_here(told):
    assert sorted(told) == sorted(KINDS)
    assert set(PASSES) <= set(KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", QUICK)
def test_a_bold_lie_gets_no_figures_or_true_ones(told, kind):
    hold(quick_ones()[kind], told[kind].answer)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_lie_of_its_kind_gets_figures_that_are_not_true(told, kind):
    lie = told[kind]
    for found in cheats.attempts([(lie, strength) for strength in lie.strengths], seed=1):
        if found.strength not in PASSES.get(kind, ()):
            hold(found, lie.answer)


@pytest.mark.slow
def test_a_cell_whose_backward_is_wrong_is_named_and_no_backend_blamed():
    (found,) = cheats.cells(0, chosen=(0.1, 0.0))
    assert found.verdict == CAUGHT, found.sentence
    assert "off-by-1e-01" in found.sentence


@pytest.mark.slow
def test_a_backward_that_is_wrong_by_a_millionth_is_seen():
    for found in cheats.cells(1):
        assert found.verdict == CAUGHT, found


@pytest.mark.slow
@pytest.mark.parametrize("loops", [0, honest.LOOPS])
def test_no_honest_backend_is_accused(monkeypatch, loops):
    registry = load(monkeypatch)
    here = [name for name in honest.SEVEN if name in registry.backends and not registry.backends[name].missing()]
    assert here[:2] == ["numba", "numpy"]
    with honest.busy_loops(loops):
        rows = honest.comparison(0, here)
    assert [row.backend for row in rows] == here
    assert list(honest.accusations(rows, 0)) == []
