"""Checks before anything is timed: outputs, gradients and weights against the float64 reference."""

from rnnbench.measure import arrays, parity
from rnnbench.measure.assignment import Assignment, Desk
from rnnbench.measure.failure import Failure
from rnnbench.measure.lane import Lane
from rnnbench.measure.reference import GRADIENT, PARAMETER, Outputs, trained_expectation
from rnnbench.model import Array


def open_and_check(lane: Lane, assignment: Assignment, desk: Desk) -> None:
    """A session with the initial weights, its first call, its outputs and its gradients. Raises Failure."""
    first = lane.ask("open", **assignment.request(lane.info.trains))
    lane.samples["session_seconds"] = first["session_seconds"]
    lane.put({"seq_len": len(assignment.batch.x), "first_call_seconds": first["first_call_seconds"]})
    path = desk.path(f"{lane.info.id}-check.npz")
    lane.ask("check", out=str(path), gradients=lane.info.trains)
    found = arrays.load(path)
    gradients = {name: value for name, value in found.items() if name.startswith(GRADIENT)}
    _check_forward(
        lane, assignment, {k: v for k, v in found.items() if k not in gradients}, assignment.expected.forward
    )
    if lane.info.trains:
        _check_gradients(lane, assignment, gradients)


def check_trained(lane: Lane, assignment: Assignment, desk: Desk) -> None:
    """The session that is about to be timed: its outputs with the weights it has now, by sequence and by single
    steps. A lane that trains tells its weights; another one was given them. Raises Failure."""
    path = desk.path(f"{lane.info.id}-ready.npz")
    reason = lane.ask("ready", out=str(path))["streaming"]
    if reason and not assignment.model.bidirectional:
        lane.warnings.append(f"no single steps: {reason}")
    found = arrays.load(path)
    if lane.info.trains:
        lane.weights = {k.removeprefix(PARAMETER): v for k, v in found.items() if k.startswith(PARAMETER)}
        _check_weights(assignment, lane.weights)
    weights = lane.weights if lane.weights is not None else assignment.params
    expected = trained_expectation(
        assignment.model, assignment.task, assignment.training, weights, assignment.batch, streams=reason is None
    )
    _check_forward(lane, assignment, {k: v for k, v in found.items() if not k.startswith(PARAMETER)}, expected)
    lane.streams = reason is None


def _check_forward(lane: Lane, assignment: Assignment, found: dict[str, Array], expected: Outputs) -> None:
    """The worst of all checks so far goes into the record."""
    dtype = assignment.model.dtype
    if complaint := parity.malformed(found, expected.arrays, dtype):
        raise Failure("bad_output", complaint)
    worst, allowed = parity.deviation(found, expected.arrays, expected.scales), parity.FORWARD_TOLERANCE[dtype]
    error = max(worst.error, lane.columns.get("forward_error", 0.0))
    lane.put({"forward_error": error, "forward_tolerance": allowed})
    if worst.error > allowed:
        raise Failure("mismatch", worst.reason("forward", allowed))


def _check_gradients(lane: Lane, assignment: Assignment, found: dict[str, Array]) -> None:
    dtype, expected = assignment.model.dtype, assignment.expected.gradients
    if complaint := parity.malformed(found, expected, dtype):
        raise Failure("bad_output", complaint)
    worst, allowed = parity.gradient_deviation(found, expected), parity.GRADIENT_TOLERANCE[dtype]
    lane.put({"gradient_error": worst.error, "gradient_tolerance": allowed})
    if worst.error > allowed:
        raise Failure("mismatch", worst.reason("training", allowed))


def _check_weights(assignment: Assignment, weights: dict[str, Array]) -> None:
    if complaint := parity.malformed(weights, assignment.params, assignment.model.dtype):
        raise Failure("bad_output", f"after training, {complaint}")
