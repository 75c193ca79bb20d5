"""A comparison carried out: plan in, records out.

Seeds are outermost: each has worker processes of its own, one a backend, and one more of `numba` as its A/A control.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from rnnbench.backends.base import BackendInfo
from rnnbench.baselines.spec import Baseline
from rnnbench.comparison import rows
from rnnbench.comparison.baselines import Bar, BaselineGroup
from rnnbench.comparison.case_inputs import CaseFiles
from rnnbench.comparison.case_work import PluginProcesses
from rnnbench.comparison.description import Description
from rnnbench.comparison.group import TRAINER, GroupRun, RunState
from rnnbench.comparison.listener import Listener
from rnnbench.comparison.plan import Group, Settings, groups, training
from rnnbench.comparison.sources import digests
from rnnbench.errors import UsageError
from rnnbench.machine.environment import check_threads, core_count, cpu_model, machine_id
from rnnbench.records.comparisons import CONTROL, CONTROLLED
from rnnbench.records.record import Record
from rnnbench.records.store import Run
from rnnbench.registry import Registry
from rnnbench.tasks.spec import Task, Workload
from rnnbench.workers.failure import Failure
from rnnbench.workers.pool import WorkerPool, WorkerSpec
from rnnbench.workers.sandbox import Sandbox, parent_cores, termination_as_interrupt
from rnnbench.workers.worker import WorkerLimits


@dataclass(frozen=True)
class Selection:
    """Which backends get a row, whether the trainer has to help out, and whether the machine's noise is measured.
    plugins: those that a backend's process imports, by its id; all where it has none here."""

    infos: tuple[BackendInfo, ...]
    trainer: BackendInfo | None
    notices: tuple[str, ...]
    control: bool = True
    plugins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def listed(self) -> list[WorkerSpec]:
        """Return a process for each backend that is installed."""
        return [self._spec(info.id, info) for info in self.infos if info.missing() is None]

    def helpers(self) -> list[WorkerSpec]:
        """Return the processes that have no row: of the trainer that nobody asked for, and of the control."""
        controlled = [spec.info for spec in self.listed() if spec.name == CONTROLLED and self.control]
        trainer = [self._spec(self.trainer.id, self.trainer)] if self.trainer else []
        return [*trainer, *(self._spec(CONTROL, info) for info in controlled)]

    def _spec(self, name: str, info: BackendInfo) -> WorkerSpec:
        return WorkerSpec(name, info, self.plugins.get(info.id))


@dataclass(frozen=True)
class ComparisonPlan:
    """All that is settled before a run is begun: names are checked, backends chosen, settings unfolded."""

    settings: Settings
    tasks: dict[str, Workload]
    groups: tuple[Group, ...]
    selection: Selection
    description: Description
    baselines: Mapping[str, Baseline] = field(default_factory=dict)


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
    selection = choose(settings, workloads, registry)
    owned = [info.id for info in selection.infos if ("backends", info.id) in registry.owners]
    plugins = {name: registry.needed(backends=[name], cells=settings.cells) for name in owned}
    selection = replace(selection, control=control, plugins=plugins)
    unfolded = tuple(dict.fromkeys(groups(settings, workloads, registry)))
    sources = digests(registry, settings, [info.id for info in selection.infos])
    description = Description.of(settings, workloads, sources)
    return ComparisonPlan(settings, tasks, unfolded, selection, description, registry.baselines)


def carry_out(
    plan: ComparisonPlan, run: Run, listener: Listener, limits: WorkerLimits | None = None, notices: Sequence[str] = ()
) -> bool:
    """Measure every group of the plan that `run` does not hold yet, and store each when it is done; return False where
    SIGINT or SIGTERM ended it early.

    limits: what a worker may take. Raises UsageError for a folder that cannot be written, or a run that was begun on
    another machine.
    """
    done = run.finished()
    waiting = [group for group in plan.groups if group.key not in done]
    _refuse_another_machine(run, resuming=bool(done))
    count, selection = len(plan.groups), plan.selection
    listener.planned(count, count - len(waiting), [info.id for info in selection.infos], [*notices, *selection.notices])
    try:
        with termination_as_interrupt(), Sandbox(limits or WorkerLimits()) as sandbox:
            Comparison(plan, run, listener, sandbox).carry_out(waiting)
        run.finish()
    except KeyboardInterrupt:
        return False
    return True


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
        self.processes, self.state = PluginProcesses(sandbox), RunState()
        self.files, self.baselines = CaseFiles(sandbox.folder, self.processes), plan.baselines
        self.bar = Bar(frozenset(name for name, baseline in plan.baselines.items() if baseline.blind))
        self.bar.add(run.records())
        self.refused: dict[str, Failure] = {}
        self.late: Counter[str] = Counter()
        self.versions: dict[str, set[str]] = {}
        for record in run.records():
            self.versions.setdefault(record.backend, set()).add(record.backend_version)

    def carry_out(self, waiting: Iterable[Group]) -> None:
        waiting = list(waiting)
        for group in waiting:
            if group.of_baselines:
                self._measure_baselines(group)
        waiting = [group for group in waiting if not group.of_baselines]
        for (threads, _, _), team_groups in groupby(waiting, key=lambda g: (g.threads, g.dtype, g.seed)):
            specs = [*self.selection.listed(), *self.selection.helpers()]
            pool = WorkerPool(self.sandbox, specs, threads, self.refused, self.late)
            with parent_cores(self.sandbox.cores, threads), pool:
                for group in team_groups:
                    self._measure(group, pool)

    def _measure(self, group: Group, pool: WorkerPool) -> None:
        start = time.monotonic()
        task = self.tasks[group.task]
        settings = training(task, self.settings)
        with_control = group.cell == self.settings.cells[0]
        helpers = [spec for spec in self.selection.helpers() if with_control or spec.name != CONTROL]
        known = self.bar.over(task, group.seed) if isinstance(task, Task) else task
        runs = GroupRun(
            group, known, settings, self.selection.infos, helpers, pool, self.files, self.listener, self.state
        ).run()
        records = rows.records(runs, group, task, settings, self.run, self.versions)
        self.run.append(group.key, records, rows.samples(runs))
        self.listener.finished(group, records, time.monotonic() - start)

    def _measure_baselines(self, group: Group) -> None:
        start = time.monotonic()
        task = self.tasks[group.task]
        assert isinstance(task, Task)
        settings = training(task, self.settings)
        found = BaselineGroup(group, task, settings, self.files, self.processes, self.listener).run(self.baselines)
        records = rows.baseline_records(
            found, {run.name: run.parameters for run in found}, group, task, settings, self.run
        )
        self.bar.add(records)
        against = self.bar.over(task, group.seed)
        records = [self._judged(record, against) for record in records]
        self.run.append(group.key, records, rows.samples(found))
        self.listener.finished(group, records, time.monotonic() - start)

    def _judged(self, record: Record, against: Task) -> Record:
        """Return a baseline's record with whether it learned; of one that is a part of the bar that is not said."""
        if record.score is None or record.failed:
            return record
        return replace(record, learned=record.cell not in self.bar.blind and against.learned(record.score))


def _refuse_another_machine(run: Run, resuming: bool) -> None:
    here, there = machine_id(cpu_model(), core_count()), run.machine.get("id", "")
    if resuming and here != there:
        raise UsageError(f"run {run.id} was begun on another machine ({there}; this is {here}); start a new one")
