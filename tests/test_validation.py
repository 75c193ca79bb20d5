"""The tool behind docs/validation.md: what it calls kept, and that its proofs can fail."""

import json
import os
from contextlib import contextmanager
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
import validate
from stored_runs import record
from validation import cheats, cheats_page, honest, kills, page, pairs, simulation, slowed

from rnnbench.comparison.traps import LEAK_WARNING, SUBNORMAL_WARNING
from rnnbench.records.noise import KnownNoise
from rnnbench.records.statistics import Interval
from rnnbench.registry import configure

NOISE = KnownNoise(Interval(1.0, 0.99, 1.01, 10), "2026-11-23")
ORIGIN = {"measured": "2026-11-23", "cpu": "Testor 9000", "cores": 2, "commit": "0123456789", "python": "3.11"}


def verdicts(other, **words):
    """Comparisons that end in these words, with intervals to suit."""
    ends = {"faster": (1.03, 1.07), "slower": (0.93, 0.97), "same": (0.99, 1.01), "inconclusive": (0.97, 1.05)}
    return [
        pairs.Comparison(other, np.sqrt(low * high), low, high, word, 9.0)
        for word, count in words.items()
        for low, high in [ends[word]] * count
    ]


def shared(found):
    return {**ORIGIN, **pairs._shared(found, NOISE)}


def aa(**words):
    found = verdicts(slowed.AGAIN, **words)
    return {**shared(found), "words": pairs._words(found), "exclude_one": sum(one.excludes_one for one in found)}


def power(five, three):
    found = {
        "numba-slowed-5": verdicts("numba-slowed-5", **five),
        "numba-slowed-3": verdicts("numba-slowed-3", **three),
    }
    return {
        **shared([one for own in found.values() for one in own]),
        "words": {name: pairs._words(own) for name, own in found.items()},
        "exclude_one": {name: sum(one.excludes_one for one in own) for name, own in found.items()},
    }


def stopped(**wrong):
    ends = {"stored": {"3": 300}, "exits": {"130": 300}}
    return {**ORIGIN, "count": 300, **{name: {**ends, "wrong": wrong.get(name, [])} for name in ("SIGINT", "SIGKILL")}}


def lie(saves=False, **strengths):
    """A part of one lie, each strength with the number of times that it was caught, in vain or unnoticed."""
    words = cheats.CAUGHT, cheats.IN_VAIN, cheats.UNNOTICED
    rows = [
        {
            "strength": strength,
            "verdicts": {word: count for word, count in zip(words, counts, strict=True) if count},
            "sentence": "it lies" if counts[0] else "",
            "left_out": 0.25,
        }
        for strength, counts in strengths.items()
    ]
    return {**ORIGIN, "count": 3, "lies": [{"id": "x", "what": "Tells a lie", "saves": saves, "rows": rows}]}


def nobody(**accused):
    """A part of honest backends, nobody of whom is accused but these: when, and who."""
    rows = {
        where: {
            "seconds": 5.0,
            "longest_seconds": 6.0,
            "accused": [{"backend": b, "sentence": "slow"} for b in backends],
        }
        for where, backends in zip(
            honest.SURROUNDINGS, (accused.get("quiet", ()), accused.get("busy", ())), strict=True
        )
    }
    return {**ORIGIN, "count": 50, "backends": list(honest.SEVEN), "steps": 60, **rows}


def kept(**parts):
    return [line[2] for line in page.promises(parts) if line[2] is not None]


@pytest.mark.parametrize(
    ("part", "result", "expected"),
    [
        ("aa", aa(same=91, faster=1, inconclusive=8), [True, True]),
        ("aa", aa(same=98, slower=2), [False, True]),
        ("power", power({"faster": 45, "inconclusive": 5}, {"faster": 35, "same": 15}), [True, True, True]),
        ("power", power({"faster": 44, "slower": 6}, {"faster": 34, "same": 16}), [False, False, True]),
        ("disturbed", power({"faster": 50}, {"inconclusive": 50}), [True]),
        ("disturbed", power({"faster": 49, "slower": 1}, {"inconclusive": 50}), [False]),
        ("faults", {"contained": 88, "clauses": 88}, [True]),
        ("faults", {"contained": 87, "clauses": 88}, [False]),
        ("kills", stopped(), [True, True]),
        ("cheats", lie(bold=(3, 0, 0), small=(0, 0, 3)), [True]),
        ("cheats", lie(bold=(0, 3, 0)), [True]),
        ("cheats", lie(bold=(2, 0, 1)), [False]),
        ("honest", nobody(), [True]),
        ("honest", nobody(busy=["torch"]), [False]),
        ("fuzz", {"count": 10, "kinds": {"asv": {"wrong": 0}, "onnx": {"wrong": 0}}}, [True]),
        ("fuzz", {"count": 10, "kinds": {"asv": {"wrong": 0}, "onnx": {"wrong": 1}}}, [False]),
        ("kills", stopped(SIGKILL=["trial 3: lost"]), [True, False]),
        ("agreement", {"rows": [{"difference": 0.02}, {"difference": -0.029}]}, [True]),
        ("agreement", {"rows": [{"difference": 0.02}, {"difference": -0.031}]}, [False]),
    ],
)
def test_a_promise_is_called_kept_where_it_is(part, result, expected):
    assert kept(**{part: result}) == expected


def test_a_comparison_that_takes_too_long_breaks_its_promise():
    late = aa(same=100)
    late["longest_seconds"] = 15.1
    assert kept(aa=late) == [True, False]


def test_what_was_not_measured_is_called_so():
    lines = list(page.promises({}))
    assert len(lines) == 11
    assert {(found, verdict) for _, found, verdict in lines} == {(page.NOT_YET, None)}


def test_the_page_is_written_from_what_was_found(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "PAGE", tmp_path / "validation.md")
    parts = {"aa": aa(same=100), "power": power({"faster": 50}, {"same": 50}), "kills": stopped()}
    page.write_page(json.loads(json.dumps(parts)))
    text = page.PAGE.read_text(encoding="utf-8")
    assert "| numba against numba-again | same 100 |" in text
    assert "**no**" in text  # 3 % was never found
    assert page.NOT_YET in text
    assert "Fewer than five processes a side" in text  # the rule, as the code states it


def test_the_spread_of_a_process_is_read_back_from_the_interval():
    rng = np.random.default_rng(0)
    from rnnbench.records.statistics import ratio_of_logs

    found = [ratio_of_logs(values) for values in rng.normal(0, 0.02, (400, 5)).tolist()]
    ones = [pairs.Comparison("x", one.value, one.low, one.high, "same", 1.0) for one in found]
    assert pairs._shared(ones, NOISE)["spread"] == pytest.approx(0.02 * 0.917, rel=0.05)  # the median of s, n = 5


def test_a_simulated_interval_covers_what_the_textbook_says():
    values = np.random.default_rng(1).normal(size=(4000, 5))
    assert simulation.student(values) == pytest.approx(0.95, abs=0.015)  # four standard errors
    few = values[:500]
    bootstrap = simulation.percentile_bootstrap(few, np.random.default_rng(2))
    assert bootstrap == pytest.approx(0.83, abs=0.07)


def test_the_slowed_backend_takes_the_share_longer_that_it_says(monkeypatch):
    clock = [0.0]

    def tick():
        clock[0] += 1e-7
        return clock[0]

    class Inner:
        step = gradients = train_step = parameters = None

        def forward(self, x, lengths, state):
            clock[0] += 1e-3
            return x, state

    monkeypatch.setattr(slowed, "perf_counter", tick)
    slowed.SlowedSession(Inner(), 0.05).forward(None)
    assert clock[0] == pytest.approx(1.05e-3, rel=1e-3)


@pytest.mark.usefixtures("default_registry")
def test_the_slowed_backends_are_offered_beside_numba():
    found = configure([pairs.PLUGIN])
    assert found.problems == []
    assert {"numba", slowed.AGAIN, *slowed.SLOWED} <= found.backends.keys()
    assert found.backend(slowed.AGAIN).factory == found.backend("numba").factory


def test_what_was_acknowledged_is_read_from_the_progress_lines():
    lines = "2 groups, each on good\n[1/2] mean gru h4 seed 0: ok, 1.0 s; done\n[2/2] mean gru h4 seed 11: good crashed"
    assert kills.ACKNOWLEDGED.findall(lines) == ["0"]


def test_comparisons_travel_as_json():
    (one,) = verdicts("x", same=1)
    assert pairs.Comparison(**json.loads(json.dumps(asdict(one)))) == one


# ---- lies, and those that are honest ---------------------------------------------------------------------------------


def row(backend="a", **columns):
    return replace(record("sum", "gru", backend, 0), **columns)


def test_the_page_of_lies_says_which_are_caught_and_how_large_a_lie_passes():
    parts = {"cheats": lie(saves=True, bold=(3, 0, 0), kept=(0, 3, 0), rare=(1, 0, 2)), "honest": nobody(quiet=["jax"])}
    text = cheats_page.text(json.loads(json.dumps(parts)))
    assert "| Tells a lie | bold | kept | rare (2 of 3, leaves out 25%) |" in text
    assert "| Tells a lie | it lies |" in text
    assert "| quiet | 50 | 5.0 s | jax: slow |" in text
    assert "| beside 2 busy loops | 50 | 5.0 s | nobody |" in text


def test_the_page_of_lies_is_what_was_found():
    parts = json.loads(validate.RESULTS.read_text(encoding="utf-8"))["parts"]
    assert cheats_page.PAGE.read_text(encoding="utf-8") == cheats_page.text(parts)


@pytest.mark.parametrize(
    ("columns", "verdict"),
    [
        ({"status": "mismatch", "reason": "off by 1; do this"}, cheats.CAUGHT),
        ({"warnings": (LEAK_WARNING,)}, cheats.TOLD),
        ({"compile_seconds": 0.5e-3}, cheats.UNNOTICED),
        ({"compile_seconds": 0.009e-3}, cheats.IN_VAIN),
    ],
)
def test_what_became_of_a_lie_is_read_in_its_row(columns, verdict):
    told = SimpleNamespace(id="x", saves=True)
    assert cheats.judged(told, "half", row(**columns)).verdict == verdict


def test_a_lie_that_fails_for_another_reason_is_no_proof():
    told = SimpleNamespace(id="x", saves=True)
    with pytest.raises(RuntimeError, match="x, half: crashed: out of luck"):
        cheats.judged(told, "half", row(status="crashed", reason="out of luck"))


def test_an_accusation_is_a_status_or_a_warning_but_for_what_is_true():
    rows = [
        row(warnings=(SUBNORMAL_WARNING, "no single steps: it reads from both ends")),
        row(backend="b", warnings=(LEAK_WARNING,)),
        row(backend="c", status="mismatch", reason="used 2.0 threads"),
    ]
    accused = [(one.backend, one.sentence) for one in honest.accusations(rows, 7)]
    assert accused == [("b", LEAK_WARNING), ("c", "mismatch: used 2.0 threads")]


@pytest.mark.usefixtures("default_registry")
def test_what_is_found_of_lies_goes_into_the_page(monkeypatch):
    def attempts(asked, seed):
        for told, strength in asked:
            caught = told.id == "rows" and (strength == "half" or seed)
            verdict = cheats.CAUGHT if caught else cheats.UNNOTICED
            yield cheats.Found(told.id, strength, verdict, "when timed" if caught else "", 0.0 if caught else 0.125)

    monkeypatch.setattr(cheats, "attempts", attempts)
    monkeypatch.setattr(cheats, "cells", lambda seed: [cheats.Found(cheats.BACKWARD, "1e-01", cheats.CAUGHT, "it is")])
    part = json.loads(json.dumps(cheats.cheats(2)))
    text = cheats_page.text({"cheats": part})
    row = "half | – | 7 of 8 (1 of 2, leaves out 12%); all but one (1 of 2, leaves out 12%) |"
    assert f"| Computes this share of the rows; the rest is what it was. | {row}" in text
    assert "| 1e-01 | – | – |" in text


@pytest.mark.usefixtures("default_registry")
def test_all_seven_are_compared_quiet_and_beside_busy_loops(monkeypatch):
    loops, seen = [0], []

    @contextmanager
    def busy(core):
        loops[0] += 1
        yield
        loops[0] -= 1

    def comparison(number, backends):
        seen.append((number, backends, loops[0], os.environ["KERAS_BACKEND"]))
        return [row("torch", status="mismatch", reason="kept")] if loops[0] and number else [row()]

    monkeypatch.setattr(honest, "busy", busy)
    monkeypatch.setattr(honest, "comparison", comparison)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    part = honest.honest(2)
    assert seen == [(number, honest.SEVEN, count, "jax") for count in (0, 2) for number in (0, 1)]
    assert os.environ["KERAS_BACKEND"] == "torch"
    assert [len(part[where]["accused"]) for where in honest.SURROUNDINGS] == [0, 1]
    assert "| beside 2 busy loops | 2 | 0.0 s | torch: mismatch: kept |" in cheats_page.text({"honest": part})
