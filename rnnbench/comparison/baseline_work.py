"""One method without recurrence at work: fitted, asked and timed, here or in its plugin's process."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from rnnbench import clock
from rnnbench.baselines.spec import Baseline, Fitted, Problem
from rnnbench.model import Array, Readout
from rnnbench.tasks.spec import Data, Split, Task

FIT_AGAIN = 5.0  # seconds
LONGEST = 1.0  # seconds that an answer is timed for; of a slower one, one sample is taken


@dataclass(frozen=True)
class BaselineRequest:
    """A baseline and its problem, for another process. train, test, batch: files of splits; answers: where they go."""

    baseline: str
    loss: Literal["mse", "cross-entropy"]
    output_size: int
    readout: Readout
    seed: int
    train: str
    test: str
    batch: str
    answers: str


@dataclass(frozen=True)
class BaselineReply:
    """unsuitable: why it cannot answer; then it was not tried. call_seconds: of answers to the timed batch."""

    unsuitable: str | None
    parameters: int
    fit_seconds: float
    call_seconds: list[float]


def fit_and_time(baseline: Baseline, problem: Problem, test: Split, batch: Split) -> tuple[BaselineReply, Array | None]:
    """Return what there is to record, and the answers to the test split; on one thread, as far as libraries heed it.

    test, batch: with blank targets, which are nothing to look at. Raises what the baseline raises.
    """
    with threadpool_limits(1):
        if why := baseline.unsuitable(problem):
            return BaselineReply(why, 0, 0.0, []), None
        fit_seconds, fitted = clock.timed(lambda: baseline.fit(problem), 1)
        if fit_seconds < FIT_AGAIN:  # the first may have imported a library
            fit_seconds, fitted = clock.timed(lambda: baseline.fit(problem), 1)
        answers, batch = answered(fitted, test), batch.first_step()
        calibration = clock.calibrated(lambda: fitted.predict(batch))
        rounds = clock.FEWEST if clock.FEWEST * calibration.seconds < LONGEST else 1
        seconds = [clock.sample(lambda: fitted.predict(batch), calibration) for _ in range(rounds)]
    return BaselineReply(None, int(fitted.parameters), fit_seconds, seconds), answers


def blind_bar(blind: Iterable[Baseline], task: Task, data: Data, seed: int) -> float | None:
    """Return the score of the best blind answer to the validation part, by which it is told when a cell has learned;
    None where there is no such part, or nothing answers."""
    if data.validation is None or task.output_size is None:
        return None
    problem, asked = Problem(data.train, task.loss, task.output_size, task.readout, seed), blank(data.validation)
    suited = [baseline for baseline in blind if baseline.unsuitable(problem) is None]
    answers = [answered(baseline.fit(problem), asked) for baseline in suited]
    scores = [score for y in answers if np.isfinite(score := float(task.score(y, data.validation)))]
    return (min if task.score_better == "lower" else max)(scores, default=None)


def answered(fitted: Fitted, split: Split) -> Array:
    """Return a baseline's answers to a split: its own, or fed back where it answers one step and more are asked for."""
    answers = np.asarray(fitted.predict(split))
    if split.ahead is None or answers.shape[1:] == split.target.shape[1:]:
        return answers
    return split.answers(lambda each: np.asarray(fitted.predict(each)))


def blank(split: Split) -> Split:
    """Return the split without its target: zeros."""
    return replace(split, target=np.zeros_like(split.target))
