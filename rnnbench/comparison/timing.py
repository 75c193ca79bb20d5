"""Timing by turns of sessions that were just checked, and watching that they stay right while they are timed."""

from collections.abc import Sequence
from random import Random
from statistics import median

from rnnbench import clock
from rnnbench.comparison import traps
from rnnbench.comparison.backend_run import BackendRun
from rnnbench.comparison.case_inputs import CaseInputs
from rnnbench.records.comparisons import INFER
from rnnbench.records.statistics import median_interval
from rnnbench.verify import parity
from rnnbench.verify.flops import forward_flops
from rnnbench.workers.failure import Failure

LATENCY_STEPS = 2000  # a 99th percentile with twenty values above it
LATENCY_SECONDS = 0.05  # 250 steps of 200 µs, as NumPy takes: the least a 99th percentile can be made of
RUNNABLE = "infer_threads"  # one value per round: how many threads wanted to run
SPARE_CORES = 0.25  # above those allowed: an interpreter's own helpers, and the hand-over from one to another


def time_inference(runs: Sequence[BackendRun], inputs: CaseInputs, random: Random) -> None:
    """Rounds of samples of every run, paired by number. A run that fails meanwhile loses its samples."""
    by_name = {run.name: run for run in runs}
    longest = 0.0
    for run in runs:
        with run.guarded():
            _probe(run)
            sample = run.ask("calibrate")
            longest = max(longest, sample["seconds"])
            run.samples |= {"calls_per_sample": sample["calls"], INFER: [], RUNNABLE: []}
    for _, name in clock.turns(list(by_name), clock.count(longest), random):
        run = by_name[name]
        if run.ok:
            with run.guarded():
                _sample(run, inputs)
    for run in runs:
        with run.guarded():
            _put_inference(run, inputs)
        if not run.ok:
            run.samples.pop(INFER, None)
    _warn_of_leaks([run for run in runs if run.ok])


def time_steps(run: BackendRun) -> None:
    """The latency of single steps of one row. Raises Failure."""
    seconds = run.ask("latency", count=LATENCY_STEPS, seconds=LATENCY_SECONDS)["seconds"]
    run.samples["step_seconds"] = seconds
    ordered = sorted(seconds)
    run.put(
        {
            "latency_p50_seconds": ordered[len(ordered) // 2],
            "latency_p99_seconds": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
        }
    )


def _probe(run: BackendRun) -> None:
    """Raises Failure where results are kept from call to call."""
    found = run.ask("probe")
    if times := traps.cached(found["repeated"], found["fresh"]):
        raise Failure("mismatch", f"gives results it has kept: inputs it has not seen take {times:.1f} times as long")
    if times := traps.subnormal(found["fresh"], found["subnormal"]):
        run.warn(traps.SUBNORMAL_WARNING, "subnormal_times", times)


def _sample(run: BackendRun, inputs: CaseInputs) -> None:
    reply = run.ask("time")
    allowed = parity.FORWARD_TOLERANCE[inputs.model.dtype]
    if reply["drift"] is None or reply["drift"] > allowed:
        how = "is malformed" if reply["drift"] is None else f"is off by {reply['drift']:.1e} (allowed: {allowed:g})"
        raise Failure("mismatch", f"its output was right when checked and {how} when timed")
    run.samples[INFER].append(reply["seconds"])
    run.samples[RUNNABLE].append(reply["threads"])


def _put_inference(run: BackendRun, inputs: CaseInputs) -> None:
    if not run.ok:
        return
    seconds, allowed = run.samples[INFER], inputs.group.threads
    used = median(run.samples[RUNNABLE])
    if used > allowed + SPARE_CORES:
        raise Failure("mismatch", f"used {used:.1f} threads where {allowed} {'is' if allowed == 1 else 'are'} allowed")
    middle = median_interval(seconds)
    work = forward_flops(inputs.model, len(inputs.batch.x), inputs.batch.count)
    run.put(
        {
            "infer_seconds": middle.value,
            "infer_seconds_low": middle.low,
            "infer_seconds_high": middle.high,
            "flops_per_second": work / middle.value,
        }
    )


def _warn_of_leaks(runs: Sequence[BackendRun]) -> None:
    for run in runs:
        others = [other.samples[INFER] for other in runs if other is not run]
        if times := traps.leak(run.samples[INFER], others):
            run.warn(traps.LEAK_WARNING, "leak_times", times)
