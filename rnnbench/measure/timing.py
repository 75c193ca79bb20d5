"""Timing by turns of sessions that were just checked, and watching that they stay right while they are timed."""

from collections.abc import Sequence
from random import Random
from statistics import median

from rnnbench.measure import parity, rounds, traps
from rnnbench.measure.assignment import Assignment
from rnnbench.measure.failure import Failure
from rnnbench.measure.flops import forward_flops
from rnnbench.measure.lane import Lane
from rnnbench.records.comparisons import INFER
from rnnbench.records.statistics import median_interval

LATENCY_STEPS = 2000  # a 99th percentile with twenty values above it
LATENCY_SECONDS = 0.05  # 250 steps of 200 µs, as NumPy takes: the least a 99th percentile can be made of
RUNNABLE = "infer_threads"  # one value per round: how many threads wanted to run
SPARE_CORES = 0.25  # above those allowed: an interpreter's own helpers, and the hand-over from one to another


def time_inference(lanes: Sequence[Lane], assignment: Assignment, random: Random) -> None:
    """Rounds of samples of every lane, paired by number. A lane that fails meanwhile loses its samples."""
    by_name = {lane.name: lane for lane in lanes}
    longest = 0.0
    for lane in lanes:
        with lane.guarded():
            _probe(lane)
            sample = lane.ask("calibrate")
            longest = max(longest, sample["seconds"])
            lane.samples |= {"calls_per_sample": sample["calls"], INFER: [], RUNNABLE: []}
    for _, name in rounds.turns(list(by_name), rounds.count(longest), random):
        lane = by_name[name]
        if lane.ok:
            with lane.guarded():
                _sample(lane, assignment)
    for lane in lanes:
        with lane.guarded():
            _put_inference(lane, assignment)
        if not lane.ok:
            lane.samples.pop(INFER, None)
    _warn_of_leaks([lane for lane in lanes if lane.ok])


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


def _probe(lane: Lane) -> None:
    """Raises Failure where results are kept from call to call."""
    found = lane.ask("probe")
    if times := traps.cached(found["repeated"], found["fresh"]):
        raise Failure("mismatch", f"gives results it has kept: inputs it has not seen take {times:.1f} times as long")
    if times := traps.subnormal(found["fresh"], found["subnormal"]):
        lane.warn(traps.SUBNORMAL_WARNING, "subnormal_times", times)


def _sample(lane: Lane, assignment: Assignment) -> None:
    reply = lane.ask("time")
    allowed = parity.FORWARD_TOLERANCE[assignment.model.dtype]
    if reply["drift"] is None or reply["drift"] > allowed:
        how = "is malformed" if reply["drift"] is None else f"is off by {reply['drift']:.1e} (allowed: {allowed:g})"
        raise Failure("mismatch", f"its output was right when checked and {how} when timed")
    lane.samples[INFER].append(reply["seconds"])
    lane.samples[RUNNABLE].append(reply["threads"])


def _put_inference(lane: Lane, assignment: Assignment) -> None:
    if not lane.ok:
        return
    seconds, allowed = lane.samples[INFER], assignment.group.threads
    used = median(lane.samples[RUNNABLE])
    if used > allowed + SPARE_CORES:
        raise Failure("mismatch", f"used {used:.1f} threads where {allowed} {'is' if allowed == 1 else 'are'} allowed")
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


def _warn_of_leaks(lanes: Sequence[Lane]) -> None:
    for lane in lanes:
        others = [other.samples[INFER] for other in lanes if other is not lane]
        if times := traps.leak(lane.samples[INFER], others):
            lane.warn(traps.LEAK_WARNING, "leak_times", times)
