"""A comparison carried out: plan in, records out.

Seeds are outermost: each has worker processes of its own, one a backend, and one more of `numba` as its A/A control.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import groupby, product

from rnnbench.backends.base import BackendInfo
from rnnbench.baselines.spec import Baseline
from rnnbench.comparison import rows
from rnnbench.comparison.baselines import Bar, BaselineGroup
from rnnbench.comparison.case_inputs import CaseFiles
from rnnbench.comparison.case_work import PluginProcesses
from rnnbench.comparison.description import Description
from rnnbench.comparison.folds import folded
from rnnbench.comparison.group import TRAINER, GroupRun, RunState
from rnnbench.comparison.listener import Listener
from rnnbench.comparison.plan import Group, Settings, groups, training
from rnnbench.comparison.sources import digests
from rnnbench.comparison.stages import Choice, ComparisonStage, choosable, stages
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

    def scout(self) -> "Selection | None":
        """Return the one backend whose scores decide what all of them run: the trainer, else the first that trains, or
        one that the trainer helps out; None where nothing trains."""
        there = [info for info in self.infos if info.missing() is None]
        for info in sorted(there, key=lambda info: (info.id != TRAINER, not info.trains)):
            if info.trains or self.trainer:
                return replace(self, infos=(info,), trainer=None if info.trains else self.trainer, control=False)
        return None

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
    """All that is settled before a run is begun: names are checked, backends chosen, settings unfolded.

    tasks: by id and fold. scout: the backend of groups that are only scored, where there are some.
    """

    settings: Settings
    tasks: dict[tuple[str, int | None], Workload]
    choice: Choice
    selection: Selection
    scout: Selection
    description: Description
    baselines: Mapping[str, Baseline] = field(default_factory=dict)

    @property
    def stages(self) -> tuple[ComparisonStage, ...]:
        """Return what is carried out, one after the other."""
        return stages(self.choice)


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
    scout = selection.scout()
    folds: dict[tuple[str, int | None], Workload] = {(name, None): task for name, task in tasks.items()}
    if settings.folds is not None:
        if scout is None:
            raise UsageError(f"--folds needs a backend that trains; give --backend {TRAINER} too")
        for number, (name, task) in product(range(1, settings.folds + 1), tasks.items()):
            folds[name, number] = folded(task, number, settings.folds)
    several = scout is not None and len(selection.infos) > 1
    rivals = tuple(group for group in unfolded if group.of_baselines)
    cells = tuple(group for group in unfolded if not group.of_baselines)
    staged = choosable(settings, workloads, cells, set(extra) if several else set())
    scout = scout or selection
    choice = Choice(settings, cells, staged, scout.infos[0].id, rivals)
    description = replace(Description.of(settings, workloads, sources), left_out=choice.announced())
    return ComparisonPlan(settings, folds, choice, selection, scout, description, registry.baselines)


def carry_out(
    plan: ComparisonPlan, run: Run, listener: Listener, limits: WorkerLimits | None = None, notices: Sequence[str] = ()
) -> bool:
    """Measure every group of the plan that `run` does not hold yet, and store each when it is done; return False where
    SIGINT or SIGTERM ended it early.

    limits: what a worker may take. Raises UsageError for a folder that cannot be written, or a run that was begun on
    another machine.
    """
    _refuse_another_machine(run, resuming=bool(run.finished()))
    selection = plan.selection
    told = [*notices, *selection.notices, *plan.description.left_out]
    listener.planned(*_progress(plan, run), [info.id for info in selection.infos], told)
    try:
        with termination_as_interrupt(), Sandbox(limits or WorkerLimits()) as sandbox:
            Comparison(plan, run, listener, sandbox).carry_out()
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
    """All groups that a run lacks, stage by stage, one pool of workers after the other."""

    def __init__(self, plan: ComparisonPlan, run: Run, listener: Listener, sandbox: Sandbox) -> None:
        self.plan, self.settings, self.tasks = plan, plan.settings, plan.tasks
        self.run, self.listener, self.sandbox = run, listener, sandbox
        self.processes, self.state = PluginProcesses(sandbox), RunState()
        ours = [each for name, each in plan.baselines.items() if not self.processes.serves("baselines", name)]
        blind = [] if plan.settings.no_baselines else [baseline for baseline in ours if baseline.blind]
        self.files = CaseFiles(sandbox.folder, self.processes, plan.settings.folds, blind)
        self.bar = Bar(frozenset(name for name, baseline in plan.baselines.items() if baseline.blind))
        self.bar.add(run.records())
        self.refused: dict[str, Failure] = {}
        self.late: Counter[str] = Counter()
        self.versions: dict[str, set[str]] = {}
        for record in run.records():
            self.versions.setdefault(record.backend, set()).add(record.backend_version)

    def carry_out(self) -> None:
        for number, stage in enumerate(self.plan.stages):
            stored, done = self.run.groups(scored=True), self.run.finished()
            if number:
                self.listener.chosen(_progress(self.plan, self.run)[0], stage.told(stored))
            groups = stage.groups(stored)
            waiting = [group for group in groups if group.key not in done]
            for group in waiting:
                if group.of_baselines:
                    self._measure_baselines(group)
            self._carry_out({group.cell for group in groups}, [group for group in waiting if not group.of_baselines])

    def _carry_out(self, cells: Set[str], waiting: Sequence[Group]) -> None:
        """Measure groups of cells. The control accompanies the first of the stage's cells."""
        controlled = next((cell for cell in self.settings.cells if cell in cells), "")
        for (threads, _, _), team_groups in groupby(waiting, key=lambda g: (g.threads, g.dtype, g.seed)):
            selection = self._selection(waiting[0])
            specs = [*selection.listed(), *selection.helpers()]
            pool = WorkerPool(self.sandbox, specs, threads, self.refused, self.late)
            with parent_cores(self.sandbox.cores, threads), pool:
                for group in team_groups:
                    self._measure(group, pool, with_control=group.cell == controlled)

    def _selection(self, group: Group) -> Selection:
        return self.plan.selection if group.timed else self.plan.scout

    def _measure(self, group: Group, pool: WorkerPool, with_control: bool) -> None:
        start = time.monotonic()
        task, selection = self.tasks[group.task, group.fold], self._selection(group)
        settings = training(task, self.settings)
        helpers = [spec for spec in selection.helpers() if with_control or spec.name != CONTROL]
        bar = self.bar.over(task, group.seed, group.fold) if isinstance(task, Task) else None
        runs = GroupRun(
            group, task, settings, selection.infos, helpers, pool, self.files, self.listener, self.state, bar
        ).run()
        records = rows.records(runs, group, task, settings, self.run, self.versions)
        self.run.append(group.key, records, rows.samples(runs))
        self.listener.finished(group, records, time.monotonic() - start)

    def _measure_baselines(self, group: Group) -> None:
        start = time.monotonic()
        task = self.tasks[group.task, group.fold]
        assert isinstance(task, Task)
        settings = training(task, self.settings)
        found = BaselineGroup(group, task, settings, self.files, self.processes, self.listener).run(self.plan.baselines)
        parameters = {run.name: run.parameters for run in found}
        records = rows.baseline_records(found, parameters, group, task, settings, self.run)
        self.bar.add(records)
        records = [self._judged(record, task) for record in records]
        self.run.append(group.key, records, rows.samples(found))
        self.listener.finished(group, records, time.monotonic() - start)

    def _judged(self, record: Record, task: Task) -> Record:
        """Return a baseline's record with whether it learned; of one that is a part of the bar that is not said."""
        if record.score is None or record.failed:
            return record
        bar = self.bar.over(task, record.seed, record.fold)
        return replace(record, learned=record.cell not in self.bar.blind and task.learned(record.score, bar))


def _progress(plan: ComparisonPlan, run: Run) -> tuple[int, int]:
    """Return how many groups a run will have, as far as that is known, and how many of them it holds."""
    stored, finished = run.groups(scored=True), run.finished()
    total, done = 0, 0
    for stage in plan.stages:
        known = stage.groups(stored) if done == total else None
        total += stage.count if known is None else len(known)
        done += sum(group.key in finished for group in known or ())
    return total, done


def _refuse_another_machine(run: Run, resuming: bool) -> None:
    here, there = machine_id(cpu_model(), core_count()), run.machine.get("id", "")
    if resuming and here != there:
        raise UsageError(f"run {run.id} was begun on another machine ({there}; this is {here}); start a new one")
