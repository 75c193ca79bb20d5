"""Our times against those of `torch.utils.benchmark`: the same call in the same process, interleaved. Differences are
formed within rounds, as everywhere: the machine changes its speed between them."""

from random import Random
from statistics import median
from typing import Any

from rnnbench.aa_noise import timed_model
from rnnbench.clock import interleaved
from rnnbench.comparison.actions import CaseActions
from rnnbench.comparison.backend_run import BackendRun
from rnnbench.comparison.case_inputs import CaseFiles, CaseInputs
from rnnbench.comparison.plan import Group, training
from rnnbench.comparison.plan import Settings as PlanSettings
from rnnbench.comparison.timing import SECRET, take_sample
from rnnbench.registry import Registry, configure
from rnnbench.tasks.model_file import model_task
from rnnbench.workers.sandbox import Sandbox, parent_cores
from rnnbench.workers.serve import BackendLoader
from rnnbench.workers.worker import WorkerLimits

SHAPES = ((1, 25), (16, 25), (64, 100))  # batch and steps: a call of some tens of microseconds, of 0.3 ms, of some ms
BACKENDS = ("numba", "torch")
WORK = "validation.agreement:TorchTimedActions"


class TorchTimedActions(CaseActions):
    """A worker that also asks torch's timer how long a call takes."""

    def time_by_torch(self) -> float:
        """Return the seconds of a call: time as many as our sample has, on inputs as new to it as ours are; torch warms
        up with some of its own."""
        from torch.utils.benchmark import Timer

        calls = self.calibration.calls
        given = iter(self._inputs.windows(calls + max(2, calls // 100)))
        timer = Timer("call(next(given))", globals={"call": self._call(), "given": given}, num_threads=self.threads)
        return float(timer.timeit(calls).median)


def agreement(count: int) -> dict[str, Any]:
    """Take, for each backend and shape, the median of `count` samples by either timer. Raises RuntimeError where a
    backend cannot run."""
    registry = configure(["rnnbench_torch"] if "torch" not in configure([]).backends else [])
    rows = []
    with Sandbox(WorkerLimits()) as place, parent_cores(place.cores, 1):
        for backend in BACKENDS:
            for batch, steps in SHAPES:
                rows.append(_row(place, registry, backend, batch, steps, count))
                last = rows[-1]
                print(
                    f"{backend}, batch {batch}, {steps} steps: {last['ours'] * 1e6:.1f} µs here,"
                    f" {last['theirs'] * 1e6:.1f} by torch.utils.benchmark, {last['difference']:+.2%}",
                    flush=True,
                )
    return {"count": count, "rows": rows}


def _row(place: Sandbox, registry: Registry, backend: str, batch: int, steps: int, count: int) -> dict[str, Any]:
    run = BackendRun(backend, registry.backend(backend), worker := place.start(registry.backend(backend), 1, work=WORK))
    worker.receive(BackendLoader.load, worker.limits.load_seconds)
    worker.pause()
    inputs = _inputs(CaseFiles(place.folder), batch, steps)
    run.ask(CaseActions.open, inputs.opening(False))
    run.ask(CaseActions.verify, str(place.folder / "verified.npz"))
    run.samples.calls_per_sample = run.ask(CaseActions.calibrate).calls
    theirs: list[float] = []
    takers = (
        lambda: take_sample(run, inputs, SECRET.randrange(2**32)),
        lambda: theirs.append(run.ask(TorchTimedActions.time_by_torch)),
    )
    for take in interleaved(takers, count, Random(0)):
        take()
    place.dismiss(worker)
    ours = run.samples.infer_seconds or []
    within_rounds = median(own / other for own, other in zip(ours, theirs, strict=True))
    return {
        "backend": backend,
        "batch": batch,
        "steps": steps,
        "ours": median(ours),
        "theirs": median(theirs),
        "difference": within_rounds - 1,
    }


def _inputs(files: CaseFiles, batch: int, steps: int) -> CaseInputs:
    trained = timed_model()
    model = trained.model
    task = model_task("agreement", model, trained.params, batch, steps)
    group = Group(task.id, model.cell, model.hidden_size, model.layers, model.bidirectional, model.dtype, 1, 0)
    return files.inputs(group, task, training(task, PlanSettings(tasks=(task.id,), steps=0)))
