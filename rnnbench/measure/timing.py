"""Timing by turns of sessions that were just checked, and watching that they stay right while they are timed."""

from collections.abc import Sequence
from random import Random

from rnnbench.measure import parity, rounds
from rnnbench.measure.assignment import Assignment
from rnnbench.measure.failure import Failure
from rnnbench.measure.flops import forward_flops
from rnnbench.measure.lane import Lane
from rnnbench.records.comparisons import INFER
from rnnbench.records.statistics import median_interval

LATENCY_STEPS = 2000  # a 99th percentile with twenty values above it
LATENCY_SECONDS = 0.05  # 250 steps of 200 µs, as NumPy takes: the least a 99th percentile can be made of
SPARE_CORES = 0.25  # of processor time above the threads allowed: an interpreter's own helper threads


def time_inference(lanes: Sequence[Lane], assignment: Assignment, random: Random) -> None:
    """Rounds of samples of every lane, paired by number. A lane that fails meanwhile loses its samples."""
    by_name = {lane.name: lane for lane in lanes}
    for lane in lanes:
        with lane.guarded():
            lane.samples["calls_per_sample"] = lane.ask("calibrate")["calls"]
            lane.samples[INFER], lane.samples["infer_cores"] = [], []
    for _, name in rounds.turns(list(by_name), rounds.ROUNDS, random):
        lane = by_name[name]
        if lane.ok:
            with lane.guarded():
                _sample(lane, assignment)
    for lane in lanes:
        with lane.guarded():
            _put_inference(lane, assignment)
        if not lane.ok:
            lane.samples.pop(INFER, None)


def time_steps(lane: Lane) -> None:
    """The latency of single steps of one row. Raises Failure."""
    seconds = lane.ask("latency", count=LATENCY_STEPS, seconds=LATENCY_SECONDS)["seconds"]
    lane.samples["step_seconds"] = seconds
    ordered = sorted(seconds)
    lane.put(
        {
            "latency_p50_seconds": ordered[len(ordered) // 2],
            "latency_p99_seconds": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
        }
    )


def _sample(lane: Lane, assignment: Assignment) -> None:
    reply = lane.ask("time")
    allowed = parity.FORWARD_TOLERANCE[assignment.model.dtype]
    if reply["drift"] is None or reply["drift"] > allowed:
        how = "is malformed" if reply["drift"] is None else f"is off by {reply['drift']:.1e} (allowed: {allowed:g})"
        raise Failure("mismatch", f"its output was right when checked and {how} when timed")
    lane.samples[INFER].append(reply["seconds"])
    lane.samples["infer_cores"].append(reply["cores"])


def _put_inference(lane: Lane, assignment: Assignment) -> None:
    if not lane.ok:
        return
    seconds, cores = lane.samples[INFER], lane.samples["infer_cores"]
    used = sum(c * s for c, s in zip(cores, seconds, strict=True)) / sum(seconds)
    if used > assignment.group.threads + SPARE_CORES:
        allowed = assignment.group.threads
        raise Failure("mismatch", f"used {used:.1f} cores where {allowed} {'is' if allowed == 1 else 'are'} allowed")
    middle = median_interval(seconds)
    work = forward_flops(assignment.model, len(assignment.batch.x), assignment.batch.count)
    lane.put(
        {
            "infer_seconds": middle.value,
            "infer_seconds_low": middle.low,
            "infer_seconds_high": middle.high,
            "flops_per_second": work / middle.value,
        }
    )
