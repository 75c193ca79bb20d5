"""What a plugin's task, cell and baseline compute, in a process of their own: what is not ours may end, hang or fork.

The built-in ones, and a task made of the user's own file, are ours: they are computed where we are, by the same calls.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate

from rnnbench.backends.base import Backend, BackendInfo
from rnnbench.baselines.spec import Problem
from rnnbench.comparison import arrays, trees
from rnnbench.comparison.baseline_work import BaselineReply, BaselineRequest, fit_and_time
from rnnbench.comparison.folds import folded
from rnnbench.comparison.scoring import Scores
from rnnbench.model import Model
from rnnbench.registry import registry
from rnnbench.tasks.spec import Task, Training, Workload
from rnnbench.verify.reference import Oracle
from rnnbench.workers.failure import Failure
from rnnbench.workers.messages import Actor, P, Reply
from rnnbench.workers.pool import PATIENCE
from rnnbench.workers.sandbox import Sandbox
from rnnbench.workers.serve import BackendLoader
from rnnbench.workers.worker import Worker

OPTIONS = {"tasks": "task", "cells": "cell", "baselines": "baseline"}
LEAVE_OUT = "leave the baselines out: --no-baselines"
WORK = f"{__name__}:CaseWork"
REFERENCE = BackendInfo("numpy", "the reference", "rnnbench.backends.numpy_reference:NumpyBackend")


@dataclass(frozen=True)
class TaskPart:
    """A task by name, or a fold of it, of so many."""

    id: str
    fold: int | None = None
    folds: int | None = None

    def found(self) -> Workload:
        """Return the task itself."""
        task = registry().task(self.id)
        return task if self.fold is None or self.folds is None else folded(task, self.fold, self.folds)


class CaseWork:
    """The process's side: its public methods are what can be asked for."""

    def __init__(self, backend: Backend, threads: int) -> None:
        """Take what every worker's actions take, and need none of it."""

    def make_data(self, task: TaskPart, seed: int, dtype: str, stem: str) -> None:
        """Write the splits of a task's data."""
        arrays.save_data(Path(stem), arrays.cast(task.found().data(seed), dtype))

    def score(self, task: TaskPart, predictions: str, split: str) -> Scores:
        """Return what is recorded of predictions for a split."""
        known = task.found()
        assert isinstance(known, Task)
        return Scores.of(known, arrays.load(Path(predictions))["y"], arrays.load_split(Path(split)))

    def answer(self, asked: BaselineRequest) -> BaselineReply:
        """Fit a baseline, and write its answers to a test split."""
        train, test, batch = (arrays.load_split(Path(path)) for path in (asked.train, asked.test, asked.batch))
        problem = Problem(train, asked.loss, asked.output_size, asked.readout, asked.seed)
        reply, answers = fit_and_time(registry().baseline(asked.baseline), problem, test, batch)
        if answers is not None:
            arrays.save(Path(asked.answers), {"y": answers})
        return reply

    def compute(self, model: Model, loss: str, training: Training, method: str, asked: str, answer: str) -> None:
        """Write what a method of the reference returns. asked: a file with its splits and the method's arguments."""
        batch, first, given, named = trees.load_tree(Path(asked))
        found = getattr(Oracle(model, loss, training, batch, first), method)(*given, **named)
        trees.save_tree(Path(answer), found)


class PluginProcesses:
    """Our side: a process for each plugin's offers, started when it is first asked, and again when it died."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._workers: dict[tuple[str, ...], Worker] = {}
        self._late: Counter[tuple[str, str]] = Counter()

    def serves(self, kind: str, name: str) -> bool:
        """Tell whether a plugin offers the task, cell or baseline, so that it is computed here."""
        return (kind, name) in registry().owners and not registry().built_in(kind, name)

    def ask(
        self, kind: str, name: str, action: Callable[Concatenate[Actor, P], Reply], *given: P.args, **named: P.kwargs
    ) -> Reply:
        """Return the result of an action for the task, cell or baseline. Raises Failure, which names it."""
        with at_fault(kind, name):
            if self._late[kind, name] >= PATIENCE:
                raise Failure("timeout", f"not tried again after {PATIENCE} timeouts")
            try:
                return self._worker(registry().needed(**{kind: [name]})).ask_alone(action, *given, **named)
            except Failure as failure:
                self._late[kind, name] += failure.status == "timeout"
                raise

    def _worker(self, plugins: tuple[str, ...]) -> Worker:
        worker = self._workers.get(plugins)
        if worker is None or not worker.alive:
            worker = self._workers[plugins] = self._sandbox.start(REFERENCE, 1, work=WORK, plugins=plugins)
            worker.receive(BackendLoader.load, worker.limits.load_seconds)
        return worker


@contextmanager
def at_fault(kind: str, name: str) -> Iterator[None]:
    """Let a failure inside name the task, cell or baseline."""
    try:
        yield
    except Failure as failure:
        action = LEAVE_OUT if kind == "baselines" else f"leave it out: --{OPTIONS[kind]} without {name}"
        remedy = None if failure.status == "oom" else action
        raise Failure(failure.status, f"{OPTIONS[kind]} {name!r}: {failure.reason}", remedy) from failure


@dataclass(frozen=True)
class OracleAway(Oracle):
    """The reference of a plugin's cell: whatever it is asked, the cell's process computes it."""

    processes: PluginProcesses
    folder: Path

    def _compute(self, method: str, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        asked, answer = self.folder / "asked.npz", self.folder / "answer.npz"
        trees.save_tree(asked, [self.batch, self.first, given, named])
        case = self.model, self.loss, self.training
        self.processes.ask("cells", self.model.cell, CaseWork.compute, *case, method, str(asked), str(answer))
        with at_fault("cells", self.model.cell):
            return trees.load_tree(answer)


def _asking(method: str) -> Callable[..., Any]:
    return lambda self, *given, **named: self._compute(method, given, named)


for _method in [name for name in vars(Oracle) if not name.startswith("_")]:
    setattr(OracleAway, _method, _asking(_method))
