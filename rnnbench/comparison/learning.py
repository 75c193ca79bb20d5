"""Training, interleaved: slices of steps, evaluations between them, a score at the end.

Where the data have a validation part, evaluations look at that alone: each run keeps its weights of the best one and
takes them back at the end, and the test part is looked at once, then. Without one, evaluations look at the test part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random, SystemRandom

import numpy as np

from rnnbench.comparison import arrays, traps
from rnnbench.comparison.actions import CaseActions
from rnnbench.comparison.backend_run import BackendRun
from rnnbench.comparison.case_inputs import CaseFiles, CaseInputs
from rnnbench.comparison.messages import PartName, StepsTaken
from rnnbench.model import Array
from rnnbench.records.figures import FIGURES
from rnnbench.tasks.batches import batches
from rnnbench.tasks.spec import Split
from rnnbench.training_loop import EVALUATIONS, EarlyStopping
from rnnbench.verify import parity
from rnnbench.verify.reference import CURVE_STEPS
from rnnbench.verify.update import EARLIEST, EXPLAINED, EXPLAINED_ONCE, WINDOW, explained
from rnnbench.workers.failure import Failure

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
    """Train every run that is ok, interleaved; each decides by itself when it is over."""
    waiting, watched = [], Watch.of(inputs)
    for run in runs:
        with run.guarded():
            if inputs.data.validation is not None:
                run.stopping = EarlyStopping(inputs.scored.score_better, inputs.training.patience)
            run.ask(CaseActions.reset, inputs.files.params)
            waiting.append(run)
    while waiting:
        random.shuffle(waiting)
        for run in list(waiting):
            with run.guarded():
                if not _over(run, inputs):
                    _slice(run, inputs, files, watched)
            if not run.ok or _over(run, inputs):
                waiting.remove(run)
    for run in runs:
        if run.losses:
            run.record.train_steps = len(run.losses)
            run.record.train_step_seconds, run.record.train_seconds = _step_and_total(run.step_seconds)
            run.samples.train_step_seconds, run.samples.train_losses = run.step_seconds, _finite(run.losses)
            if run.ok:
                with run.guarded():
                    _judge(run, inputs, watched)
                    _take_back(run, inputs, files)
        elif run.ok:
            run.record.train_steps = 0


def put_scores(run: BackendRun, inputs: CaseInputs, files: CaseFiles) -> None:
    """Fill in how the weights in force do on the test part, and whether that counts as learned. Raises Failure."""
    path, y = _predicted(run, inputs, files, "test")
    found = inputs.scores(path, y, "test")
    run.predictions["test"] = y
    for name, value in found.columns().items():
        setattr(run.record, name, value)
    for name, values in found.samples().items():
        setattr(run.samples, name, values)
    run.record.learned = inputs.learned(_finite_score(found.score, inputs), "test")


def _predicted(run: BackendRun, inputs: CaseInputs, files: CaseFiles, part: PartName) -> tuple[Path, Array]:
    """Return the predictions of the weights in force for a whole split, and their file. Raises Failure."""
    path, split, model = files.path(f"{run.info.id}-predictions.npz"), inputs.split(part), inputs.model
    run.ask(CaseActions.predict, part, str(path))
    y = arrays.load(path)["y"]
    width = split.width(inputs.scored.output_size or 0)
    shape = (*((len(split.x),) if model.readout == "all" else ()), split.count, width)
    if y.shape != shape:
        raise Failure("bad_output", f"predicted {y.shape} for the {part} split; it must be {shape}")
    if not np.isfinite(y).all():
        raise Failure("diverged", "the trained model predicts NaN or infinity")
    return path, y


def _finite_score(value: float, inputs: CaseInputs) -> float:
    if not np.isfinite(value):
        raise Failure("diverged", f"the score of task {inputs.task.id!r} is {value}, of predictions that are finite")
    return value


@dataclass(frozen=True)
class Watch:
    """Steps of training that are looked at, which nobody knows beforehand: where each window begins, and its batches.
    Of the steps that are surely taken one window is on the way and one near the end; of those that early stopping may
    leave out each stretch has one, as long as a patience."""

    starts: tuple[int, ...]
    batches: tuple[tuple[Split, ...], ...]

    @classmethod
    def of(cls, inputs: CaseInputs) -> "Watch":
        """Choose the windows, where there are steps enough for them."""
        steps = sure = stretch = inputs.training.steps
        stops, every = inputs.data.validation is not None, _interval(inputs)
        if stops and (patience := inputs.training.patience) is not None:
            stretch = patience * every
            sure = min(steps, stretch + every)
        last = sure - WINDOW
        late = max(EARLIEST, last - max(WINDOW, last // LATE_SHARE))
        spans = [(EARLIEST, late - WINDOW), (late, last)]
        later = range(sure, steps, max(1, stretch))
        spans += [(max(EARLIEST, start), min(start + stretch, steps) - WINDOW) for start in later]
        chosen = [(low, SECRET.randint(low, high), high) for low, high in spans if low <= high]
        aligned = [_within(*each, every) if stops else each[1] for each in chosen]
        starts = tuple(start for start in aligned if start is not None)
        stream = batches(inputs.data.train, inputs.training.batch_size, inputs.group.seed)
        taken = list(islice(stream, starts[-1] + WINDOW)) if starts else []
        return cls(starts, tuple(tuple(taken[start : start + WINDOW]) for start in starts))


def _interval(inputs: CaseInputs) -> int:
    """Return how many steps lie between two evaluations."""
    steps = inputs.training.steps
    return max(1, steps // EVALUATIONS) if inputs.data.validation is None else EarlyStopping.interval(steps)


def _within(low: int, start: int, high: int, every: int) -> int | None:
    """Return the start of a window near `start` that has no evaluation inside, whose step would be put off: which
    weights are kept must not hang on what is looked at. None where there is none from low to high."""
    late = start % every - (every - WINDOW)
    if late <= 0:
        return start
    return next((each for each in (start - start % every + every, start - late) if low <= each <= high), None)


def _slice(run: BackendRun, inputs: CaseInputs, files: CaseFiles, watch: Watch) -> None:
    """Take some steps; where they reach the next evaluation, score them."""
    total, done = inputs.training.steps, len(run.losses)
    every = _interval(inputs)
    until = min(total, (done // every + 1) * every)
    start = next((start for start in watch.starts if start >= done), None)
    if start == done:
        _watch(run, inputs, files, watch, start)
    else:
        pause = until if start is None else min(until, start)
        taken = run.ask(CaseActions.train, pause - done, SLICE_SECONDS)
        _add(run, taken)
        run.slices.append((sum(taken.seconds), taken.loop_seconds))
    if len(run.losses) >= until:
        _evaluate(run, inputs, files)


def _evaluate(run: BackendRun, inputs: CaseInputs, files: CaseFiles) -> None:
    """Score the weights of now, and keep them where early stopping says so. Raises Failure."""
    part: PartName = "test" if run.stopping is None else "validation"
    path, y = _predicted(run, inputs, files, part)
    value, steps = _finite_score(inputs.scores(path, y, part).score, inputs), len(run.losses)
    run.samples.scores = [*(run.samples.scores or ()), (steps, value)]
    if run.record.seconds_to_learn is None and inputs.learned(value, part):
        run.record.seconds_to_learn = _step_and_total(run.step_seconds)[1]
    if run.stopping is not None and run.stopping.keeps(value, steps):
        run.ask(CaseActions.keep, str(_kept(run, files)))
        run.predictions[part] = y


def _over(run: BackendRun, inputs: CaseInputs) -> bool:
    return len(run.losses) >= inputs.training.steps or (run.stopping is not None and run.stopping.over)


def _take_back(run: BackendRun, inputs: CaseInputs, files: CaseFiles) -> None:
    """Have a run go on with the weights that it kept. That these are the ones which gave the best score,
    `check_predictions` finds out. Raises Failure."""
    if run.stopping is None:
        return
    path = _kept(run, files)
    if complaint := parity.malformed(arrays.load(path), inputs.params, inputs.model.dtype):
        raise Failure("bad_output", f"of the weights that it kept, {complaint}")
    run.ask(CaseActions.reset, str(path))
    run.samples.kept_steps = run.stopping.steps


def _kept(run: BackendRun, files: CaseFiles) -> Path:
    return files.path(f"{run.info.id}-kept.npz")


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
        if share < EXPLAINED_ONCE:
            raise Failure("mismatch", f"{where} {_unexplained(share)}")


def _unexplained(share: float) -> str:
    return f"its weights do not follow its batches' gradients, which explain {max(share, 0.0):.1%} of the change"


def _judge(run: BackendRun, inputs: CaseInputs, watch: Watch) -> None:
    """Warn where the loss stayed at a constant answer's. Raises Failure where the losses are others than when they were
    checked, where all windows leave a little unexplained, and where steps do not add up to their loop."""
    _check_curve(run.losses, inputs)
    looked_at = sum(start < len(run.losses) for start in watch.starts)
    if run.explained and len(run.explained) == looked_at and max(run.explained) < EXPLAINED:
        raise Failure("mismatch", f"at all training steps that were looked at {_unexplained(max(run.explained))}")
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
