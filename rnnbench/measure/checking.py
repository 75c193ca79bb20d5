"""Checks before anything is timed: outputs, gradients and weights against the float64 reference."""

from collections.abc import Callable
from functools import partial

from rnnbench.measure import arrays, parity
from rnnbench.measure.assignment import Assignment, Desk
from rnnbench.measure.explain import explain_outputs
from rnnbench.measure.failure import Failure
from rnnbench.measure.lane import Lane
from rnnbench.measure.reference import GRADIENT, PARAMETER, Outputs
from rnnbench.model import Array, Params


def open_and_check(lane: Lane, assignment: Assignment, desk: Desk) -> None:
    """A session with the initial weights, its first call, its outputs and its gradients. Raises Failure."""
    first = lane.ask("open", **assignment.request(lane.info.trains))
    lane.samples["session_seconds"] = first["session_seconds"]
    lane.put({"seq_len": len(assignment.batch.x), "first_call_seconds": first["first_call_seconds"]})
    path = desk.path(f"{lane.info.id}-check.npz")
    lane.ask("check", out=str(path), gradients=lane.info.trains)
    gradients, outputs = _parted(arrays.load(path), GRADIENT)
    oracle, params, dtype = assignment.oracle, assignment.params, assignment.model.dtype
    _check_forward(lane, assignment, params, outputs, assignment.fresh, partial(oracle.fresh, params, dtype))
    if lane.info.trains:
        _check_gradients(lane, assignment, gradients)


def check_trained(lane: Lane, assignment: Assignment, desk: Desk) -> None:
    """The session that is about to be timed: its outputs with the weights it has now, by sequence and by single
    steps. A lane that trains tells its weights; another one was given them. Raises Failure."""
    path = desk.path(f"{lane.info.id}-ready.npz")
    reason = lane.ask("ready", out=str(path))["streaming"]
    if reason and not assignment.model.bidirectional:
        lane.warnings.append(f"no single steps: {reason}")
    lane.streams = reason is None
    told, outputs = _parted(arrays.load(path), PARAMETER)
    oracle, dtype = assignment.oracle, assignment.model.dtype
    if lane.info.trains:
        lane.weights = {name.removeprefix(PARAMETER): value for name, value in told.items()}
        if complaint := parity.malformed(lane.weights, assignment.params, dtype):
            raise Failure("bad_output", f"after training, {complaint}")
    weights = lane.weights if lane.weights is not None else assignment.params
    expected = oracle.trained(weights, lane.streams)
    rounded = partial(oracle.trained, weights, lane.streams, dtype)
    _check_forward(lane, assignment, weights, outputs, expected, rounded)


def _check_forward(
    lane: Lane,
    assignment: Assignment,
    params: Params,
    found: dict[str, Array],
    expected: Outputs,
    rounded: Callable[[], Outputs],
) -> None:
    """The worst of all checks so far goes into the record."""
    dtype = assignment.model.dtype
    if complaint := parity.malformed(found, expected.arrays, dtype):
        raise Failure("bad_output", complaint)
    worst = parity.deviation(found, expected.arrays, expected.scales)
    allowed = parity.FORWARD_TOLERANCE[dtype]
    if worst.error > allowed:
        own = parity.deviation(rounded().arrays, expected.arrays, expected.scales)
        allowed = parity.widened(allowed, own.error)
    columns = lane.columns
    lane.put(
        {
            "forward_error": max(worst.error, columns.get("forward_error", 0.0)),
            "forward_tolerance": max(allowed, columns.get("forward_tolerance", 0.0)),
        }
    )
    if worst.error > allowed:
        batch = assignment.batch
        guess = explain_outputs(assignment.model, params, batch.x, batch.lengths, found["y"], allowed)
        reason = worst.reason("forward", allowed)
        raise Failure("mismatch", f"{reason}; it computes as if {guess}" if guess else reason)


def _check_gradients(lane: Lane, assignment: Assignment, found: dict[str, Array]) -> None:
    dtype, expected = assignment.model.dtype, assignment.gradients
    if complaint := parity.malformed(found, expected, dtype):
        raise Failure("bad_output", complaint)
    worst, allowed = parity.gradient_deviation(found, expected), parity.GRADIENT_TOLERANCE[dtype]
    if worst.error > allowed:
        own = parity.gradient_deviation(assignment.oracle.gradients(assignment.params, dtype), expected)
        allowed = parity.widened(allowed, own.error)
    lane.put({"gradient_error": worst.error, "gradient_tolerance": allowed})
    if worst.error > allowed:
        raise Failure("mismatch", worst.reason("training", allowed))


def _parted(found: dict[str, Array], prefix: str) -> tuple[dict[str, Array], dict[str, Array]]:
    """(those whose name starts so, the others)."""
    with_prefix = {name: value for name, value in found.items() if name.startswith(prefix)}
    return with_prefix, {name: value for name, value in found.items() if name not in with_prefix}
