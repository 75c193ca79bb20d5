"""Checks before anything is timed, and of what was timed: outputs, gradients and weights against the float64
reference."""

from collections.abc import Callable
from functools import partial
from random import SystemRandom

import numpy as np

from rnnbench.comparison import arrays
from rnnbench.comparison.actions import CaseActions
from rnnbench.comparison.backend_run import BackendRun
from rnnbench.comparison.case_inputs import CaseFiles, CaseInputs
from rnnbench.comparison.fresh_inputs import FreshInputs, stream
from rnnbench.comparison.messages import STREAM_STEPS
from rnnbench.model import Array, Params
from rnnbench.tasks.spec import Split
from rnnbench.verify import parity
from rnnbench.verify.reference import GRADIENT, PARAMETER, Outputs
from rnnbench.workers.failure import Failure

PREDICTED_ROWS = 32  # of the test split; what is wrong in a tenth of it shows in all but 3 % of the times


def open_and_check(run: BackendRun, inputs: CaseInputs, files: CaseFiles) -> None:
    """Open a session with the initial weights; check its outputs and its gradients. Raises Failure."""
    opened = run.ask(CaseActions.open, inputs.opening(run.info.trains))
    run.samples.session_seconds = opened.session_seconds
    run.record.seq_len, run.record.first_call_seconds = len(inputs.batch.x), opened.first_call_seconds
    path = files.path(f"{run.info.id}-check.npz")
    run.ask(CaseActions.check, str(path), run.info.trains)
    gradients, outputs = _parted(arrays.load(path), GRADIENT)
    _check_forward(run, inputs, inputs.params, outputs, inputs.fresh, partial(inputs.oracle.fresh, inputs.params))
    if run.info.trains:
        _check_gradients(run, inputs, gradients)


def check_trained(run: BackendRun, inputs: CaseInputs, files: CaseFiles) -> None:
    """Check the session that is about to be timed: its outputs with the weights it has now, by sequence and by single
    steps. A run that trains tells its weights; another one was given them. Raises Failure."""
    path = files.path(f"{run.info.id}-verified.npz")
    reason = run.ask(CaseActions.verify, str(path))
    if reason and not inputs.model.bidirectional:
        run.warnings.append(f"no single steps: {reason}")
    run.streams = reason is None
    parameters, outputs = _parted(arrays.load(path), PARAMETER)
    if run.info.trains:
        run.weights = {name.removeprefix(PARAMETER): value for name, value in parameters.items()}
        if complaint := parity.malformed(run.weights, inputs.params, inputs.model.dtype):
            raise Failure("bad_output", f"after training, {complaint}")
    weights = _weights(run, inputs)
    computed = partial(inputs.oracle.trained, weights, run.streams)
    _check_forward(run, inputs, weights, outputs, computed(), computed)


def check_timed(run: BackendRun, inputs: CaseInputs, found: dict[str, Array], seed: int) -> None:
    """Hold what a timed call gave for the inputs of a seed to the reference, all rows. Raises Failure."""
    fresh = FreshInputs(inputs.batch)
    fresh.renew(seed)
    outputs = partial(inputs.oracle.outputs, _weights(run, inputs), fresh.split())
    _hold(inputs, found, outputs, "its output was right when checked; when timed it")


def check_steps(run: BackendRun, inputs: CaseInputs, found: Array, seed: int, number: int) -> None:
    """Hold the outputs of a pass of timed single steps, [T, 1, O], to the reference. Raises Failure."""
    batch = inputs.batch
    length = len(batch.x) if batch.lengths is None else int(batch.lengths[0])
    x = stream(batch.x[:length, :1], seed, number, STREAM_STEPS)
    outputs = partial(inputs.oracle.steps, _weights(run, inputs), x)
    _hold(inputs, {"steps": found}, outputs, "its single steps were right when checked; what they gave when timed")


def check_predictions(run: BackendRun, inputs: CaseInputs, trainer: BackendRun | None = None) -> None:
    """Hold the predictions that were scored to the reference, in rows that nobody knows beforehand: those for the test
    split, and those for validation by which weights were kept. And hold all of them to those of whoever trained the
    weights, which so get the same score. Raises Failure."""
    for part, y in run.predictions.items():
        _check_rows(run, inputs, y, inputs.split(part), f"its prediction for the {part} split")
    if trainer is not None and "test" in run.predictions and "test" in trainer.predictions:
        y, other = run.predictions["test"], trainer.predictions["test"]
        apart = parity.error(y, other.astype(np.float64))
        allowed = 2 * max(run.record.forward_tolerance or 0.0, trainer.record.forward_tolerance or 0.0)
        if apart > allowed:  # each may be off by its own tolerance
            why = f"its predictions are off those of {trainer.name}, whose weights it has, by {apart:.1e}"
            raise Failure("mismatch", f"{why} (allowed: {allowed:g})")


def _check_rows(run: BackendRun, inputs: CaseInputs, y: Array, split: Split, what: str) -> None:
    """Hold some rows of the predictions for a split to what the weights in force give. Raises Failure."""
    rows = np.array(sorted(SystemRandom().sample(range(split.count), min(PREDICTED_ROWS, split.count))))
    some = split.rows(rows)
    found = y[:, rows] if inputs.model.readout == "all" else y[rows]
    if some.ahead is not None:  # a step of each, from the answers before it as they were fed back
        step, steps = SystemRandom().randrange(1 + len(some.ahead)), some.ahead
        some = some.first_step()
        for number in range(step):
            some = some.followed_by(steps[number], found[:, number : number + 1])
        found = found[:, step : step + 1]

    def predicted(dtype: str = "float64") -> Outputs:
        outputs = inputs.oracle.outputs(_weights(run, inputs), some, dtype)
        return Outputs({"y": outputs.arrays["y"]}, outputs.scales)

    _hold(inputs, {"y": found}, predicted, what)


def _weights(run: BackendRun, inputs: CaseInputs) -> Params:
    return run.weights if run.weights is not None else inputs.params


def _hold(inputs: CaseInputs, found: dict[str, Array], outputs: Callable[..., Outputs], what: str) -> None:
    """Hold arrays to the reference's. Raises Failure, whose reason begins so. outputs: computes them, in a dtype where
    one is given."""
    dtype, expected = inputs.model.dtype, outputs()
    if complaint := parity.malformed(found, expected.arrays, dtype):
        raise Failure("mismatch", f"{what} {complaint}")
    worst, allowed = _deviation(found, expected, outputs, dtype)
    if worst.error > allowed:
        raise Failure("mismatch", f"{what} is off by {worst.error:.1e} in {worst.tensor} (allowed: {allowed:g})")


def _deviation(
    found: dict[str, Array], expected: Outputs, rounded: Callable[..., Outputs], dtype: str
) -> tuple[parity.Deviation, float]:
    """Return the worst error and what is allowed, which is more where rounding alone moves the result by more."""
    worst, allowed = parity.deviation(found, expected.arrays, expected.scales), parity.FORWARD_TOLERANCE[dtype]
    if worst.error > allowed:
        own = parity.deviation(rounded(dtype=dtype).arrays, expected.arrays, expected.scales)
        allowed = parity.widened(allowed, own.error)
    return worst, allowed


def _check_forward(
    run: BackendRun,
    inputs: CaseInputs,
    params: Params,
    found: dict[str, Array],
    expected: Outputs,
    rounded: Callable[..., Outputs],
) -> None:
    """Hold outputs to the expected ones; the worst of all checks so far goes into the record. Raises Failure.

    rounded: gives what the same formulas give in the row's dtype.
    """
    if complaint := parity.malformed(found, expected.arrays, inputs.model.dtype):
        raise Failure("bad_output", complaint)
    worst, allowed = _deviation(found, expected, rounded, inputs.model.dtype)
    record = run.record
    record.forward_error = max(worst.error, record.forward_error or 0.0)
    record.forward_tolerance = max(allowed, record.forward_tolerance or 0.0)
    if worst.error > allowed:
        guess = inputs.oracle.diagnose(params, found["y"], allowed)
        reason = worst.reason("forward", allowed)
        raise Failure("mismatch", f"{reason}; it computes as if {guess}" if guess else reason)


def _check_gradients(run: BackendRun, inputs: CaseInputs, found: dict[str, Array]) -> None:
    """Hold gradients to the reference's. Raises Failure."""
    dtype, expected = inputs.model.dtype, inputs.gradients
    if complaint := parity.malformed(found, expected, dtype):
        raise Failure("bad_output", complaint)
    worst, allowed = parity.gradient_deviation(found, expected), parity.GRADIENT_TOLERANCE[dtype]
    if worst.error > allowed:
        own = parity.gradient_deviation(inputs.oracle.gradients(inputs.params, dtype), expected)
        allowed = parity.widened(allowed, own.error)
    run.record.gradient_error, run.record.gradient_tolerance = worst.error, allowed
    if worst.error > allowed:
        raise Failure("mismatch", worst.reason("training", allowed))


def _parted(found: dict[str, Array], prefix: str) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return those whose name starts so, and the others."""
    with_prefix = {name: value for name, value in found.items() if name.startswith(prefix)}
    return with_prefix, {name: value for name, value in found.items() if name not in with_prefix}
