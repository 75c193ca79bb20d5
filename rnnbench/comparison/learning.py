"""Training, interleaved: slices of steps, evaluations between them, a score at the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random, SystemRandom

import numpy as np

from rnnbench.comparison import arrays, traps
from rnnbench.comparison.actions import CaseActions
from rnnbench.comparison.backend_run import BackendRun
from rnnbench.comparison.case_inputs import CaseFiles, CaseInputs
from rnnbench.comparison.messages import StepsTaken
from rnnbench.records.figures import FIGURES
from rnnbench.tasks.batches import batches
from rnnbench.tasks.spec import Split
from rnnbench.verify import parity
from rnnbench.verify.reference import CURVE_STEPS
from rnnbench.verify.update import EARLIEST, EXPLAINED, EXPLAINED_ONCE, WINDOW, explained
from rnnbench.workers.failure import Failure

EVALUATIONS = 20  # over the budget: seconds_to_learn is known to a twentieth of it
SECRET = SystemRandom()
LATE_SHARE = 20  # the second window lies in the last twentieth of the steps
SLICE_SECONDS = 0.25  # short, so that every backend meets the same drift of the machine


def check_training(run: BackendRun, inputs: CaseInputs) -> None:
    """Hold the first losses to the reference's. Raises Failure."""
    steps = min(CURVE_STEPS, inputs.training.steps)
    losses = run.ask(CaseActions.check_training, steps).losses
    if not all(np.isfinite(losses)):
        raise Failure("diverged", f"the loss became {losses[-1]} at training step {len(losses)}")
    _check_curve(losses, inputs)


def _check_curve(losses: list[float], inputs: CaseInputs) -> None:
    steps, allowed = len(inputs.losses), parity.CURVE_TOLERANCE[inputs.model.dtype]
    error = parity.curve_error(losses[:steps], inputs.losses) if steps else 0.0
    if error > allowed:
        raise Failure(
            "mismatch",
            f"the loss of the first {steps} steps leaves the float64 reference by {error:.1e} (allowed: {allowed:g})",
        )


def train(runs: Sequence[BackendRun], inputs: CaseInputs, files: CaseFiles, random: Random) -> None:
    """Train every run that is ok, interleaved, and score it."""
    steps = inputs.training.steps
    waiting, watched = [], Watch.of(inputs)
    for run in runs:
        with run.guarded():
            run.ask(CaseActions.reset, inputs.files.params)
            waiting.append(run)
    while waiting:
        random.shuffle(waiting)
        for run in list(waiting):
            with run.guarded():
                if len(run.losses) < steps:
                    _slice(run, inputs, files, watched)
            if not run.ok or len(run.losses) >= steps:
                waiting.remove(run)
    for run in runs:
        if run.losses:
            run.record.train_steps = len(run.losses)
            run.record.train_step_seconds, run.record.train_seconds = _step_and_total(run.step_seconds)
            run.samples.train_step_seconds, run.samples.train_losses = run.step_seconds, _finite(run.losses)
            if run.ok:
                with run.guarded():
                    _judge(run, inputs)
        elif run.ok:
            run.record.train_steps = 0


def score(run: BackendRun, inputs: CaseInputs, files: CaseFiles) -> float:
    """Return the task's score of the weights in force, from predictions for the whole test split, which stay with the
    run. Raises Failure."""
    task = inputs.scored
    path, test, model = files.path(f"{run.info.id}-predictions.npz"), inputs.data.test, inputs.model
    run.ask(CaseActions.predict, str(path))
    run.prediction = y = arrays.load(path)["y"]
    shape = (*((len(test.x),) if model.readout == "all" else ()), test.count, task.output_size)
    if y.shape != shape:
        raise Failure("bad_output", f"predicted {y.shape} for the test split; it must be {shape}")
    if not np.isfinite(y).all():
        raise Failure("diverged", "the trained model predicts NaN or infinity")
    value = inputs.score(path, y)
    if not np.isfinite(value):
        raise Failure("diverged", f"the score of task {task.id!r} is {value}, of predictions that are finite")
    return value


def put_score(run: BackendRun, inputs: CaseInputs, value: float) -> None:
    """Fill in a score, and whether it counts as learned."""
    run.record.score, run.record.learned = value, inputs.scored.learned(value)


@dataclass(frozen=True)
class Watch:
    """Steps of training that are looked at, which nobody knows beforehand: where each of two windows begins, one on the
    way and one near the end, and its batches."""

    starts: tuple[int, ...]
    batches: tuple[tuple[Split, ...], ...]

    @classmethod
    def of(cls, inputs: CaseInputs) -> "Watch":
        """Choose the windows, where there are steps enough for them."""
        last = inputs.training.steps - WINDOW
        late = max(EARLIEST, last - max(WINDOW, last // LATE_SHARE))
        spans = [(EARLIEST, late - WINDOW), (late, last)]
        starts = tuple(SECRET.randint(low, high) for low, high in spans if low <= high)
        stream = batches(inputs.data.train, inputs.training.batch_size, inputs.group.seed)
        taken = list(islice(stream, starts[-1] + WINDOW)) if starts else []
        return cls(starts, tuple(tuple(taken[start : start + WINDOW]) for start in starts))


def _slice(run: BackendRun, inputs: CaseInputs, files: CaseFiles, watch: Watch) -> None:
    """Take some steps; where they reach the next evaluation and nothing is learned yet, score them."""
    total, done = inputs.training.steps, len(run.losses)
    every = max(1, total // EVALUATIONS)
    until = min(total, (done // every + 1) * every)
    start = next((start for start in watch.starts if start >= done), None)
    if start == done:
        _watch(run, inputs, files, watch, start)
    else:
        pause = until if start is None else min(until, start)
        taken = run.ask(CaseActions.train, pause - done, SLICE_SECONDS)
        _add(run, taken)
        run.slices.append((sum(taken.seconds), taken.loop_seconds))
    if len(run.losses) >= until and run.record.seconds_to_learn is None:
        value = score(run, inputs, files)
        run.samples.scores = [*(run.samples.scores or ()), (len(run.losses), value)]
        if inputs.scored.learned(value):
            run.record.seconds_to_learn = _step_and_total(run.step_seconds)[1]


def _add(run: BackendRun, taken: StepsTaken) -> None:
    run.losses += taken.losses
    run.step_seconds += taken.seconds
    if not np.isfinite(run.losses[-1]):
        raise Failure("diverged", f"the loss became {run.losses[-1]} at training step {len(run.losses)}")


def _watch(run: BackendRun, inputs: CaseInputs, files: CaseFiles, watch: Watch, start: int) -> None:
    """Take the steps of a window and look at them: each loss must be that of its batch and the weights before it, and
    what the steps changed must follow from the batches' gradients. Raises Failure."""
    path = files.path(f"{run.info.id}-watched.npz")
    taken = run.ask(CaseActions.train_watched, WINDOW, str(path))
    _add(run, taken)
    found = arrays.load(path)
    weights = [{name: found[f"{number} {name}"] for name in inputs.params} for number in range(WINDOW + 1)]
    chosen = watch.batches[watch.starts.index(start)]
    computed = [inputs.oracle.loss_and_gradients(*each) for each in zip(weights, chosen, strict=False)]
    trivial, adam = traps.constant_loss(inputs.task.loss, inputs.data.train), inputs.training.optimiser
    allowed = parity.CURVE_TOLERANCE[inputs.model.dtype]
    error = max(
        abs(own - loss) / (loss + allowed * trivial) for own, (loss, _) in zip(taken.losses, computed, strict=True)
    )
    share = explained(adam, start, weights, [gradients for _, gradients in computed])
    where = f"at training steps {start + 1} to {start + WINDOW}"
    if error > allowed:
        raise Failure(
            "mismatch", f"{where} its losses are off those of its batches by {error:.1e} (allowed: {allowed:g})"
        )
    if share is not None:
        run.explained.append(share)
        doubtful = len(run.explained) == len(watch.starts) and max(run.explained) < EXPLAINED
        if share < EXPLAINED_ONCE or doubtful:
            why = f"its weights do not follow its batches' gradients, which explain {max(share, 0.0):.1%} of the change"
            raise Failure("mismatch", f"{where} {why}")


def _judge(run: BackendRun, inputs: CaseInputs) -> None:
    """Warn where the loss stayed at a constant answer's. Raises Failure where the losses are others than when they were
    checked, and where steps do not add up to their loop."""
    _check_curve(run.losses, inputs)
    trivial = traps.constant_loss(inputs.task.loss, inputs.data.train)
    if share := traps.stuck(run.losses, trivial):
        run.warnings.append(traps.STUCK_WARNING)
        run.samples.loss_of_constant = share
    if times := traps.unaccounted(run.slices):
        why = f"train_step returns before its work is done: training took {times:.1f} times as long as its steps"
        raise Failure("mismatch", why)


def _step_and_total(step_seconds: Sequence[float]) -> tuple[float, float]:
    """Return the seconds of a step and of all. The first step may compile, and compiling has a column of its own: it
    counts as much as the median step."""
    typical = FIGURES["train_step_seconds"].over_rounds(step_seconds).value
    return typical, typical + sum(step_seconds[1:])


def _finite(losses: Sequence[float]) -> list[float | None]:
    """Return the losses with None for NaN and infinity, which JSON does not hold."""
    return [loss if np.isfinite(loss) else None for loss in losses]
