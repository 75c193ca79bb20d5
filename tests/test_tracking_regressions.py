"""What the gate calls a regression, on scripted samples: no clock runs here."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rnnbench.tracking import gate
from rnnbench.tracking.ab import BASE, CANDIDATE, CONTROL, SIDES, TIMED, ABSamples, GatePlan
from rnnbench.tracking.checkout_worker import ModelFacts
from rnnbench.tracking.format import broken_sentence, sentence, summary
from rnnbench.tracking.regressions import broken, changes, regressed

CELLS = ("rnn-tanh", "lstm", "gru")
FACTS = ModelFacts(3e-7, parameters=4385, parameters_two_bias=4513, timed=tuple(sorted(TIMED)))
PROCESS_SPREAD, ROUND_SPREAD = 0.01, 0.01  # of a quiet machine: between processes, and between rounds of one


def samples(
    seed: int = 0,
    slow: dict[tuple[str, str], float] | None = None,
    facts: dict[str, dict[str, Any]] | None = None,
    score: float = 1.0,
    memory: float = 1.0,
    processes: int = 5,
) -> ABSamples:
    """slow: (cell, figure) -> by what the candidate's times are multiplied; facts: by cell, the candidate's. score,
    memory: by what the candidate's are multiplied."""
    random = np.random.default_rng(seed)
    made = ABSamples()
    for side in SIDES:
        candidate = side == CANDIDATE
        for cell in CELLS:
            changed = (facts or {}).get(cell, {}) if candidate else {}
            made.facts[side, cell] = replace(FACTS, **changed)
            worse = score if candidate else 1.0
            made.scores[side, cell] = {number: worse * (0.5 + 0.01 * number) for number in range(processes)}
            for figure in TIMED:
                factor = (slow or {}).get((cell, figure), 1.0) if candidate else 1.0
                of_process = 1e-3 * factor * np.exp(random.normal(0, PROCESS_SPREAD, (processes, 1)))
                times = of_process * np.exp(random.normal(0, ROUND_SPREAD, (processes, 9)))
                made.times[side, cell, figure] = times.tolist()
        factor = memory if candidate else 1.0
        made.memory[side] = [int(factor * b) for b in random.normal(160e6, 4e5, processes)]
    return made


def flagged(made: ABSamples) -> list[tuple[str, str, str]]:
    return [(f.name, f.figure, f.worse) for f in regressed(changes(made, "numba"))]


def test_a_slower_kernel_is_flagged_and_nothing_else() -> None:
    for seed in range(20):
        assert flagged(samples(seed, {("lstm", "infer"): 1.15})) == [("lstm on numba", "infer", "slower")]


def test_the_same_program_is_flagged_in_hardly_any_of_three_hundred_comparisons() -> None:
    """Holm allows one in twenty; the floor of A/A noise leaves fewer, and the gate asks twice."""
    wrong = sum(bool(flagged(samples(seed))) for seed in range(300))
    assert wrong <= 15


def test_what_is_faster_smaller_and_better_is_no_regression() -> None:
    better = samples(
        0, {(cell, figure): 0.5 for cell in CELLS for figure in TIMED}, {"gru": {"parameters": 4000}}, 0.5, 0.5
    )
    assert flagged(better) == []


def test_a_slowdown_within_the_noise_of_the_machine_is_none() -> None:
    """Interval and test would both say slower: only the floor stands against it."""
    made = samples(0, {("lstm", "infer"): 1.06})
    assert flagged(made) == [("lstm on numba", "infer", "slower")]
    made.times[CONTROL, "lstm", "infer"] = [[1.08 * t for t in rounds] for rounds in made.times[BASE, "lstm", "infer"]]
    assert flagged(made) == []


def test_a_slowdown_that_only_some_processes_show_is_none() -> None:
    made = samples()
    made.times[CANDIDATE, "lstm", "infer"][:2] = [[1.5e-3] * 9] * 2
    assert flagged(made) == []


def test_one_slow_round_moves_nothing() -> None:
    made = samples()
    for rounds in made.times[CANDIDATE, "lstm", "infer"]:
        rounds[4] *= 10
    assert flagged(made) == []


def test_the_number_of_series_is_corrected_for() -> None:
    """A p-value near 0.03 counts alone, and not as one of ten."""
    changes = [0.02, 0.05, 0.11, 0.06, 0.16]  # t = 3.3, p = 0.029

    def one(cell: str) -> ABSamples:
        made = ABSamples()
        for side in SIDES:
            made.facts[side, cell] = FACTS
            shift = changes if side == CANDIDATE else [0.0] * 5
            made.times[side, cell, "infer"] = [[1e-3 * float(np.exp(value))] * 9 for value in shift]
        return made

    alone, among = one("lstm"), one("lstm")
    assert [f[0] for f in flagged(alone)] == ["lstm on numba"]
    for number in range(9):
        quiet = one(f"cell-{number}")
        quiet.times[CANDIDATE, f"cell-{number}", "infer"] = quiet.times[BASE, f"cell-{number}", "infer"]
        among.facts |= quiet.facts
        among.times |= quiet.times
    assert flagged(among) == []


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"parameters": 4386}, [("gru on numba", "parameters", "larger")]),
        ({"parameters_two_bias": 4600}, [("gru on numba", "parameters_two_bias", "larger")]),
        ({"error": 3e-5}, [("gru on numba", "error", "less accurate")]),
        ({"error": 6e-7}, []),  # sums in another order
        ({"error": None}, []),  # its weights have another layout, which the count tells
    ],
)
def test_exact_figures_need_no_statistics(facts: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    assert flagged(samples(facts={"gru": facts})) == expected


def test_an_error_below_rounding_is_not_told_apart() -> None:
    made = samples(facts={"gru": {"error": 1e-7}})
    made.facts[BASE, "gru"] = replace(FACTS, error=1e-9)
    assert flagged(made) == []


def test_a_worse_score_is_flagged_whichever_way_is_better() -> None:
    assert flagged(samples(score=1.05)) == [(f"{cell} on numba", "score", "less accurate") for cell in CELLS]
    higher = samples(score=0.95)
    higher.better = "higher"
    assert [figure for _, figure, _ in flagged(higher)] == ["score"] * 3
    assert flagged(samples(score=1.01)) == []


def test_a_score_that_does_not_repeat_itself_has_noise_too() -> None:
    made = samples(score=1.05)
    for cell in CELLS:
        made.scores[CONTROL, cell] = {seed: 1.06 * score for seed, score in made.scores[BASE, cell].items()}
    assert flagged(made) == []


def test_more_memory_is_flagged() -> None:
    assert flagged(samples(memory=1.1)) == [("numba", "memory", "larger")]


def test_fewer_than_two_processes_say_nothing() -> None:
    assert flagged(samples(slow={("lstm", "infer"): 2.0}, processes=1)) == []


def test_a_cell_that_no_longer_runs_is_told_and_a_new_one_is_not_blamed() -> None:
    made = samples()
    made.failures = {(CANDIDATE, "lstm"): "crashed: it fell over", (BASE, "gru"): "crashed: unknown cell 'gru'"}
    assert {f.name for f in changes(made, "numba")} == {"rnn-tanh on numba"}
    lost, new = broken(made, "numba")
    assert broken_sentence(lost) == "lstm on numba no longer runs: crashed: it fell over."
    assert (lost.regressed, new.regressed) == (True, False)
    assert "the base does not run it" in broken_sentence(new)


# ---- twice ---------------------------------------------------------------------------------------------------------


def twice(first: ABSamples, second: ABSamples) -> gate.GateResult:
    found, lost = changes(first, "numba"), broken(first, "numba")
    return gate.confirmed(found, regressed(found), lost, changes(second, "numba"), broken(second, "numba"))


def test_a_regression_is_what_both_measurements_show() -> None:
    slow = {("lstm", "infer"): 1.15}
    upheld = twice(samples(0, slow), samples(1, slow))
    assert not upheld.passed
    (regression,) = upheld.regressions
    words = sentence(regression).replace("\N{NO-BREAK SPACE}", " ")
    assert words.startswith("lstm on numba is slower: inference went from 997 µs to 1.15 ms (worse by 16 % [14, 18]; ")
    assert "measured again: 1" in words
    assert summary(upheld) == "1 regression in 22 series."
    once = twice(samples(0, slow), samples(1))
    assert once.passed
    assert [f.figure for f in once.unconfirmed] == ["infer"]
    assert summary(once) == "No regression in 22 series."


def test_a_failure_that_does_not_come_back_is_none() -> None:
    failing = samples()
    failing.failures = {(CANDIDATE, "lstm"): "timeout: gave no answer within 120 s"}
    assert not twice(failing, failing).passed
    assert twice(failing, samples()).passed


@pytest.mark.parametrize(
    ("slow", "facts", "memory", "cells", "figures"),
    [
        ({("lstm", "infer"): 1.3}, {}, 1.0, ("lstm",), {"infer"}),
        ({("lstm", "infer"): 1.3, ("gru", "train"): 1.3}, {}, 1.0, ("lstm", "gru"), {"infer", "train"}),
        ({}, {"gru": {"parameters": 9999}}, 1.0, ("gru",), set()),
        ({}, {}, 1.2, CELLS, {"infer", "step", "train", "score"}),
    ],
)
def test_only_what_was_flagged_is_measured_again(
    slow: dict[tuple[str, str], float],
    facts: dict[str, dict[str, Any]],
    memory: float,
    cells: Sequence[str],
    figures: set[str],
) -> None:
    found = regressed(changes(samples(0, slow, facts, memory=memory), "numba"))
    plan = gate.narrowed(GatePlan(), found, [])
    assert (plan.cells, set(plan.figures)) == (tuple(cells), figures)
