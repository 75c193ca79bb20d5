"""A comparison carried out: plan in, records out.

Seeds are outermost: each has worker processes of its own, one a backend, and one more of `numba` as its A/A control.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from rnnbench.backends.base import BackendInfo
from rnnbench.comparison import rows
from rnnbench.comparison.backend_run import BackendRun
from rnnbench.comparison.case_inputs import CaseFiles
from rnnbench.comparison.description import Description
from rnnbench.comparison.group import TRAINER, GroupRun, RunState
from rnnbench.comparison.listener import Listener
from rnnbench.comparison.plan import Group, Settings, groups, training
from rnnbench.errors import UsageError
from rnnbench.machine.environment import check_threads, core_count, cpu_model, machine_id
from rnnbench.records.comparisons import CONTROL, CONTROLLED, noise
from rnnbench.records.record import Record
from rnnbench.records.statistics import Interval
from rnnbench.records.store import Run
from rnnbench.registry import Registry
from rnnbench.tasks.spec import Task, Workload
from rnnbench.workers.pool import LoadFailures, WorkerPool, WorkerSpec
from rnnbench.workers.sandbox import Sandbox, parent_cores, termination_as_interrupt
from rnnbench.workers.worker import WorkerLimits


@dataclass(frozen=True)
class ComparisonResult:
    """records: all of the run's, those of an earlier, interrupted part too. noise: the machine's A/A noise, where it
    was measured. interrupted: stopped by the user; finished groups are stored."""

    records: tuple[Record, ...]
    noise: Interval | None
    interrupted: bool


@dataclass(frozen=True)
class Selection:
    """Which backends get a row, whether the trainer has to help out, and whether the machine's noise is measured."""

    infos: tuple[BackendInfo, ...]
    trainer: BackendInfo | None
    notices: tuple[str, ...]
    control: bool = True

    @property
    def ids(self) -> list[str]:
        return [info.id for info in self.infos]

    def specs(self) -> list[WorkerSpec]:
        """Return a process each: the installed ones, the trainer if it has no row, and the control."""
        specs = [WorkerSpec(info.id, info) for info in self.infos if info.missing() is None]
        if self.trainer:
            specs.append(WorkerSpec(self.trainer.id, self.trainer))
        controlled = [spec.info for spec in specs if spec.name == CONTROLLED and CONTROLLED in self.ids]
        return [*specs, *(WorkerSpec(CONTROL, info) for info in controlled if self.control)]

    def helpers(self, with_control: bool) -> list[BackendRun]:
        """Return fresh runs without a row of their own."""
        helpers = [BackendRun(self.trainer.id, self.trainer, listed=False)] if self.trainer else []
        controlled = [info for info in self.infos if info.id == CONTROLLED and info.missing() is None]
        return [
            *helpers,
            *(BackendRun(CONTROL, info, listed=False) for info in controlled if with_control and self.control),
        ]


@dataclass(frozen=True)
class ComparisonPlan:
    """All that is settled before a run is begun: names are checked, backends chosen, settings unfolded."""

    settings: Settings
    tasks: dict[str, Workload]
    groups: tuple[Group, ...]
    selection: Selection
    description: Description


def plan_comparison(
    settings: Settings, registry: Registry, extra_tasks: Sequence[Workload] = (), control: bool = True
) -> ComparisonPlan:
    """Check every name and unfold the settings, before anything is stored or started.

    extra_tasks: tasks that no plugin offers (one made from a CSV file). control: whether `numba`, where it is compared,
    is timed against itself too. Raises UnknownName, and UsageError for settings that cannot run here.
    """
    check_threads(max(settings.threads))
    extra = {task.id: task for task in extra_tasks}
    tasks = {name: extra.get(name) or registry.task(name) for name in settings.tasks}
    workloads = list(tasks.values())
    selection = replace(choose(settings, workloads, registry), control=control)
    unfolded = tuple(dict.fromkeys(groups(settings, workloads, registry)))
    return ComparisonPlan(settings, tasks, unfolded, selection, Description.of(settings, workloads))


def carry_out(
    plan: ComparisonPlan, run: Run, listener: Listener, limits: WorkerLimits | None = None, notices: Sequence[str] = ()
) -> ComparisonResult:
    """Measure every group of the plan that `run` does not hold yet, and store each as it is finished.

    limits: what a worker may take. Raises UsageError for a folder that cannot be written, or a run that was begun on
    another machine. SIGINT and SIGTERM end it early, with a result.
    """
    done = run.finished()
    waiting = [group for group in plan.groups if group.key not in done]
    _refuse_another_machine(run, resuming=bool(done))
    count, selection = len(plan.groups), plan.selection
    listener.planned(count, count - len(waiting), selection.ids, [*notices, *selection.notices])
    interrupted = False
    try:
        with termination_as_interrupt(), Sandbox(limits or WorkerLimits()) as sandbox:
            Comparison(plan, run, listener, sandbox).carry_out(waiting)
        run.finish()
    except KeyboardInterrupt:
        interrupted = True
    return ComparisonResult(tuple(run.records()), noise(run.groups()), interrupted)


def choose(settings: Settings, tasks: Sequence[Workload], registry: Registry) -> Selection:
    """Return the backends that were named, or every installed one. Raises UsageError where there is none."""
    notices = []
    if settings.backends:
        infos = [registry.backend(name) for name in dict.fromkeys(settings.backends)]
    else:
        infos = []
        for info in registry.backends.values():
            if absent := info.missing():
                notices.append(f"{info.id} is left out: {absent.module} is not installed; {absent.remedy}")
            else:
                infos.append(info)
    if not infos:
        raise UsageError("no backend is installed; see `rnnbench list backends`")
    trainer = registry.backends.get(TRAINER)
    helps = trainer is not None and trainer not in infos and trainer.missing() is None
    learning = any(isinstance(task, Task) for task in tasks)
    needed = learning and any(not info.trains and info.missing() is None for info in infos)
    return Selection(tuple(infos), trainer if helps and needed else None, tuple(notices))


class Comparison:
    """All waiting groups, one pool of workers after the other."""

    def __init__(self, plan: ComparisonPlan, run: Run, listener: Listener, sandbox: Sandbox) -> None:
        self.settings, self.tasks, self.selection = plan.settings, plan.tasks, plan.selection
        self.run, self.listener, self.sandbox = run, listener, sandbox
        self.files, self.state, self.unloadable = CaseFiles(sandbox.folder), RunState(), LoadFailures()
        self.versions: dict[str, set[str]] = {}
        for record in run.records():
            self.versions.setdefault(record.backend, set()).add(record.backend_version)

    def carry_out(self, waiting: Iterable[Group]) -> None:
        for (threads, _, _), team_groups in groupby(waiting, key=lambda g: (g.threads, g.dtype, g.seed)):
            pool = WorkerPool(self.sandbox, self.selection.specs(), threads, self.unloadable)
            with parent_cores(self.sandbox.cores, threads), pool:
                for group in team_groups:
                    self._measure(group, pool)

    def _measure(self, group: Group, pool: WorkerPool) -> None:
        start = time.monotonic()
        task = self.tasks[group.task]
        settings = training(task, self.settings)
        helpers = self.selection.helpers(with_control=group.cell == self.settings.cells[0])
        runs = GroupRun(
            group, task, settings, self.selection.infos, helpers, pool, self.files, self.listener, self.state
        ).run()
        records = rows.records(runs, group, task, settings, self.run, self.versions)
        self.run.append(group.key, records, rows.samples(runs))
        self.listener.finished(group, records, time.monotonic() - start)


def _refuse_another_machine(run: Run, resuming: bool) -> None:
    here, there = machine_id(cpu_model(), core_count()), run.machine.get("id", "")
    if resuming and here != there:
        raise UsageError(f"run {run.id} was begun on another machine ({there}; this is {here}); start a new one")
