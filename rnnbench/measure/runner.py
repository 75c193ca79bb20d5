"""Carries out a comparison: plan in, records out.

Seeds are outermost: each has worker processes of its own, one a backend, and one more of `numba` as its A/A twin.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Protocol

from rnnbench.backends.base import BackendInfo
from rnnbench.errors import UsageError
from rnnbench.measure import rows
from rnnbench.measure.assignment import Desk
from rnnbench.measure.environment import check_threads, core_count, cpu_model, machine_id
from rnnbench.measure.group import TRAINER, GroupRun, Memory
from rnnbench.measure.lane import Lane
from rnnbench.measure.plan import Group, Settings, groups, training
from rnnbench.measure.process import Limits
from rnnbench.measure.team import Member, Team, Unloadable
from rnnbench.measure.workplace import Workplace, parent_cores, termination_as_interrupt
from rnnbench.plugins import Registry
from rnnbench.records.comparisons import TWIN, TWINNED, noise
from rnnbench.records.record import Record
from rnnbench.records.statistics import Ratio
from rnnbench.records.store import Run
from rnnbench.tasks.spec import Task


class Listener(Protocol):
    """Who is told how a run goes. Called in the thread of `compare`."""

    def planned(self, total_groups: int, done: int, backends: list[str], notices: list[str]) -> None:
        """Once, before any work. done: groups that an earlier run left finished. notices: lines for the user."""

    def stage(self, group: Group, backend: str, what: str) -> None:
        """what: "checking", "training" or "timing"."""

    def clock(self, running: bool) -> None:
        """The display must stay frozen from True to the next False: something is being timed."""

    def finished(self, group: Group, records: list[Record], seconds: float) -> None:
        """A group is done and stored; seconds: how long it took."""


@dataclass(frozen=True)
class Outcome:
    """records: all of the run's, those of an earlier, interrupted part too. noise: the machine's A/A noise, where it
    was measured. interrupted: stopped by the user; finished groups are stored."""

    records: tuple[Record, ...]
    noise: Ratio | None
    interrupted: bool


@dataclass(frozen=True)
class Cast:
    """Which backends get a row, whether the trainer has to help out, and whether the machine's noise is measured."""

    infos: tuple[BackendInfo, ...]
    trainer: BackendInfo | None
    notices: tuple[str, ...]
    twin: bool = True

    @property
    def ids(self) -> list[str]:
        return [info.id for info in self.infos]

    def members(self) -> list[Member]:
        """A process each: the installed ones, the trainer if it has no row, and the twin."""
        members = [Member(info.id, info) for info in self.infos if info.missing() is None]
        if self.trainer:
            members.append(Member(self.trainer.id, self.trainer))
        twinned = [member.info for member in members if member.name == TWINNED and TWINNED in self.ids]
        return [*members, *(Member(TWIN, info) for info in twinned if self.twin)]

    def helpers(self, with_twin: bool) -> list[Lane]:
        """Fresh lanes without a row of their own."""
        helpers = [Lane(self.trainer.id, self.trainer, listed=False)] if self.trainer else []
        twinned = [info for info in self.infos if info.id == TWINNED and info.missing() is None]
        return [*helpers, *(Lane(TWIN, info, listed=False) for info in twinned if with_twin and self.twin)]


def compare(
    settings: Settings,
    registry: Registry,
    run: Run,
    listener: Listener,
    extra_tasks: tuple[Task, ...] = (),
    limits: Limits | None = None,
    twin: bool = True,
) -> Outcome:
    """Measures every group of the plan that `run` does not hold yet, and stores each as it is finished.

    extra_tasks: tasks that no plugin offers (one made from a CSV file); they join the registry. limits: what a worker
    may take. twin: whether `numba`, where it is compared, is timed against itself too. Raises UnknownName, and
    UsageError for settings that cannot run or a folder that cannot be written. SIGINT and SIGTERM end it early, with
    an Outcome.
    """
    registry.tasks.update({task.id: task for task in extra_tasks})
    plan = list(dict.fromkeys(groups(settings, registry)))
    done = run.finished()
    waiting = [group for group in plan if group.key not in done]
    cast = replace(choose(settings, registry), twin=twin)
    _refuse_the_impossible(settings, run, resuming=bool(done))
    listener.planned(len(plan), len(plan) - len(waiting), cast.ids, list(cast.notices))
    interrupted = False
    try:
        with termination_as_interrupt(), Workplace(limits or Limits()) as place:
            Sweep(settings, registry, run, listener, cast, place).carry_out(waiting)
        run.finish()
    except KeyboardInterrupt:
        interrupted = True
    return Outcome(tuple(run.records()), noise(run.groups()), interrupted)


def choose(settings: Settings, registry: Registry) -> Cast:
    """The backends that were named, or every installed one. Raises UsageError where there is none."""
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
    learning = any(registry.tasks[name].params is None for name in settings.tasks if name in registry.tasks)
    needed = learning and any(not info.trains and info.missing() is None for info in infos)
    return Cast(tuple(infos), trainer if helps and needed else None, tuple(notices))


class Sweep:
    """All waiting groups, one team of workers after the other."""

    def __init__(
        self, settings: Settings, registry: Registry, run: Run, listener: Listener, cast: Cast, place: Workplace
    ) -> None:
        self.settings, self.registry, self.run = settings, registry, run
        self.listener, self.cast, self.place = listener, cast, place
        self.desk, self.memory, self.unloadable = Desk(place.folder), Memory(), Unloadable()
        self.versions: dict[str, set[str]] = {}
        for record in run.records():
            self.versions.setdefault(record.backend, set()).add(record.backend_version)

    def carry_out(self, waiting: Iterable[Group]) -> None:
        for (threads, _, _), team_groups in groupby(waiting, key=lambda g: (g.threads, g.dtype, g.seed)):
            team = Team(self.place, self.cast.members(), threads, self.unloadable)
            with parent_cores(self.place.cores, threads), team:
                for group in team_groups:
                    self._measure(group, team)

    def _measure(self, group: Group, team: Team) -> None:
        start = time.monotonic()
        task = self.registry.task(group.task)
        settings = training(task, self.settings)
        helpers = self.cast.helpers(with_twin=group.cell == self.settings.cells[0])
        lanes = GroupRun(
            group, task, settings, self.cast.infos, helpers, team, self.desk, self.listener, self.memory
        ).run()
        records = rows.records(lanes, group, task, settings, self.run, self.versions)
        self.run.append(group.key, records, rows.samples(lanes))
        self.listener.finished(group, records, time.monotonic() - start)


def _refuse_the_impossible(settings: Settings, run: Run, resuming: bool) -> None:
    check_threads(max(settings.threads))
    here, there = machine_id(cpu_model(), core_count()), run.machine.get("id", "")
    if resuming and here != there:
        raise UsageError(f"run {run.id} was begun on another machine ({there}; this is {here}); start a new one")
