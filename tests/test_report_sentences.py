import math
from dataclasses import replace
from pathlib import Path

import pytest
from stored_runs import ERRORS, failed, record, stored

from rnnbench.records.noise import KnownNoise
from rnnbench.records.record import Record
from rnnbench.records.statistics import Interval
from rnnbench.records.store import Run
from rnnbench.records.summary import summarise
from rnnbench.report import gains, notes, sentences
from rnnbench.report.text import printable
from rnnbench.tasks.spec import Training
from rnnbench.training import Adam

SPREAD = (-0.02, 0.01, 0.0, -0.01, 0.02)


def scored(seeds: int = 5, **errors: tuple[float, ...]) -> list[Record]:
    return [record("adding", cell, "numba", s, score=errors[cell][s]) for cell in errors for s in range(seeds)]


def said(records: list[Record]) -> list[str]:
    return [printable(line) for line in sentences.score_sentences(summarise(records))]


def test_a_cell_that_is_better_on_every_seed_wins_by_the_paired_share() -> None:
    lstm = tuple(0.5 + d for d in SPREAD)
    gru = tuple(0.96 * value for value in lstm)
    assert said(scored(lstm=lstm, gru=gru)) == [
        "Score: gru beats lstm by 4.0 % [4.0, 4.0] (error / persistence on numba, 5 seeds, paired)."
    ]


def test_a_large_lead_is_a_factor() -> None:
    lstm = tuple(0.5 + d for d in SPREAD)
    (line,) = said(scored(lstm=lstm, gru=tuple(value / 40 for value in lstm)))
    assert "gru beats lstm by a factor of 40.0 [40.0, 40.0]" in line


def test_a_lead_within_the_spread_of_seeds_is_undecided() -> None:
    (line,) = said(scored(lstm=(0.5, 0.6, 0.4, 0.5, 0.55), gru=(0.51, 0.5, 0.5, 0.4, 0.6)))
    assert line.startswith("Score: undecided whether gru is better than lstm (1.5 % [")
    assert "beats" not in line


def test_four_seeds_decide_nothing() -> None:
    lstm = tuple(0.5 + d for d in SPREAD)
    (line,) = said(scored(seeds=4, lstm=lstm, gru=tuple(0.5 * value for value in lstm)))
    assert line.startswith("Score: undecided")
    assert "4 seeds" in line


@pytest.mark.parametrize(("seeds", "word"), [(5, "beats"), (4, "undecided")])
def test_where_more_is_better_the_difference_is_absolute(seeds: int, word: str) -> None:
    accuracies = {"lstm": tuple(0.8 + d for d in SPREAD), "gru": tuple(0.9 + d for d in SPREAD)}
    rows = [replace(row, score_better="higher", score_name="accuracy") for row in scored(seeds, **accuracies)]
    (line,) = said(rows)
    assert word in line
    assert "0.100 [0.100, 0.100]" in line
    assert line.index("gru") < line.index("lstm")


def test_an_error_of_zero_has_no_ratio_and_still_wins() -> None:
    (line,) = said(scored(lstm=tuple(0.5 + d for d in SPREAD), gru=(0.0,) * 5))
    assert "gru beats lstm by 0.500 [" in line


def test_many_pairs_demand_more_of_each() -> None:
    """Five seeds with p = 0.02 for each rival: enough for one pair, not for the six that four cells make."""
    rival = tuple(0.5 + d for d in (0.03, 0.08, 0.04, 0.12, 0.01))
    two = scored(lstm=rival, gru=(0.5,) * 5)
    (line,) = said(two)
    assert line.startswith("Score: gru beats lstm")
    assert "corrected" not in line
    others = [replace(row, cell=name) for row in two if row.cell == "lstm" for name in ("ugrnn", "mingru")]
    lines = said([*two, *others])
    assert [line.split(":")[1].strip()[:9] for line in lines] == ["undecided"]
    assert "corrected for 6 pairs" in lines[0]


def test_what_the_run_could_have_told_apart_is_said(tmp_path: Path) -> None:
    groups = stored(tmp_path, cells=("lstm", "gru")).groups()
    rows = summarise(row for group in groups for row in group.records)
    line = printable(str(sentences.detectable_sentence(rows, groups, least=0.04)))
    assert line.startswith("Detectable in 80 % of such runs: a difference of 4.0 % in speed and")
    assert line.endswith("% in score.")
    assert sentences.detectable_sentence(rows[:1], [], 0.02) is None


def test_rows_with_a_failure_are_not_compared() -> None:
    rows = scored(lstm=(0.5,) * 5, gru=(0.4,) * 5)
    rows[-1] = failed(rows[-1], "mismatch", "off")
    assert said(rows) == []


def test_cells_without_a_common_seed_are_not_compared() -> None:
    rows = scored(lstm=(0.5,) * 5, gru=(0.4,) * 5)
    assert said([row for row in rows if (row.cell == "lstm") == (row.seed < 2)]) == []


def test_scores_are_compared_on_one_backend() -> None:
    others = [record("adding", cell, "torch", s, score=0.1) for cell in ("lstm", "gru") for s in range(5)]
    lines = said([*others, *scored(lstm=(0.5,) * 5, gru=(0.4,) * 5)])
    assert lines == ["Score: gru beats lstm by 20 % [20, 20] (error / persistence on numba, 5 seeds, paired)."]


def test_who_did_not_learn_is_named_with_the_count() -> None:
    rows = [record("adding", "rnn-tanh", "numba", s, learned=s < 2) for s in range(5)]
    rows += [record("adding", "gru", "numba", s) for s in range(5)]
    sentence = sentences.learning_sentence(summarise(rows))
    assert sentence is not None
    assert sentence.endswith("rnn-tanh 2/5.")
    assert sentences.learning_sentence(summarise(rows[5:])) is None


def speeds(run: Run, least: float = 0.02) -> list[str]:
    groups = run.groups()
    rows = summarise(row for group in groups for row in group.records)
    return [printable(line) for line in sentences.speed_sentences(rows, groups, least)]


def test_the_fastest_backend_is_named_with_its_ratio(tmp_path: Path) -> None:
    (line,) = speeds(stored(tmp_path, cells=("lstm", "gru")))
    assert line.startswith("Speed: numba ran faster than numpy: 23.")
    assert " times for lstm and 23." in line


def test_a_ratio_below_the_minimum_effect_is_no_verdict(tmp_path: Path) -> None:
    run = stored(tmp_path, cells=("lstm",))
    (line,) = speeds(run, least=30.0)
    assert line.startswith("Speed: numba ran as fast as numpy: 23.")


def test_one_process_a_side_is_undecided(tmp_path: Path) -> None:
    (line,) = speeds(stored(tmp_path, cells=("lstm",), seeds=1))
    assert line.startswith("Speed: undecided whether numba is faster than numpy: 23.")


def test_a_mismatch_is_not_ranked_by_speed(tmp_path: Path) -> None:
    def change(row: Record) -> Record:
        return failed(row, "mismatch", "off by 1e-2") if row.backend == "numba" and row.seed == 2 else row

    assert speeds(stored(tmp_path, cells=("lstm",), change=change)) == []


def test_troubles_are_told_once_with_their_rows_and_seeds() -> None:
    rows = [record("adding", cell, name, s) for cell in ERRORS for name in ("numba", "torch") for s in range(3)]
    rows = [failed(r, "load_error", "needs torch; pip install torch") if r.backend == "torch" else r for r in rows]
    rows = [
        failed(r, "diverged", "loss is NaN") if r.backend == "numba" and r.cell == "gru" and r.seed else r for r in rows
    ]
    assert notes.trouble_lines(summarise(rows)) == [
        "torch: load_error: needs torch; pip install torch",
        "gru on numba: diverged, on seeds 1 and 2 of 3: loss is NaN",
    ]


def test_warnings_are_told_once() -> None:
    rows = [record("adding", cell, "numpy", s, warnings=("scored with others",)) for cell in ERRORS for s in (0, 1)]
    assert notes.warning_lines(summarise(rows)) == ["Note on numpy: scored with others"]


def test_who_took_over_the_weights_of_another_is_told() -> None:
    rows = [record("adding", cell, name, 0) for cell in ("lstm", "gru") for name in ("numba", "numpy")]
    assert notes.adopted_line(summarise(rows)) == "numpy: scored with the weights that numba trained."
    assert notes.adopted_line(summarise(rows[::2])) is None


def test_settings_line_states_what_training_was() -> None:
    rows = summarise(record("adding", "gru", "numba", seed) for seed in range(5))
    line = notes.settings_line(rows, Training(200, 16, Adam(3e-3, clip_norm=1.0), "orthogonal", 1.0))
    assert line == (
        "Training: Adam, learning rate 0.003, gradients clipped to norm 1, batch 16, 200 steps, orthogonal recurrent "
        "weights, forget bias 1. Model: hidden size 32, 1 layer, float32, 1 thread; seeds 0 to 4."
    )
    assert "no clipping" in notes.settings_line(rows, Training(1, 16, Adam(), "uniform", None))


@pytest.mark.parametrize(
    ("noise", "least"),
    [(None, "2.0 %"), (Interval(1.0, 0.999, 1.001, 5), "2.0 %"), (Interval(1.01, 0.97, 1.05, 5), "5.0 %")],
)
def test_the_noise_of_the_machine_sets_what_counts(noise: Interval | None, least: str) -> None:
    line = printable(notes.noise_line(noise))
    assert f"speeds closer than {least} are not told apart" in line
    assert ("not measured" in line) == (noise is None)


def test_the_noise_that_the_doctor_found_counts_too() -> None:
    known = KnownNoise(Interval(1.002, 0.96, 1.03, 8), "2026-11-23")
    line = printable(notes.noise_line(Interval(1.01, 0.99, 1.03, 5), known))
    assert "is 1.0 % [-1.0, 3.0] in this run and was 0.2 % [-4.0, 3.0] on 2026-11-23, over 8 pairs" in line
    assert "speeds closer than 4.2 % are not told apart" in line


def test_too_few_processes_are_told() -> None:
    rows = [record("adding", "gru", "numba", seed) for seed in range(5)]
    assert notes.process_line(rows) is None
    assert "leave the spread between processes" in str(notes.process_line(rows[:1]))
    assert str(notes.process_line(rows[:3])).startswith("3 seeds, so 3 processes a side")


def test_compile_times_are_told_cold_and_warm() -> None:
    rows = [record("adding", "gru", "numba", s, compile_seconds=c) for s, c in enumerate((2.0, 0.02, 0.05, 0.0))]
    line = notes.compile_line(rows)
    assert line is not None
    assert "numba 2.00 s with a cold cache and numba 20.0 ms to 50.0 ms with a warm cache" in line
    assert notes.compile_line([record("adding", "gru", "numpy", 0)]) is None


def test_the_paired_share_is_the_geometric_mean_of_the_seeds() -> None:
    best, other = {0: 0.5, 1: 0.2}, {0: 1.0, 1: 0.25}
    gained = gains.gain(best, other, lower=True)
    expected = 100 * (1 - math.sqrt(0.5 * 0.8))
    assert gained.text.startswith(f"{expected:.0f}")
    assert gained.seeds == 2
