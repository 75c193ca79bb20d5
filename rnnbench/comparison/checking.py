"""Checks before anything is timed: outputs, gradients and weights against the float64 reference."""

from collections.abc import Callable
from functools import partial

from rnnbench.comparison import arrays
from rnnbench.comparison.actions import CaseActions
from rnnbench.comparison.backend_run import BackendRun
from rnnbench.comparison.case_inputs import CaseFiles, CaseInputs
from rnnbench.model import Array, Params
from rnnbench.verify import parity
from rnnbench.verify.diagnose import diagnose_outputs
from rnnbench.verify.reference import GRADIENT, PARAMETER, Outputs
from rnnbench.workers.failure import Failure


def open_and_check(run: BackendRun, inputs: CaseInputs, files: CaseFiles) -> None:
    """Open a session with the initial weights; check its outputs and its gradients. Raises Failure."""
    opened = run.ask(CaseActions.open, inputs.opening(run.info.trains))
    run.samples.session_seconds = opened.session_seconds
    run.record.seq_len, run.record.first_call_seconds = len(inputs.batch.x), opened.first_call_seconds
    path = files.path(f"{run.info.id}-check.npz")
    run.ask(CaseActions.check, str(path), run.info.trains)
    gradients, outputs = _parted(arrays.load(path), GRADIENT)
    oracle, params, dtype = inputs.oracle, inputs.params, inputs.model.dtype
    _check_forward(run, inputs, params, outputs, inputs.fresh, partial(oracle.fresh, params, dtype))
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
    oracle, dtype = inputs.oracle, inputs.model.dtype
    if run.info.trains:
        run.weights = {name.removeprefix(PARAMETER): value for name, value in parameters.items()}
        if complaint := parity.malformed(run.weights, inputs.params, dtype):
            raise Failure("bad_output", f"after training, {complaint}")
    weights = run.weights if run.weights is not None else inputs.params
    expected = oracle.trained(weights, run.streams)
    rounded = partial(oracle.trained, weights, run.streams, dtype)
    _check_forward(run, inputs, weights, outputs, expected, rounded)


def _check_forward(
    run: BackendRun,
    inputs: CaseInputs,
    params: Params,
    found: dict[str, Array],
    expected: Outputs,
    rounded: Callable[[], Outputs],
) -> None:
    """Hold outputs to the expected ones; the worst of all checks so far goes into the record. Raises Failure.

    rounded: gives what the same formulas give in the row's dtype.
    """
    dtype = inputs.model.dtype
    if complaint := parity.malformed(found, expected.arrays, dtype):
        raise Failure("bad_output", complaint)
    worst = parity.deviation(found, expected.arrays, expected.scales)
    allowed = parity.FORWARD_TOLERANCE[dtype]
    if worst.error > allowed:
        own = parity.deviation(rounded().arrays, expected.arrays, expected.scales)
        allowed = parity.widened(allowed, own.error)
    record = run.record
    record.forward_error = max(worst.error, record.forward_error or 0.0)
    record.forward_tolerance = max(allowed, record.forward_tolerance or 0.0)
    if worst.error > allowed:
        batch = inputs.batch
        guess = diagnose_outputs(inputs.model, params, batch.x, batch.lengths, found["y"], allowed)
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
