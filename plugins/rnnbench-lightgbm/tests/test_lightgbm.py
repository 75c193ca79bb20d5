"""What is LightGBM's own: trees on a window's shape, the same every time, of a size that training's end chooses."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from rnnbench_lightgbm import features, fit, rnnbench_baselines, unsuitable

from rnnbench.baselines.spec import Problem
from rnnbench.tasks.spec import Split, Windows
from rnnbench.testing import check_baseline

WINDOW, LEADS = 4, (1, 2)


def windows_of(values, start, stop):
    """All windows of one series that end in rows start to stop, unscaled."""
    origin = np.arange(start, stop)
    x = np.stack([values[origin - WINDOW + t] for t in range(WINDOW)])[:, :, None]
    target = np.stack([values[origin + lead - 1] for lead in LEADS], axis=1)
    where = Windows((values,), np.zeros(len(origin), int), origin, LEADS, np.zeros(1), np.ones(1))
    return Split(x, target, windows=where)


def problem_of(train, **changes):
    return replace(Problem(train, "mse", 2, "last", seed=0), **changes)


def test_a_step_that_no_line_gives_is_learned():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((WINDOW, 600, 1))
    target = np.where(np.abs(x[1, :, :1]) < 0.6, 1.0, -1.0) * np.ones(2)
    train, test = Split(x[:, :500], target[:500]), Split(x[:, 500:], target[500:])
    wrong = np.abs(fit(problem_of(train)).predict(test) - test.target).mean()
    flat = np.column_stack([np.ones(500), x[:, :500, 0].T])
    line = np.linalg.lstsq(flat, target[:500], rcond=None)[0]
    by_line = np.abs(np.column_stack([np.ones(100), x[:, 500:, 0].T]) @ line - test.target).mean()
    assert wrong < 0.1 * by_line  # the threshold is met but for values next to it


def test_levels_that_were_never_seen_are_forecast():
    """Trees give no value beyond those of training; a change from the last value they do."""
    values = np.arange(200.0) + np.tile([0.0, 0.5], 100)
    fitted = fit(problem_of(windows_of(values, WINDOW, 120)))
    test = windows_of(values, 150, 190)
    assert np.abs(fitted.predict(test) - test.target).max() < 0.1


def test_the_same_training_gives_the_same_bits_whatever_the_targets_of_the_test():
    values = np.random.default_rng(0).standard_normal(200).cumsum()
    train, test = windows_of(values, WINDOW, 150), windows_of(values, 150, 190)
    first = fit(problem_of(train))
    again = fit(problem_of(train))
    blinded = replace(test, target=np.full_like(test.target, np.nan))
    assert first.predict(test).tobytes() == again.predict(blinded).tobytes()
    assert first.predict(test).shape == test.target.shape
    assert first.parameters == again.parameters > 0


def test_the_number_of_trees_is_what_the_end_of_training_bears_out():
    """What holds in the first four fifths of training and no longer is soon given up."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((WINDOW, 400, 1))
    holds = Split(x, x[0] ** 2)
    ends = replace(holds, target=np.concatenate([holds.target[:320], -holds.target[320:]]))
    few, many = (fit(problem_of(split, output_size=1)).boosters[0].num_trees() for split in (ends, holds))
    assert few * 10 < many


def test_parameters_are_leaves_and_thresholds():
    rng = np.random.default_rng(1)
    split = Split(rng.standard_normal((WINDOW, 100, 1)), rng.standard_normal((100, 1)))
    fitted = fit(problem_of(split, output_size=1))
    trees = fitted.boosters[0].trees_to_dataframe()
    leaves = trees["split_feature"].isna().sum()
    assert fitted.parameters == leaves + trees["threshold"].notna().sum()


def test_classes_come_as_logarithms_of_probabilities():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((WINDOW, 300, 2))
    split = Split(x, (x[0, :, 1] > 0).astype(int) + 1)  # class 0 never comes
    fitted = fit(problem_of(split, loss="cross-entropy", output_size=3))
    answer = fitted.predict(split)
    assert answer.shape == (300, 3)
    np.testing.assert_allclose(np.exp(answer).sum(axis=1), 1, atol=1e-9)  # sums of three float64
    assert (answer.argmax(axis=1) == split.target).mean() > 0.95


def test_what_lies_past_a_length_is_not_seen():
    rng = np.random.default_rng(0)
    split = Split(rng.standard_normal((WINDOW, 50, 1)), rng.standard_normal((50, 1)), rng.integers(1, WINDOW + 1, 50))
    other = split.x.copy()
    other[np.arange(WINDOW)[:, None] >= split.lengths] = 1e9
    np.testing.assert_array_equal(features(split), features(replace(split, x=other)))


@pytest.mark.parametrize(("readout", "left_out"), [("last", False), ("all", True)])
def test_tasks_that_answer_every_step_are_left_out(readout, left_out):
    split = Split(np.zeros((WINDOW, 5, 1)), np.zeros((5, 1)))
    assert bool(unsuitable(problem_of(split, readout=readout))) is left_out


def test_is_offered_without_importing_its_library():
    assert [each.id for each in rnnbench_baselines()] == ["lightgbm"]
    code = "import sys, rnnbench_lightgbm as p; list(p.rnnbench_baselines()); print('lightgbm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_promise_of_a_baseline_is_kept():
    (baseline,) = rnnbench_baselines()
    results = list(check_baseline(baseline))
    assert results
    assert [str(result) for result in results if result.ok is not True] == []
