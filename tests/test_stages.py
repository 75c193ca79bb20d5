"""What is scored first, what is chosen by it, and what all backends then run: with folds, and of many variants."""

from dataclasses import replace
from pathlib import Path

import pytest
from rising import rising
from small_runs import FAULTY, LIMITS, NO_NUMBA, STAND_IN, Quiet, compare, load, settings
from stored_runs import record

from rnnbench.comparison.plan import Group, Settings
from rnnbench.comparison.runner import choose, plan_comparison
from rnnbench.comparison.stages import KEPT, Choice
from rnnbench.errors import UsageError
from rnnbench.machine.environment import machine
from rnnbench.records.store import SCORED, Store, StoredGroup

AWAY = str(Path(__file__).parent / "plugins" / "rising_away.py")
FOUR = {"cells": ("gru", "rnn-tanh"), "hidden_sizes": (2, 3)}
BOTH = ("numba", "good")


@pytest.fixture
def stand_in(monkeypatch):
    return load(monkeypatch, FAULTY, STAND_IN, NO_NUMBA)


def run_of(root, registry, chosen, listener=None, run=None, task=None):
    run = run or Store(root).create({}, chosen.digest(), machine())
    outcome = compare(chosen, registry, run, listener or Quiet(), [task or rising()], LIMITS)
    return run, outcome


def chosen_of(**changes):
    return settings(**{"tasks": ("rising",), "backends": BOTH, **FOUR, **changes})


# ---- the choice, of groups made by hand ------------------------------------------------------------------------------


def made(scores, folds=None, better="lower", seeds=2, validation=None, scout="numba"):
    """A choice among cells, and the groups that scoring them has stored. scores: by cell, a list by seed and fold."""
    chosen = Settings(tasks=("rising",), cells=tuple(scores), seeds=seeds, folds=folds)
    groups = tuple(
        Group("rising", cell, 4, 1, False, "float32", 1, seed) for seed in range(seeds) for cell in chosen.cells
    )
    choice = Choice(chosen, groups, {"rising": replace(rising(), score_better=better)}, scout)
    stored = []
    for group in choice.scored():
        value = scores[group.cell][group.seed * (folds or 1) + (group.fold or 1) - 1]
        status = {"status": "diverged", "score": None} if value is None else {"score": value}
        row = replace(record("rising", "gru", scout, group.seed, 4), cell=group.cell, fold=group.fold, **status)
        samples = {}
        if validation:
            samples = {"numba": {"kept_steps": 2, "scores": [[1, 9.0], [2, validation[group.cell]], [3, 8.0]]}}
        stored.append(StoredGroup(group.key, (row,), samples))
    return choice, stored


def test_the_best_mean_over_seeds_and_folds_is_tested_and_nothing_else():
    choice, stored = made({"gru": [1, 2, 3, 4], "lstm": [2, 2, 2, 3], "mgu": [3, 3, 3, 1]}, folds=2)
    assert len(choice.scored()) == 12
    assert {group.fold for group in choice.scored()} == {1, 2}
    assert choice.chosen("rising", stored) == [("lstm", 4, 1)]
    ran = choice.run(stored)
    assert [(group.cell, group.seed, group.fold, group.timed) for group in ran] == [
        ("lstm", 0, None, True),
        ("lstm", 1, None, True),
    ]
    assert len(ran) == choice.count()
    assert choice.told(stored) == ["rising: lstm h4 is tested; 2 of 3 not"]


def test_where_more_is_better_the_largest_is_the_best():
    choice, stored = made({"gru": [0.5, 0.5], "lstm": [0.9, 0.2], "mgu": [0.7, 0.6]}, folds=1, better="higher")
    assert choice.chosen("rising", stored) == [("mgu", 4, 1)]


def test_what_failed_once_is_not_chosen():
    choice, stored = made({"gru": [1, None], "lstm": [2, 2]}, folds=1)
    assert choice.chosen("rising", stored) == [("lstm", 4, 1)]


def test_where_nothing_came_through_the_test_part_is_not_looked_at():
    choice, stored = made({"gru": [1, None], "lstm": [None, 2]}, folds=1)
    assert choice.run(stored) == ()
    assert "test part is not looked at" in choice.told(stored)[0]


def test_without_folds_three_are_run_and_those_that_failed_come_last():
    cells = {"gru": [None, 1], "lstm": [3, 3], "mgu": [2, 2], "rnn-relu": [4, 4], "rnn-tanh": [1, 1]}
    choice, stored = made(cells)
    assert [cell for cell, *_ in choice.chosen("rising", stored)] == ["rnn-tanh", "mgu", "lstm"]
    choice, stored = made({**cells, "lstm": [None, None], "rnn-relu": [None, None]})
    assert [cell for cell, *_ in choice.chosen("rising", stored)] == ["rnn-tanh", "mgu", "gru"]


@pytest.mark.parametrize("scout", ["numba", "infers"])  # which has the weights that numba has trained
def test_with_a_validation_part_its_score_decides_and_not_that_on_the_test_part(scout):
    scores = {"gru": [1, 1], "lstm": [2, 2], "mgu": [3, 3], "rnn-tanh": [4, 4]}
    choice, stored = made(scores, validation={"gru": 4.0, "lstm": 3.0, "mgu": 2.0, "rnn-tanh": 1.0}, scout=scout)
    assert [cell for cell, *_ in choice.chosen("rising", stored)] == ["rnn-tanh", "mgu", "lstm"]


def test_the_choice_does_not_look_at_what_ran_after_it():
    choice, stored = made({"gru": [1, 1], "lstm": [2, 2], "mgu": [3, 3], "rnn-tanh": [4, 4]})
    later = [
        StoredGroup(
            group.key, (replace(record("rising", "gru", "numba", group.seed, 4), cell=group.cell, score=99.0),), {}
        )
        for group in choice.run(stored)
    ]
    assert choice.chosen("rising", [*stored, *later]) == choice.chosen("rising", stored)


def test_dtypes_and_threads_are_compared_and_not_chosen():
    """They are scored with the first, and all are run for what was chosen."""
    chosen = Settings(
        tasks=("rising",), cells=("gru", "lstm"), dtypes=("float32", "float64"), threads=(1, 2), seeds=1, folds=2
    )
    groups = tuple(
        Group("rising", cell, 4, 1, False, dtype, threads, 0)
        for threads in (1, 2)
        for dtype in chosen.dtypes
        for cell in chosen.cells
    )
    choice = Choice(chosen, groups, {"rising": rising()}, "numba")
    assert {(group.dtype, group.threads) for group in choice.scored()} == {("float32", 1)}
    assert len(choice.scored()) == 4
    stored = [
        StoredGroup(g.key, (replace(record("rising", g.cell, "numba", 0, 4), fold=g.fold),), {})
        for g in choice.scored()
    ]
    assert {(g.cell, g.dtype, g.threads) for g in choice.run(stored)} == {
        ("gru", dtype, threads) for dtype in chosen.dtypes for threads in (1, 2)
    }
    assert choice.count() == 4


# ---- carried out -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_folds_choose_on_one_backend_untimed_and_all_backends_test_the_best(stand_in, tmp_path):
    listener = Quiet()
    run, _ = run_of(tmp_path, stand_in, chosen_of(folds=2), listener)
    folds = [record for record in run.records() if record.fold]
    tested = [record for record in run.records() if record.fold is None]
    assert {(r.cell, r.hidden_size, r.fold) for r in folds} == {
        (cell, hidden, fold) for cell in FOUR["cells"] for hidden in (2, 3) for fold in (1, 2)
    }
    for row in folds:
        assert (row.backend, row.status, row.infer_seconds, row.latency_p50_seconds) == ("numba", "ok", None, None)
        assert row.score is not None  # and so it was checked
        assert row.forward_error < row.forward_tolerance
        assert row.gradient_error < row.gradient_tolerance
        assert row.train_steps > 0
    assert [row.backend for row in tested] == list(BOTH)
    assert all(row.infer_seconds > 0 for row in tested)
    means = {}
    for row in folds:
        means[row.cell, row.hidden_size] = means.get((row.cell, row.hidden_size), 0.0) + row.score / 2
    assert {(row.cell, row.hidden_size) for row in tested} == {min(means, key=means.get)}
    (plan,) = listener.plans
    assert plan[:2] == (9, 0)
    assert "scored on 2 folds inside the training part, by numba alone" in plan[3][0]
    ((total, notices),) = listener.choices
    assert total == len(listener.done) == 9
    assert notices[0].endswith("is tested; 3 of 4 not")
    assert run.complete


@pytest.mark.slow
def test_many_variants_of_a_users_table_are_scored_first_and_three_run_on_all_backends(stand_in, tmp_path):
    listener = Quiet()
    run, _ = run_of(tmp_path, stand_in, chosen_of(), listener)
    groups, every = run.groups(), run.groups(scored=True)
    assert len(groups) == 4
    assert len(every) == 4 + KEPT
    assert sorted(len(group.records) for group in groups) == [1, 2, 2, 2]
    left_out = next(group for group in groups if len(group.records) == 1)
    assert left_out.key.endswith(SCORED)
    assert left_out.records[0].infer_seconds is None
    validation = {
        group.key: dict(group.samples["numba"]["scores"])[group.samples["numba"]["kept_steps"]]
        for group in every
        if group.key.endswith(SCORED)
    }
    assert max(validation, key=validation.get) == left_out.key
    assert len(run.records()) == 7
    assert listener.choices[0][0] == 7
    assert run.problems() == []


@pytest.mark.parametrize(
    "changes",
    [{"all_backends": True}, {"hidden_sizes": (2,)}, {"backends": ("good",)}],
    ids=lambda changes: next(iter(changes)),
)
def test_otherwise_all_is_done_at_once(stand_in, changes):
    plan = plan_comparison(chosen_of(**changes), stand_in, [rising()])
    assert len(plan.stages) == 1
    assert plan.description.left_out == ()
    assert all(group.timed for group in plan.stages[0].groups(()))


def test_tasks_that_plugins_offer_are_not_chosen_of(monkeypatch):
    registry = load(monkeypatch, FAULTY, AWAY, STAND_IN, NO_NUMBA)
    plan = plan_comparison(chosen_of(tasks=("plugin-rising", "rising")), registry, [rising()])
    (first, second) = plan.stages
    assert {group.task for group in first.groups(())} == {"rising"}
    assert second.count == 4 + KEPT
    (told,) = plan.description.left_out
    assert told.startswith("rising: every cell and size is scored by numba alone")


class Impatient(Quiet):
    """Presses Ctrl-C when so many groups are done."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def finished(self, group, records, seconds):
        super().finished(group, records, seconds)
        if len(self.done) == self.after:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("after", [3, 8])
def test_a_resumed_run_chooses_as_it_would_have(stand_in, tmp_path, after):
    """Interrupted among the folds, and right before the one group that is tested."""
    chosen = chosen_of(folds=2)
    run, outcome = run_of(tmp_path, stand_in, chosen, Impatient(after))
    assert outcome.interrupted
    listener = Quiet()
    run_of(tmp_path, stand_in, chosen, listener, run)
    assert listener.plans[0][1] == after
    whole, _ = run_of(tmp_path, stand_in, chosen)
    keys = [{group.key for group in each.groups(scored=True)} for each in (run, whole)]
    assert keys[0] == keys[1]
    scores = [{(r.cell, r.fold, r.seed, r.backend): r.score for r in each.records()} for each in (run, whole)]
    assert scores[0] == scores[1]


@pytest.mark.slow
def test_folds_of_a_plugins_task_are_made_in_its_process(monkeypatch, tmp_path):
    registry = load(monkeypatch, FAULTY, AWAY, NO_NUMBA)
    chosen = settings(tasks=("plugin-rising",), backends=("good",), folds=2)
    run = Store(tmp_path / "away").create({}, chosen.digest(), machine())
    compare(chosen, registry, run, Quiet(), (), LIMITS)
    here, _ = run_of(tmp_path / "here", registry, settings(tasks=("rising",), backends=("good",), folds=2))
    scores = [[(record.fold, record.score) for record in each.records()] for each in (run, here)]
    assert scores[0] == scores[1]
    assert len(set(scores[0])) == 3


def test_the_scout_is_the_trainer_or_the_first_that_trains(stand_in):
    def scout(*names):
        found = choose(settings(backends=names), [rising()], stand_in).scout()
        return found and (found.infos[0].id, found.trainer and found.trainer.id)

    assert scout("good", "numba") == ("numba", None)
    assert scout("infers", "good", "wrong") == ("good", None)
    assert scout("infers", "late") == ("infers", "numba")  # which lends its weights


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ("mean",)}, "--folds takes tasks that forecast a series, and 'mean' is none"),
        ({"backends": ("infers",)}, "--folds needs a backend that trains"),
        ({"folds": 0}, "--folds takes a whole number from 1"),
        ({"folds": 1001}, "--folds takes a whole number from 1"),
        ({"folds": 1000, "seeds": 99}, "396000 groups"),
    ],
)
def test_folds_that_cannot_be_are_refused_before_any_work(monkeypatch, changes, message):
    registry = load(monkeypatch, FAULTY, NO_NUMBA)
    with pytest.raises(UsageError, match=message):
        plan_comparison(chosen_of(**{"backends": ("good",), "folds": 2, **changes}), registry, [rising()])
