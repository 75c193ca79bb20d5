"""Training by turns: slices of steps, evaluations between them, a score at the end."""

from collections.abc import Sequence
from random import Random
from statistics import median

import numpy as np

from rnnbench.measure import arrays, parity, traps
from rnnbench.measure.assignment import Assignment, Desk
from rnnbench.measure.failure import Failure, explain
from rnnbench.measure.lane import Lane
from rnnbench.measure.reference import CURVE_STEPS

EVALUATIONS = 20  # over the budget: seconds_to_learn is known to a twentieth of it
SLICE_SECONDS = 0.25  # short, so that every backend meets the same drift of the machine


def rehearse(lane: Lane, assignment: Assignment) -> None:
    """Holds the first losses to the reference's. Raises Failure."""
    steps = min(CURVE_STEPS, assignment.training.steps)
    losses = lane.ask("rehearse", steps=steps)["losses"]
    if not all(np.isfinite(losses)):
        raise Failure("diverged", f"the loss became {losses[-1]} at training step {len(losses)}")
    error = parity.curve_error(losses, assignment.losses) if steps else 0.0
    allowed = parity.CURVE_TOLERANCE[assignment.model.dtype]
    if error > allowed:
        raise Failure(
            "mismatch",
            f"the loss of the first {steps} steps leaves the float64 reference by {error:.1e} (allowed: {allowed:g})",
        )


def train(lanes: Sequence[Lane], assignment: Assignment, desk: Desk, random: Random) -> None:
    """Trains every lane that is ok, by turns, and scores it."""
    steps = assignment.training.steps
    waiting = []
    for lane in lanes:
        with lane.guarded():
            lane.ask("renew", params=assignment.files["params"])
            waiting.append(lane)
    while waiting:
        random.shuffle(waiting)
        for lane in list(waiting):
            with lane.guarded():
                if len(lane.losses) < steps:
                    _slice(lane, assignment, desk)
            if not lane.ok or len(lane.losses) >= steps:
                waiting.remove(lane)
    for lane in lanes:
        if lane.losses:
            lane.put({"train_steps": len(lane.losses), **_seconds(lane)})
            lane.samples |= {"train_step_seconds": lane.step_seconds, "train_losses": _finite(lane.losses)}
            if lane.ok:
                _warn_of_traps(lane, assignment)
        elif lane.ok:
            lane.put({"train_steps": 0})


def score(lane: Lane, assignment: Assignment, desk: Desk) -> float:
    """The task's score of the weights in force, from predictions for the whole test split. Raises Failure."""
    assert assignment.task.score is not None, "a task that brings its weights is not scored"
    path, test, model = desk.path(f"{lane.info.id}-predictions.npz"), assignment.data.test, assignment.model
    lane.ask("predict", out=str(path))
    y = arrays.load(path)["y"]
    shape = (*((len(test.x),) if model.readout == "all" else ()), test.count, assignment.task.output_size)
    if y.shape != shape:
        raise Failure("bad_output", f"predicted {y.shape} for the test split; it must be {shape}")
    if not np.isfinite(y).all():
        raise Failure("diverged", "the trained model predicts NaN or infinity")
    try:
        value = float(assignment.task.score(y, test))
    except Exception as error:  # a plugin's task may raise anything
        why = f"the score of task {assignment.task.id!r}: {explain(error)}"
        raise Failure("crashed", why, f"leave it out: --task without {assignment.task.id}") from error
    if not np.isfinite(value):
        raise Failure("diverged", f"the score is {value}")
    return value


def put_score(lane: Lane, assignment: Assignment, value: float) -> None:
    lane.put({"score": value, "learned": assignment.task.learned(value)})


def _slice(lane: Lane, assignment: Assignment, desk: Desk) -> None:
    """A turn: some steps, and where they reach the next evaluation and nothing is learned yet, that."""
    total, done = assignment.training.steps, len(lane.losses)
    every = max(1, total // EVALUATIONS)
    until = min(total, (done // every + 1) * every)
    reply = lane.ask("train", steps=until - done, seconds=SLICE_SECONDS)
    lane.losses += reply["losses"]
    lane.step_seconds += reply["seconds"]
    lane.loop_seconds += reply["loop_seconds"]
    if not np.isfinite(lane.losses[-1]):
        raise Failure("diverged", f"the loss became {lane.losses[-1]} at training step {len(lane.losses)}")
    if len(lane.losses) == until and "seconds_to_learn" not in lane.columns:
        value = score(lane, assignment, desk)
        lane.samples.setdefault("scores", []).append([until, value])
        if assignment.task.learned(value):
            lane.put({"seconds_to_learn": _seconds(lane)["train_seconds"]})


def _warn_of_traps(lane: Lane, assignment: Assignment) -> None:
    trivial = traps.constant_loss(assignment.task.loss, assignment.data.train)
    if share := traps.stuck(lane.losses, trivial):
        lane.warn(traps.STUCK_WARNING, "loss_of_constant", share)
    if times := traps.unaccounted(lane.step_seconds, lane.loop_seconds):
        lane.warn(traps.LATE_WARNING, "unaccounted_times", times)


def _seconds(lane: Lane) -> dict[str, float]:
    """The first step may compile, and compiling has a column of its own: it counts as much as the median step."""
    steady = lane.step_seconds[1:] or lane.step_seconds
    typical = median(steady)
    return {"train_step_seconds": typical, "train_seconds": typical + sum(lane.step_seconds[1:])}


def _finite(losses: list[float]) -> list[float | None]:
    """JSON holds neither NaN nor infinity."""
    return [loss if np.isfinite(loss) else None for loss in losses]
