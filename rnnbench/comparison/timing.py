"""Timing of sessions that were just checked, interleaved; and watching that they stay right while they are timed."""

from collections.abc import Sequence
from math import ceil
from random import Random, SystemRandom
from statistics import median
from time import perf_counter

from rnnbench import clock
from rnnbench.comparison import arrays, checking, traps
from rnnbench.comparison.actions import CaseActions
from rnnbench.comparison.backend_run import BackendRun
from rnnbench.comparison.case_inputs import CaseFiles, CaseInputs
from rnnbench.records.figures import FIGURES
from rnnbench.verify.flops import forward_flops
from rnnbench.workers.failure import Failure

LATENCY_STEPS = 2000  # a 99th percentile with twenty values above it
LATENCY_SECONDS = 0.05  # 250 steps of 200 µs, as NumPy takes: the least a 99th percentile can be made of
LOOKS = 3  # rounds whose outputs are held to the reference, while that takes no longer than
LOOKING_SECONDS = 0.05
SECRET = SystemRandom()  # nobody can know which moments are looked at
CONFIRMED = 0.8  # of a second here, that a worker's clock must have counted
UNSUSPECTED = 0.6  # in a short sample, whose messages and inputs take the rest
CONFIRMATIONS, LONG_SECONDS = 5, 0.1  # beside which a message on its way is next to nothing
SPARE_CORES = 0.25  # above those allowed: an interpreter's own helpers, and the hand-over from one to another


def time_inference(runs: Sequence[BackendRun], inputs: CaseInputs, files: CaseFiles, random: Random) -> None:
    """Take samples of every run in rounds, paired by number: all runs get the same inputs in a round. What was timed is
    looked at in rounds that nobody knows beforehand. A run that fails meanwhile loses its samples."""
    longest = 0.0
    for run in runs:
        with run.guarded():
            _probe(run)
            sample = run.ask(CaseActions.calibrate)
            longest = max(longest, sample.seconds)
            run.samples.calls_per_sample = sample.calls
    rounds = clock.count(longest)
    seeds = [SECRET.randrange(2**32) for _ in range(rounds)]
    looks = {run.name: set(SECRET.sample(range(rounds), min(LOOKS, rounds))) for run in runs}
    for run in runs:
        run.processor_seconds = _processor_seconds(run)
    for number, run in enumerate(clock.interleaved(runs, rounds, random)):
        if run.ok:
            with run.guarded():
                seed = seeds[number // len(runs)]
                take_sample(run, inputs, seed)
                if number // len(runs) in looks[run.name]:
                    _look(run, inputs, files, seed)
    for run in runs:
        if run.ok:
            with run.guarded():
                _confirm(run)
                _summarise(run, inputs)
    _warn_of_leaks([run for run in runs if run.ok])


def take_sample(run: BackendRun, inputs: CaseInputs, seed: int) -> None:
    """Add one sample to a run that is calibrated, on the inputs of a seed. Raises Failure where threads left the cores
    that they were given."""
    start = perf_counter()
    sample = run.ask(CaseActions.sample, seed)
    calls = run.samples.calls_per_sample or 1
    run.confirmed = max(run.confirmed, sample.seconds * (calls + 1) / (perf_counter() - start))  # one warms up
    if sample.strayed:
        cores = ", ".join(map(str, sample.strayed))
        raise Failure(
            "mismatch", f"moved its threads to cores that it was not given ({cores}); leave the affinity alone"
        )
    run.samples.infer_seconds = [*(run.samples.infer_seconds or ()), sample.seconds]
    run.samples.infer_threads = [*(run.samples.infer_threads or ()), sample.threads]
    run.waiting.append(sample.waiting)


def time_steps(run: BackendRun, inputs: CaseInputs, files: CaseFiles) -> None:
    """Measure the latency of single steps of one row, and look at what some of these steps gave. Raises Failure."""
    path, seed = files.path(f"{run.name}-steps.npz"), SECRET.randrange(2**32)
    taken = run.ask(CaseActions.time_steps, LATENCY_STEPS, LATENCY_SECONDS, seed, str(path))
    found = arrays.load(path)
    for number in {taken.passes - 1, SECRET.randrange(taken.passes)}:
        checking.check_steps(run, inputs, found[str(number)], seed, number)
    record = run.record
    run.samples.step_seconds, run.samples.first_step_seconds = taken.later, taken.first
    record.first_step_seconds = FIGURES["first_step_seconds"].over_rounds(taken.first).value
    record.latency_p50_seconds = FIGURES["latency_p50_seconds"].over_rounds(taken.later).value
    record.latency_p99_seconds = FIGURES["latency_p99_seconds"].over_rounds(taken.later).value


def _look(run: BackendRun, inputs: CaseInputs, files: CaseFiles, seed: int) -> None:
    """Hold what the sample just taken gave to the reference, unless looking has taken too long already. Raises
    Failure."""
    if run.looking_seconds > LOOKING_SECONDS:
        return
    start, path = perf_counter(), files.path(f"{run.name}-timed.npz")
    run.ask(CaseActions.timed_outputs, str(path))
    checking.check_timed(run, inputs, arrays.load(path), seed)
    run.looking_seconds += perf_counter() - start


def _probe(run: BackendRun) -> None:
    """Warn where inputs next to zero cost too much, twice."""
    for _ in range(2):
        found = run.ask(CaseActions.probe)
        if not (times := traps.subnormal(found.fresh, found.subnormal)):
            return
    run.warnings.append(traps.SUBNORMAL_WARNING)
    run.samples.subnormal_times = times


def _confirm(run: BackendRun) -> None:
    """Hold the worker's clock to ours: all that it says it took must have passed here, and little more. Asks again,
    for longer samples, before it accuses. And nobody else may have computed for it. Raises Failure."""
    (own_before, beside_before), (own, beside) = run.processor_seconds, _processor_seconds(run)
    if beside - beside_before > SPARE_CORES * (own - own_before):
        why = f"processes that it started took {beside - beside_before:.2f} s of processor time while it was timed"
        raise Failure("mismatch", f"{why}; a backend computes in the process that it is given")
    if run.confirmed >= UNSUSPECTED:
        return
    for _ in range(CONFIRMATIONS):
        calls = ceil(LONG_SECONDS / min(run.samples.infer_seconds or [LONG_SECONDS]))
        start = perf_counter()
        told = run.ask(CaseActions.time_calls, calls)
        run.confirmed = told / (perf_counter() - start)
        if run.confirmed >= CONFIRMED:
            return
    raise Failure("mismatch", f"its clock runs slow: of each second here it counts {run.confirmed:.2f}")


def _summarise(run: BackendRun, inputs: CaseInputs) -> None:
    """Fill in a timed run's record. Raises Failure where it used more threads than it may."""
    seconds, allowed = run.samples.infer_seconds or [], inputs.group.threads
    used = median(run.samples.infer_threads or [])
    if used > allowed + SPARE_CORES:
        raise Failure("mismatch", f"used {used:.1f} threads where {allowed} {'is' if allowed == 1 else 'are'} allowed")
    middle, record = FIGURES["infer_seconds"].over_rounds(seconds), run.record
    record.infer_seconds, record.infer_seconds_low, record.infer_seconds_high = middle.value, middle.low, middle.high
    record.flops_per_second = forward_flops(inputs.model, len(inputs.batch.x), inputs.batch.count) / middle.value


def _processor_seconds(run: BackendRun) -> tuple[float, float]:
    return run.worker.processor_seconds() if run.worker and run.ok else (0.0, 0.0)


def _warn_of_leaks(runs: Sequence[BackendRun]) -> None:
    """Warn where the first rounds hold work of first calls."""
    rounds = {run.name: run.samples.infer_seconds or [] for run in runs}
    for run in runs:
        others = [values for name, values in rounds.items() if name != run.name]
        if times := traps.leak(rounds[run.name], others, run.waiting):
            run.warnings.append(traps.LEAK_WARNING)
            run.samples.leak_times = times
