"""Comparisons that take a second: a tiny task, backends that wrap NumPy, and a listener that notes what it hears."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnbench import registry as plugins
from rnnbench.comparison import runner
from rnnbench.comparison.plan import Settings
from rnnbench.machine.environment import machine
from rnnbench.records.comparisons import noise
from rnnbench.records.record import Record
from rnnbench.records.statistics import Interval
from rnnbench.records.store import Run, Store
from rnnbench.registry import Registry
from rnnbench.tasks.spec import Task
from rnnbench.workers.worker import WorkerLimits

FAULTY = str(Path(__file__).parent / "plugins" / "faulty.py")
STAND_IN = str(Path(__file__).parent / "plugins" / "stand_in_numba.py")
NO_NUMBA = "no:backends.numba_cpu"
LIMITS = WorkerLimits(load_seconds=60.0, call_seconds=20.0)


@dataclass(frozen=True)
class Outcome:
    """What a run holds after a comparison, and whether that was interrupted."""

    records: tuple[Record, ...]
    noise: Interval | None
    interrupted: bool


class Quiet:
    """A listener that notes what it is told."""

    def __init__(self):
        self.plans, self.choices, self.stages, self.done, self.running = [], [], [], [], False

    def planned(self, total_groups, done, backends, notices):
        self.plans.append((total_groups, done, backends, notices))

    def chosen(self, total_groups, notices):
        self.choices.append((total_groups, notices))

    def stage(self, group, backend, what):
        self.stages.append((backend, what))

    def clock(self, running):
        assert running is not self.running
        self.running = running

    def finished(self, group, records, seconds):
        assert not self.running
        self.done.append(group.key)


def settings(**changes: Any) -> Settings:
    return Settings(**{"tasks": ("mean",), "cells": ("gru",), "seeds": 1, "no_baselines": True, **changes})


def load(monkeypatch: Any, *requests: str) -> Registry:
    """The registry with these plugins, until the test is over."""
    monkeypatch.setattr(plugins, "_current", plugins.registry())
    monkeypatch.setattr(plugins, "_requests", plugins.requests())
    return plugins.configure(requests)


def compare(
    chosen: Settings,
    registry: Registry,
    run: Run,
    listener: Any = None,
    extra_tasks: Sequence[Task] = (),
    limits: WorkerLimits = LIMITS,
) -> Outcome:
    """What `rnnbench.compare` does after it has read the options, into a run that is there already."""
    plan = runner.plan_comparison(chosen, registry, extra_tasks)
    done = runner.carry_out(plan, run, listener or Quiet(), limits)
    return Outcome(tuple(run.records()), noise(run.groups()), not done)


def carry_out(root: Path, chosen: Settings, limits: WorkerLimits = LIMITS, listener: Any = None) -> tuple[Outcome, Run]:
    run = Store(root).create({}, chosen.digest(), machine())
    return compare(chosen, plugins.registry(), run, listener, limits=limits), run
