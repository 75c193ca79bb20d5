"""Carries out a comparison: plan in, records out."""

from dataclasses import dataclass
from typing import Protocol

from rnnbench.measure.plan import Group, Settings
from rnnbench.plugins import Registry
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


def compare(
    settings: Settings, registry: Registry, run: Run, listener: Listener, extra_tasks: tuple[Task, ...] = ()
) -> Outcome:
    """Measures every group of the plan that `run` does not hold yet, and stores each as it is finished.

    extra_tasks: tasks that no plugin offers (one made from a CSV file); they join the registry. Raises UnknownName,
    and UsageError for settings that cannot run or a folder that cannot be written. SIGINT and SIGTERM end it early,
    with an Outcome.
    """
    raise NotImplementedError
