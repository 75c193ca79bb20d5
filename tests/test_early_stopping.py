"""Training with a validation part: when it ends, which weights are kept, and that the test part has no say in it."""

from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from rising import error, rising
from small_runs import FAULTY, LIMITS, NO_NUMBA, STAND_IN, Quiet, compare, load, settings

from rnnbench.backends.numpy_reference import NumpyBackend
from rnnbench.comparison import arrays, rows, runner
from rnnbench.comparison.baseline_work import blind_bar
from rnnbench.comparison.learning import Watch
from rnnbench.comparison.scoring import Scores
from rnnbench.machine.environment import machine
from rnnbench.model import Model
from rnnbench.records.store import Store
from rnnbench.registry import registry
from rnnbench.tasks.batches import batches
from rnnbench.tasks.forecast import Cut, ForecastTask, one_series
from rnnbench.tasks.spec import Budget, Data, Split, Windows
from rnnbench.training_loop import EVALUATIONS, SHORTEST, EarlyStopping
from rnnbench.verify.update import EARLIEST, WINDOW

AWAY = str(Path(__file__).parent / "plugins" / "rising_away.py")


@pytest.fixture
def stand_in(monkeypatch):
    """Small backends, one of them in the place of `numba`."""
    return load(monkeypatch, FAULTY, STAND_IN, NO_NUMBA)


def run_of(root, registry, task, **changes):
    chosen = settings(**{"tasks": (task.id,), "backends": ("good",), **changes})
    run = Store(root).create({}, chosen.digest(), machine())
    compare(chosen, registry, run, Quiet(), [task], LIMITS)
    return run


@pytest.mark.parametrize(
    ("better", "scores", "kept", "over"),
    [
        ("lower", [3.0, 2.0, 2.5, 2.0], 2, True),  # a tie keeps the earlier
        ("lower", [3.0, 2.0, 2.5], 2, False),
        ("lower", [3.0, 2.0, 2.5, 1.0, 4.0], 4, False),
        ("higher", [0.1, 0.3, 0.2, 0.3], 2, True),
    ],
)
def test_the_first_of_the_best_is_kept_until_patience_ends(better, scores, kept, over):
    stopping = EarlyStopping(better, patience=2)
    for number, score in enumerate(scores, 1):
        assert not stopping.over
        stopping.keeps(score, number)
    assert (stopping.steps, stopping.over) == (kept, over)


@pytest.mark.parametrize(("steps", "interval"), [(2000, 100), (80, 4), (20, SHORTEST), (0, SHORTEST)])
def test_evaluations_are_a_twentieth_of_the_budget_apart(steps, interval):
    assert EarlyStopping.interval(steps) == interval >= WINDOW


def test_without_patience_it_is_never_over():
    stopping = EarlyStopping("lower", None)
    for number in range(100):
        stopping.keeps(float(number), number + 1)
    assert (stopping.steps, stopping.over) == (1, False)


@pytest.mark.slow
def test_the_weights_of_the_best_validation_score_are_kept_and_tested(stand_in, tmp_path):
    task, kept = rising(), {}
    run = run_of(tmp_path, stand_in, task, backends=("numba", "good", "infers"))
    (group,) = run.groups()
    every = EarlyStopping.interval(task.budget.steps)
    for record in group.records:
        assert (record.status, record.reason) == ("ok", "")
        if record.backend != "infers":  # each has decided by itself
            samples = group.samples[record.backend]
            scores = dict(samples["scores"])
            best = min(scores, key=scores.get)  # the first of the best
            assert samples["kept_steps"] == kept.setdefault("steps", best) == best
            assert record.train_steps == best + task.budget.patience * every < task.budget.steps
            assert list(scores) == list(range(every, record.train_steps + 1, every))
    # The reference, trained for so many steps and no more, is what was tested.
    data = arrays.cast(task.data(0), "float32")
    model = Model("gru", 1, 4, 1)
    session = NumpyBackend(1).session(model, model.init(0), "mse", task.budget.optimiser)
    for batch in islice(batches(data.train, 8, 0), kept["steps"]):
        session.train_step(batch.x, batch.target, None)
    expected = error(session.forward(data.test.x)[0], data.test)
    assert [record.score for record in group.records] == pytest.approx([expected] * 3, rel=1e-4)  # float32, 30 steps


def test_what_verdicts_need_is_kept_beside_the_score(stand_in, tmp_path):
    (group,) = run_of(tmp_path, stand_in, rising(), backends=("good",)).groups()
    (record,), samples = group.records, group.samples["good"]
    assert 0 < record.mae < 1
    assert record.mase is None  # not finite, and so not known
    assert len(samples["losses"]) == 10
    assert np.mean(samples["losses"]) == pytest.approx(record.score)
    assert samples["lead_scores"] == pytest.approx([record.score])


@pytest.mark.slow
def test_a_task_of_a_plugin_stops_early_in_the_same_way(monkeypatch, tmp_path):
    """Its data and scores are computed in another process."""
    registry = load(monkeypatch, FAULTY, AWAY, NO_NUMBA)
    chosen = settings(tasks=("plugin-rising",), backends=("good",))
    run = Store(tmp_path / "away").create({}, chosen.digest(), machine())
    compare(chosen, registry, run, Quiet(), (), LIMITS)
    ours = run_of(tmp_path / "here", registry, rising())
    (away,), (here,) = run.records(), ours.records()
    assert (away.status, away.reason) == ("ok", "")
    for name in ("score", "mae", "train_steps", "learned"):
        assert getattr(away, name) == getattr(here, name), name


@pytest.mark.slow
def test_what_has_learned_is_told_by_blind_answers_to_the_validation_part(stand_in, tmp_path):
    """The constant 1 of training is off its 0.5 by a square of 0.25, a twentieth of which no score reaches; one of the
    task's own baseline of 1 is reached at once."""
    task, constant = replace(rising(), margin=0.95), [registry().baselines["constant"]]
    assert blind_bar(constant, task, task.data(0), 0) == pytest.approx(0.25)
    assert blind_bar([], task, task.data(0), 0) is None
    assert blind_bar(constant, task, rising(validation=False).data(0), 0) is None
    for without, learned in ((True, True), (False, False)):
        run = run_of(tmp_path / str(without), stand_in, task, no_baselines=without)
        (record,) = [record for record in run.records() if not record.is_baseline]
        assert (record.seconds_to_learn is not None) is learned


def test_without_a_validation_part_all_steps_are_taken_and_the_curve_goes_on_after_learning(stand_in, tmp_path):
    task = rising(validation=False)
    (group,) = run_of(tmp_path, stand_in, task, backends=("good",)).groups()
    (record,), samples = group.records, group.samples["good"]
    assert record.train_steps == task.budget.steps
    assert len(samples["scores"]) == EVALUATIONS
    assert samples["scores"][-1] == [task.budget.steps, record.score]
    assert "kept_steps" not in samples
    assert record.seconds_to_learn < record.train_seconds


def test_a_backend_that_keeps_other_weights_than_it_was_scored_with_is_found_out(stand_in, tmp_path):
    """Too few steps for a window of training to be looked at, so that nothing else tells."""
    task = rising(steps=EARLIEST + WINDOW - 1)
    (record,) = run_of(tmp_path, stand_in, task, backends=("forgets",)).records()
    assert record.status == "mismatch"
    assert "its prediction for the validation split is off" in record.reason


def test_windows_of_training_lie_where_early_stopping_cannot_leave_them_all_out():
    """Two before the earliest end there can be, and one in each patience after it, to the end."""

    class Inputs:
        data = Data(*(Split(np.zeros((2, 4, 1)), np.zeros((4, 1))) for _ in range(3)))
        training = replace(rising(steps=400, patience=5).budget, batch_size=2)
        group = type("Group", (), {"seed": 0})

    every = EarlyStopping.interval(400)
    assert every >= WINDOW
    for _ in range(20):
        starts = Watch.of(Inputs).starts
        assert all(start // every == (start + WINDOW - 1) // every for start in starts)  # no evaluation is put off
        assert starts == tuple(sorted(starts))
        assert all(later - start >= WINDOW for start, later in pairwise(starts))
        assert sum(start + WINDOW <= 6 * every for start in starts) == 2
        ends = [(6 + 5 * number) * every for number in range(4)]
        for begin, end in zip(ends, [*ends[1:], 400], strict=True):
            if begin < end <= 400:
                assert sum(begin <= start and start + WINDOW <= end for start in starts) == 1


def walking(shift=0.0):
    """Return a task of a table, to whose test part a constant was added."""
    values = np.random.default_rng(5).standard_normal(80).cumsum()
    values[-16:] += shift
    return ForecastTask(
        id="walking",
        title="A walk",
        source="made up",
        budget=Budget(steps=60, batch_size=8, hidden_size=4, patience=3),
        table=one_series("walk", values),
        cut=Cut(window=4, horizon=2, test=16, validation=True),
    )


@pytest.mark.parametrize(
    ("made", "folds"), [pytest.param(rising, None, marks=pytest.mark.slow), (rising, 2), (walking, 2)]
)
@pytest.mark.slow
def test_the_test_part_has_no_say_in_training_scaling_or_choice(stand_in, tmp_path, monkeypatch, made, folds):
    """A constant added to it changes no byte of weights, losses and validation scores, and not what is chosen."""

    def bytes_of(shift):
        seen, samples_of = [], rows.samples

        def noting(runs):
            for run in runs:
                weights = {name: value.tobytes() for name, value in (run.weights or {}).items()}
                kept = run.samples
                seen.append((run.name, weights, kept.train_losses, kept.scores, kept.kept_steps))
            return samples_of(runs)

        monkeypatch.setattr(runner.rows, "samples", noting)
        several = {"hidden_sizes": (2, 3), "backends": ("numba", "good")} if folds is None else {"backends": ("numba",)}
        several |= {"cells": ("gru", "rnn-tanh"), "folds": folds}
        run = run_of(tmp_path / str(shift), stand_in, made(shift=shift), **several)
        monkeypatch.setattr(runner.rows, "samples", samples_of)
        tested = [record for record in run.records() if record.fold is None]
        return seen, [group.key for group in run.groups(scored=True)], [record.score for record in tested]

    (seen, keys, scores), (others, other_keys, other_scores) = bytes_of(0.0), bytes_of(3.0)
    assert seen == others
    assert keys == other_keys
    assert len(seen) > 4
    assert not set(scores) & set(other_scores)


def test_a_split_comes_back_from_its_file_with_its_windows(tmp_path):
    rng = np.random.default_rng(0)
    series = tuple(rng.standard_normal(size) for size in (4, 0, 3))
    index = np.array([0, 0, 2])
    windows = Windows(series, index, np.array([2, 3, 1]), (1, 2), np.zeros(3), np.ones(3), 12, ("a", "b, c", "ä"))
    split = Split(rng.standard_normal((2, 3, 1)), rng.standard_normal((3, 2)), windows=windows)
    data = Data(split, replace(split, windows=replace(windows, season=None, names=())))
    arrays.save_data(tmp_path / "stem", data)
    again = arrays.load_data(tmp_path / "stem")
    assert again.validation is None
    for name in ("train", "test"):
        before, after = getattr(data, name).windows, getattr(again, name).windows
        np.testing.assert_equal(vars(after), vars(before))
    assert not list(tmp_path.glob("*validation*"))


def test_a_figure_that_is_no_column_is_refused():
    task = replace(rising(), figures=lambda prediction, part: {"wape": 1.0})
    with pytest.raises(ValueError, match="'wape' is no figure of forecasts"):
        Scores.of(task, np.zeros((10, 1)), task.data(0).test)


def test_losses_that_are_not_finite_are_not_kept():
    task = replace(rising(), losses=lambda prediction, part: np.array([1.0, np.inf]))
    assert Scores.of(task, np.zeros((10, 1)), task.data(0).test).losses is None
