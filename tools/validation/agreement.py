"""Our times against those of `torch.utils.benchmark`: the same call in the same process, by turns. Differences are
formed within rounds, as everywhere: the machine changes its speed between them."""

from random import Random
from statistics import median
from typing import Any

from rnnbench.aa_noise import timed_model
from rnnbench.comparison import timing
from rnnbench.comparison.actions import CaseActions
from rnnbench.comparison.backend_run import BackendRun
from rnnbench.comparison.case_inputs import CaseFiles, CaseInputs
from rnnbench.comparison.plan import Group, training
from rnnbench.comparison.plan import Settings as PlanSettings
from rnnbench.records.comparisons import INFER
from rnnbench.registry import Registry, configure
from rnnbench.tasks.model_file import model_task
from rnnbench.workers.sandbox import Sandbox, parent_cores
from rnnbench.workers.worker import WorkerLimits

SHAPES = ((1, 25), (16, 25), (64, 100))  # batch and steps: a call of some tens of microseconds, of 0.3 ms, of some ms
BACKENDS = ("numba", "torch")
JUDGED = "validation.agreement:JudgedWork"


class JudgedWork(CaseActions):
    """A worker that also asks torch's timer how long a call takes."""

    def actions(self) -> dict[str, Any]:
        return {**super().actions(), "judge": self.judge}

    def judge(self) -> dict[str, Any]:
        """Time as many calls as our sample has; torch warms up with two of its own."""
        from torch.utils.benchmark import Timer

        timer = Timer("call()", globals={"call": self._call}, num_threads=self.threads)
        return {"seconds": timer.timeit(self.calls).median}


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
    lane = BackendRun(backend, registry.backend(backend))
    lane.worker = place.start(lane.info, 1, work=JUDGED)
    lane.worker.receive(lane.worker.limits.load_seconds)
    lane.worker.pause()
    assignment = _inputs(CaseFiles(place.folder), batch, steps)
    lane.ask("open", **assignment.request(False))
    lane.ask("verify", out=str(place.folder / "ready.npz"))
    lane.ask("calibrate")
    lane.samples |= {INFER: [], timing.RUNNABLE: []}
    theirs: list[float] = []
    order = Random(0)
    for _ in range(count):
        turns = [lambda: timing._sample(lane, assignment), lambda: theirs.append(lane.ask("judge")["seconds"])]
        order.shuffle(turns)
        for turn in turns:
            turn()
    place.dismiss(lane.worker)
    ours = lane.samples[INFER]
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
