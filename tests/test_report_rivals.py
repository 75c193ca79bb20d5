"""What is said of cells beside baselines: shown over seeds and over the test part, or by which of both alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from stored_runs import baseline, failed, record, stored

from rnnbench.comparison.description import TaskNote
from rnnbench.records.comparisons import sampled
from rnnbench.records.record import BASELINE, Record
from rnnbench.records.store import LEAD_SCORES, LOSSES, StoredGroup
from rnnbench.records.summary import Row, label, summarise, varying
from rnnbench.report import notes, rivals, sentences
from rnnbench.report.document import Report
from rnnbench.report.gains import Losses
from rnnbench.report.text import printable
from rnnbench.tasks.spec import Training

SPREAD = (-0.010, 0.005, 0.0, -0.005, 0.010)
TIMES = 60
RNG = np.random.default_rng(7)
COMMON = RNG.gamma(4.0, 0.1, TIMES)  # what makes a time hard for everybody
NOISE = RNG.normal(0, 0.02, (9, TIMES))


def group(row: Record, losses: Sequence[float] | None = None, leads: Sequence[float] | None = None) -> StoredGroup:
    name = f"{BASELINE}:{row.cell}" if row.is_baseline else row.backend
    samples = {LOSSES: losses, LEAD_SCORES: leads}
    found = {key: list(map(float, values)) for key, values in samples.items() if values is not None}
    return StoredGroup(f"{row.cell}-{row.seed}", (row,), {name: found} if found else {})


def cell(name: str, mean: float, losses: Sequence[float] | None = None, seeds: int = 5, fold: int | None = None):
    rows = [record("adding", name, "numba", s, score=mean + SPREAD[s], fold=fold) for s in range(seeds)]
    return [group(row, losses) for row in rows]


def rival(name: str, score: float, losses: Sequence[float] | None = None, seeds: int = 5, fold: int | None = None):
    return [group(baseline("adding", name, s, score, fold=fold), losses) for s in range(seeds)]


def said(groups: list[StoredGroup], series: int = 1, lead: int = 1) -> list[str]:
    note = TaskNote("adding", Training(1), series=series, lead=lead)
    rows = summarise(row for each in groups for row in each.records)
    return [printable(line) for line in rivals.rival_sentences(rows, Losses.of(groups, note))]


def test_a_cell_beats_every_baseline_where_seeds_and_test_times_show_it() -> None:
    better, worse = COMMON + NOISE[0] - 0.1, COMMON + NOISE[1]
    best, line = said([*cell("lstm", 0.4, better), *rival("ridge", 0.5, worse), *rival("drift", 0.9, worse + 0.4)])
    assert best == "Best score: lstm, 0.4000 ± 0.0098; best baseline: ridge (13 parameters), 0.500."
    assert line.startswith(
        "lstm beats every baseline: ridge (13 parameters) by 20 % [18, 22] and drift (13 parameters)"
    )
    basis = (
        "(error / persistence on numba, 5 seeds, paired, 60 test times by Diebold and Mariano, corrected for 2 pairs)."
    )
    assert line.endswith(basis)


def test_a_lead_over_seeds_alone_is_not_shown() -> None:
    """The seeds all agree, and at the test times the two are as good as each other."""
    _, line = said([*cell("lstm", 0.4, COMMON + NOISE[0]), *rival("ridge", 0.5, COMMON + NOISE[1])])
    assert line.startswith("No cell is shown to beat ridge (13 parameters): lstm is ahead of ridge by 20 % [18, 22], ")
    assert "shown over seeds alone, not over 60 test times (p = 0." in line


def test_a_lead_over_test_times_alone_is_not_shown() -> None:
    """One seed in five is far worse."""
    groups = cell("lstm", 0.4, COMMON - 0.1)
    lost = groups[0].records[0]
    groups[0] = group(replace(lost, score=0.8), COMMON - 0.1)
    _, line = said([*groups, *rival("ridge", 0.5, COMMON + NOISE[1])])
    assert line.startswith("No cell is shown to beat ridge (13 parameters): lstm is ahead of ridge by ")
    assert "shown over 60 test times (p = " in line


def test_too_few_test_times_for_the_horizon_show_nothing() -> None:
    better, worse = (COMMON - 0.1)[:24], COMMON[:24]
    groups = [*cell("lstm", 0.4, better), *rival("ridge", 0.5, worse)]
    assert said(groups, lead=1)[1].startswith("lstm beats every baseline")
    _, line = said(groups, lead=12)
    assert line.startswith("No cell is shown to beat ridge")
    assert "24 test times too few for a verdict" in line


def test_a_baseline_that_beats_all_cells_is_told_so() -> None:
    better, worse = COMMON + NOISE[0] - 0.1, COMMON + NOISE[1]
    groups = [*cell("lstm", 0.5, worse), *cell("gru", 0.6, worse + 0.1), *rival("ridge", 0.24, better)]
    best, line = said(groups)
    assert best.startswith("Best score: ridge (13 parameters), 0.240; best cell: lstm, 0.5000 ± 0.0098.")
    assert line.startswith("ridge (13 parameters) beats every cell, the best of them, lstm, by a factor of 2.08 [")


def test_of_many_baselines_the_strongest_have_their_figures() -> None:
    def five(first: float) -> list[StoredGroup]:
        return [each for n in range(5) for each in rival(f"r{n}", first + 0.01 * n)]

    (_, line) = said([*cell("lstm", 0.1), *five(0.5)])
    assert line.startswith("lstm beats every baseline: r0 (13 parameters) by a factor of ")
    assert "r2" in line
    assert " and 2 more (" in line
    (_, line) = said([*cell("lstm", 0.9), *five(0.5)])
    names = [f"r{n} (13 parameters)" for n in range(3)]
    assert line.startswith(f"{', '.join(names)} and 2 more beat every cell, the best of them, lstm, by 44 % [")


def test_without_losses_the_seeds_decide() -> None:
    """Of tasks that are generated every seed has data of its own."""
    groups = [*cell("lstm", 0.4), *cell("gru", 0.41), *rival("ridge", 0.5), *rival("constant", 0.405)]
    _, unbeaten, beaten = said(groups)
    assert unbeaten.startswith(
        "No cell is shown to beat constant (13 parameters): lstm is ahead of constant by 1.3 % ["
    )
    assert beaten.startswith("lstm beats ridge (13 parameters) by 20 % [")
    assert beaten.endswith("(error / persistence on numba, 5 seeds, paired, corrected for 4 pairs).")


def test_a_baseline_with_the_same_score_is_level() -> None:
    groups = [group(record("adding", "lstm", "numba", s, score=0.5)) for s in range(5)]
    assert "lstm is level with ridge (" in said([*groups, *rival("ridge", 0.5)])[1]


def test_the_best_has_its_interval_over_the_test_part() -> None:
    """That of Student's t over series; not where a score is no mean of losses, as RMSE is not."""
    losses = np.array([0.3, 0.5, 0.4, 0.6, 0.7, 0.2, 0.45, 0.55])
    low, high = stats.t.interval(0.95, 7, loc=losses.mean(), scale=stats.sem(losses))
    best, _ = said([*cell("lstm", 0.5, losses + 0.0375), *rival("ridge", float(losses.mean()), losses)], series=8)
    ends = [f"[{low:.3f}, {high:.3f}]", f"[{low + 0.0375:.3f}, {high + 0.0375:.3f}]"]
    assert best == (
        f"Best score over 8 series: ridge (13 parameters), 0.463 {ends[0]}; best cell: lstm, 0.500 {ends[1]}."
    )
    best, _ = said([*cell("lstm", 0.5, losses), *rival("ridge", 0.4, losses)], series=8)
    assert best == "Best score: ridge (13 parameters), 0.400; best cell: lstm, 0.5000 ± 0.0098."


def test_fewer_than_five_seeds_are_no_verdict() -> None:
    best, line = said([*cell("lstm", 0.1, seeds=4), *rival("ridge", 0.5, seeds=4)])
    assert best.startswith("Best score: lstm")
    assert line == "Whether a cell beats a baseline is not said of fewer than 5 seeds."


def test_many_series_are_ranked_so_that_one_does_not_decide() -> None:
    """Better on 11 of 12 series, and on one so much worse that the means say the opposite."""
    worse = COMMON[:12]
    better = worse - 0.05
    better[3] += 9.0
    groups = [*cell("lstm", 0.4, better), *rival("ridge", 0.5, worse)]
    assert said(groups, series=12)[1].startswith("lstm beats every baseline: ridge (13 parameters) by 20 %")
    assert "12 series by Wilcoxon's signed ranks" in said(groups, series=12)[1]
    assert said(groups)[1].startswith("No cell is shown")


def test_of_several_methods_over_series_friedman_has_the_first_word() -> None:
    """One pair differs on 8 of 9 series; with three more methods that are shuffled, all rank alike."""
    worse = COMMON[:9]
    better = worse - 0.01
    better[0] = worse[0] + 0.001
    pair = [*cell("lstm", 0.4, better), *rival("ridge", 0.5, worse)]
    assert said(pair, series=9)[1].startswith("lstm beats every baseline")
    shuffled = [rival(f"other-{n}", 0.9, worse + (-1.0) ** np.arange(n, n + 9)) for n in range(2)]
    _, line, *_ = said([*pair, *shuffled[0], *shuffled[1]], series=9)
    assert line.startswith("No cell is shown to beat ridge (13 parameters)")


def test_cells_too_have_to_show_it_over_the_test_times() -> None:
    groups = [*cell("lstm", 0.4, COMMON + NOISE[0]), *cell("gru", 0.5, COMMON + NOISE[1])]
    rows = summarise(row for each in groups for row in each.records)
    (line,) = sentences.score_sentences(rows, Losses.of(groups, TaskNote("", Training(1))))
    assert line.startswith("Score: undecided whether lstm is better than gru (20")
    assert "shown over seeds alone, not over 60 test times" in line


def test_ceilings_and_ties_are_told_as_such() -> None:
    def tied(score: float, better: str) -> str:
        rows = [
            record("adding", name, "numba", s, score=score + off, score_better=better, score_name="accuracy")
            for name, off in (("lstm", 0.0), ("gru", score * 1e-15), ("rnn-tanh", 0.0))
            for s in range(5)
        ]
        (line,) = sentences.score_sentences(summarise(rows))
        return line

    assert tied(1.0, "higher") == (
        "Score: level: all reach 1.00 on every seed (accuracy on numba, 5 seeds, paired, corrected for 3 pairs)."
    )
    assert tied(0.0, "lower").startswith("Score: level: all have 0 on every seed (")


def test_a_tie_of_two_leaves_the_third_its_own_sentence() -> None:
    rows = [
        record("adding", name, "numba", s, score=0.5, score_better="higher")
        for name in ("lstm", "gru")
        for s in range(5)
    ]
    rows += [record("adding", "rnn-tanh", "numba", s, score=0.4, score_better="higher") for s in range(5)]
    beaten, level = sentences.score_sentences(summarise(rows))
    assert beaten.startswith("Score: lstm beats rnn-tanh by 0.1")
    assert level.startswith("Score: level: lstm and gru reach 0.500 on every seed (")


# ---- rows ------------------------------------------------------------------------------------------------------------


def test_a_baseline_has_no_sizes() -> None:
    rows = summarise([record("adding", "gru", "numba", 0), baseline("adding", "ridge", 0, 0.5)])
    assert varying(rows) == ()
    assert [label(row.variant, ("hidden_size", "layers")) for row in rows] == ["gru h32 1 layer", "ridge"]


def test_folds_count_as_one_value_a_seed_and_as_rows_of_their_own() -> None:
    scores = {(0, 1): 0.2, (0, 2): 0.4, (1, 1): 0.5, (1, 2): 0.9}
    rows = [record("adding", "gru", "numba", s, score=value, fold=fold) for (s, fold), value in scores.items()]
    on_folds, tested = summarise([*rows, record("adding", "gru", "numba", 0, score=0.6)])
    assert (on_folds.folds, tested.folds) == (2, 0)
    assert on_folds.scores == pytest.approx({0: 0.3, 1: 0.7})
    found = on_folds.figure("score")
    assert found is not None
    assert (found.value, found.count) == (pytest.approx(0.5), 2)
    assert (on_folds.as_json()["seeds"], on_folds.as_json()["folds"], tested.as_json()["folds"]) == (2, 2, None)


def test_the_times_of_folds_follow_each_other_and_seeds_are_averaged() -> None:
    def rows(fold: int, values: Sequence[Sequence[float]]) -> list[StoredGroup]:
        return [group(record("adding", "gru", "numba", s, fold=fold), own) for s, own in enumerate(values)]

    groups = [*rows(2, [[5.0], [7.0]]), *rows(1, [[1.0, 2.0], [3.0, 4.0]])]
    (times,) = Losses.of(groups, TaskNote("", Training(1))).of_rows.values()
    assert times.tolist() == [2.0, 3.0, 6.0]
    groups = [*rows(2, [[5.0, 9.0]]), *rows(1, [[1.0, 2.0]])]
    (series,) = Losses.of(groups, TaskNote("", Training(1), series=2)).of_rows.values()
    assert series.tolist() == [3.0, 5.5]


def test_what_a_failed_row_lost_does_not_count() -> None:
    row = record("adding", "gru", "numba", 0)
    assert sampled([group(failed(row, "mismatch", "off"), [1.0])], LOSSES) == {}


def test_the_choice_names_what_was_best_on_the_folds_not_on_the_test_part() -> None:
    def rows(cells: dict[str, float], rival_scores: dict[str, float], fold: int | None) -> list[StoredGroup]:
        found = [each for name, mean in cells.items() for each in cell(name, mean, fold=fold)]
        return found + [each for name, mean in rival_scores.items() for each in rival(name, mean, fold=fold)]

    folded = [
        each for fold in (1, 2, 3) for each in rows({"gru": 0.5, "lstm": 0.6}, {"ridge": 0.55, "drift": 0.9}, fold)
    ]
    tested = rows({"gru": 0.53}, {"ridge": 0.55, "drift": 0.4}, None)

    def summed(groups: list[StoredGroup]) -> tuple[Row, ...]:
        return summarise(row for each in groups for row in each.records)

    line = rivals.choice_sentence(summed(folded), summed(tested))
    assert line == (
        "Chosen on 3 folds: gru; on the test part, looked at once: 0.5300 ± 0.0098; "
        "ridge 0.550, the best baseline on the folds."
    )
    assert rivals.choice_sentence(summed(folded), summed(rows({}, {"ridge": 0.5}, None))) is None


def test_scores_by_step_ahead_are_of_the_best_cell_and_the_best_baseline() -> None:
    gru, ridge = record("adding", "gru", "numba", 0, score=0.5), baseline("adding", "ridge", 0, 0.6)
    drift = baseline("adding", "drift", 0, 0.9)
    rows = summarise([gru, ridge, drift])
    scores = {rows[0]: [0.4, 0.6], rows[1]: [0.5, 0.7], rows[2]: [0.8, 1.0]}
    line = "By step ahead (error / persistence), steps 1 and 2: gru 0.400, 0.600; ridge 0.500, 0.700."
    assert rivals.lead_line(rows, scores) == line
    assert rivals.lead_line(rows, {row: [0.5] for row in rows}) is None
    long = rivals.lead_line(rows, {row: np.linspace(0.1, 0.9, 24).tolist() for row in rows})
    assert str(long).count(",") == 1 + 6 + 7 + 7  # eight of 24 steps, the first and the last among them
    assert "steps 1, 4, " in str(long)
    assert "and 24: " in str(long)


def test_notes_do_not_take_a_baseline_for_a_backend() -> None:
    rows = summarise(
        [
            record("adding", "gru", "numba", 0),
            baseline("adding", "ridge", 0, 0.5, warnings=("short",)),
            failed(baseline("adding", "theta", 0, 0.5), "crashed", "ValueError: no"),
        ]
    )
    assert notes.adopted_line(rows) is None
    assert notes.warning_lines(rows) == ["Note on ridge: short"]
    assert notes.trouble_lines(rows) == ["theta: crashed: ValueError: no"]
    unlearned = summarise([record("adding", "gru", "numba", 0), baseline("adding", "constant", 0, 1.0)])
    assert sentences.learning_sentence(unlearned) is None


def test_a_report_of_baselines_alone_is_one(tmp_path: Path) -> None:
    """What is stored of a run that was stopped after its first groups."""
    run = stored(tmp_path, cells=(), baselines={"ridge": 0.5})
    (section,) = Report.of(run).sections
    assert section.columns[0].cells == ("ridge",)
    assert section.findings == ()


def test_early_stopping_is_told() -> None:
    rows = summarise([record("adding", "gru", "numba", 0)])
    line = notes.settings_line(rows, Training(2000, patience=5))
    assert "at most 2000 steps, ended by 5 evaluations without a better score on the validation part and " in str(line)


def test_what_was_inferred_of_a_table_is_told() -> None:
    note = TaskNote("load.csv", Training(1), season=7, inferred=("semicolons", "daily"))
    mase = "MASE: error over the mean change in 7 rows of the training part."
    assert notes.inferred_line(note) == f"Table: semicolons, daily. {mase}"
    assert notes.inferred_line(replace(note, inferred=())) == mase
    assert notes.inferred_line(TaskNote("adding", Training(1))) is None
