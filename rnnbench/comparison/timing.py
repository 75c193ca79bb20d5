"""Timing of sessions that were just checked, interleaved; and watching that they stay right while they are timed."""

from collections.abc import Sequence
from random import Random
from statistics import median

from rnnbench import clock
from rnnbench.comparison import traps
from rnnbench.comparison.actions import CaseActions
from rnnbench.comparison.backend_run import BackendRun
from rnnbench.comparison.case_inputs import CaseInputs
from rnnbench.records.figures import FIGURES
from rnnbench.verify import parity
from rnnbench.verify.flops import forward_flops
from rnnbench.workers.failure import Failure

LATENCY_STEPS = 2000  # a 99th percentile with twenty values above it
LATENCY_SECONDS = 0.05  # 250 steps of 200 µs, as NumPy takes: the least a 99th percentile can be made of
SPARE_CORES = 0.25  # above those allowed: an interpreter's own helpers, and the hand-over from one to another


def time_inference(runs: Sequence[BackendRun], inputs: CaseInputs, random: Random) -> None:
    """Take samples of every run in rounds, paired by number. A run that fails meanwhile loses its samples."""
    longest = 0.0
    for run in runs:
        with run.guarded():
            _probe(run)
            sample = run.ask(CaseActions.calibrate)
            longest = max(longest, sample.seconds)
            run.samples.calls_per_sample = sample.calls
    for run in clock.interleaved(runs, clock.count(longest), random):
        if run.ok:
            with run.guarded():
                take_sample(run, inputs)
    for run in runs:
        if run.ok:
            with run.guarded():
                _summarise(run, inputs)
        if not run.ok:
            run.samples.infer_seconds = None
    _warn_of_leaks([run for run in runs if run.ok])


def take_sample(run: BackendRun, inputs: CaseInputs) -> None:
    """Add one sample to a run that is calibrated. Raises Failure where its output is no longer the one checked."""
    sample = run.ask(CaseActions.sample)
    allowed = parity.FORWARD_TOLERANCE[inputs.model.dtype]
    if sample.drift is None or sample.drift > allowed:
        how = "is malformed" if sample.drift is None else f"is off by {sample.drift:.1e} (allowed: {allowed:g})"
        raise Failure("mismatch", f"its output was right when checked and {how} when timed")
    run.samples.infer_seconds = [*(run.samples.infer_seconds or ()), sample.seconds]
    run.samples.infer_threads = [*(run.samples.infer_threads or ()), sample.threads]


def time_steps(run: BackendRun) -> None:
    """Measure the latency of single steps of one row. Raises Failure."""
    seconds = run.ask(CaseActions.time_steps, LATENCY_STEPS, LATENCY_SECONDS)
    run.samples.step_seconds = seconds
    run.record.latency_p50_seconds = FIGURES["latency_p50_seconds"].over_rounds(seconds).value
    run.record.latency_p99_seconds = FIGURES["latency_p99_seconds"].over_rounds(seconds).value


def _probe(run: BackendRun) -> None:
    """Raise Failure where results are kept from call to call; warn where inputs next to zero cost too much."""
    found = run.ask(CaseActions.probe)
    if times := traps.cached(found.repeated, found.fresh):
        raise Failure("mismatch", f"gives results it has kept: inputs it has not seen take {times:.1f} times as long")
    if times := traps.subnormal(found.fresh, found.subnormal):
        run.warnings.append(traps.SUBNORMAL_WARNING)
        run.samples.subnormal_times = times


def _summarise(run: BackendRun, inputs: CaseInputs) -> None:
    """Fill in a timed run's record. Raises Failure where it used more threads than it may."""
    seconds, allowed = run.samples.infer_seconds or [], inputs.group.threads
    used = median(run.samples.infer_threads or [])
    if used > allowed + SPARE_CORES:
        raise Failure("mismatch", f"used {used:.1f} threads where {allowed} {'is' if allowed == 1 else 'are'} allowed")
    middle, record = FIGURES["infer_seconds"].over_rounds(seconds), run.record
    record.infer_seconds, record.infer_seconds_low, record.infer_seconds_high = middle.value, middle.low, middle.high
    record.flops_per_second = forward_flops(inputs.model, len(inputs.batch.x), inputs.batch.count) / middle.value


def _warn_of_leaks(runs: Sequence[BackendRun]) -> None:
    """Warn where the first rounds hold work of first calls."""
    rounds = {run.name: run.samples.infer_seconds or [] for run in runs}
    for run in runs:
        others = [values for name, values in rounds.items() if name != run.name]
        if times := traps.leak(rounds[run.name], others):
            run.warnings.append(traps.LEAK_WARNING)
            run.samples.leak_times = times
