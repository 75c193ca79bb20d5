"""Training by turns: slices of steps, evaluations between them, a score at the end."""

from collections.abc import Sequence
from random import Random
from statistics import median

import numpy as np

from rnnbench.comparison import arrays, traps
from rnnbench.comparison.backend_run import BackendRun
from rnnbench.comparison.case_inputs import CaseFiles, CaseInputs
from rnnbench.verify import parity
from rnnbench.verify.reference import CURVE_STEPS
from rnnbench.workers.failure import Failure, explain

EVALUATIONS = 20  # over the budget: seconds_to_learn is known to a twentieth of it
SLICE_SECONDS = 0.25  # short, so that every backend meets the same drift of the machine


def check_training(run: BackendRun, inputs: CaseInputs) -> None:
    """Holds the first losses to the reference's. Raises Failure."""
    steps = min(CURVE_STEPS, inputs.training.steps)
    losses = run.ask("check_training", steps=steps)["losses"]
    if not all(np.isfinite(losses)):
        raise Failure("diverged", f"the loss became {losses[-1]} at training step {len(losses)}")
    error = parity.curve_error(losses, inputs.losses) if steps else 0.0
    allowed = parity.CURVE_TOLERANCE[inputs.model.dtype]
    if error > allowed:
        raise Failure(
            "mismatch",
            f"the loss of the first {steps} steps leaves the float64 reference by {error:.1e} (allowed: {allowed:g})",
        )


def train(runs: Sequence[BackendRun], inputs: CaseInputs, files: CaseFiles, random: Random) -> None:
    """Trains every run that is ok, by turns, and scores it."""
    steps = inputs.training.steps
    waiting = []
    for run in runs:
        with run.guarded():
            run.ask("reset", params=inputs.files["params"])
            waiting.append(run)
    while waiting:
        random.shuffle(waiting)
        for run in list(waiting):
            with run.guarded():
                if len(run.losses) < steps:
                    _slice(run, inputs, files)
            if not run.ok or len(run.losses) >= steps:
                waiting.remove(run)
    for run in runs:
        if run.losses:
            run.put({"train_steps": len(run.losses), **_seconds(run)})
            run.samples |= {"train_step_seconds": run.step_seconds, "train_losses": _finite(run.losses)}
            if run.ok:
                _warn_of_traps(run, inputs)
        elif run.ok:
            run.put({"train_steps": 0})


def score(run: BackendRun, inputs: CaseInputs, files: CaseFiles) -> float:
    """The task's score of the weights in force, from predictions for the whole test split. Raises Failure."""
    task = inputs.scored
    path, test, model = files.path(f"{run.info.id}-predictions.npz"), inputs.data.test, inputs.model
    run.ask("predict", out=str(path))
    y = arrays.load(path)["y"]
    shape = (*((len(test.x),) if model.readout == "all" else ()), test.count, task.output_size)
    if y.shape != shape:
        raise Failure("bad_output", f"predicted {y.shape} for the test split; it must be {shape}")
    if not np.isfinite(y).all():
        raise Failure("diverged", "the trained model predicts NaN or infinity")
    try:
        value = float(task.score(y, test))
    except Exception as error:  # a plugin's task may raise anything
        why = f"the score of task {task.id!r}: {explain(error)}"
        raise Failure("crashed", why, f"leave it out: --task without {task.id}") from error
    if not np.isfinite(value):
        raise Failure("diverged", f"the score is {value}")
    return value


def put_score(run: BackendRun, inputs: CaseInputs, value: float) -> None:
    run.put({"score": value, "learned": inputs.scored.learned(value)})


def _slice(run: BackendRun, inputs: CaseInputs, files: CaseFiles) -> None:
    """A turn: some steps, and where they reach the next evaluation and nothing is learned yet, that."""
    total, done = inputs.training.steps, len(run.losses)
    every = max(1, total // EVALUATIONS)
    until = min(total, (done // every + 1) * every)
    reply = run.ask("train", steps=until - done, seconds=SLICE_SECONDS)
    run.losses += reply["losses"]
    run.step_seconds += reply["seconds"]
    run.loop_seconds += reply["loop_seconds"]
    if not np.isfinite(run.losses[-1]):
        raise Failure("diverged", f"the loss became {run.losses[-1]} at training step {len(run.losses)}")
    if len(run.losses) == until and "seconds_to_learn" not in run.columns:
        value = score(run, inputs, files)
        run.samples.setdefault("scores", []).append([until, value])
        if inputs.scored.learned(value):
            run.put({"seconds_to_learn": _seconds(run)["train_seconds"]})


def _warn_of_traps(run: BackendRun, inputs: CaseInputs) -> None:
    trivial = traps.constant_loss(inputs.task.loss, inputs.data.train)
    if share := traps.stuck(run.losses, trivial):
        run.warn(traps.STUCK_WARNING, "loss_of_constant", share)
    if times := traps.unaccounted(run.step_seconds, run.loop_seconds):
        run.warn(traps.LATE_WARNING, "unaccounted_times", times)


def _seconds(run: BackendRun) -> dict[str, float]:
    """The first step may compile, and compiling has a column of its own: it counts as much as the median step."""
    steady = run.step_seconds[1:] or run.step_seconds
    typical = median(steady)
    return {"train_step_seconds": typical, "train_seconds": typical + sum(run.step_seconds[1:])}


def _finite(losses: list[float]) -> list[float | None]:
    """JSON holds neither NaN nor infinity."""
    return [loss if np.isfinite(loss) else None for loss in losses]
