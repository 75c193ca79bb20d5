"""What a run was asked to do, as it is stored with the run: enough to print its report again without plugins or files.

Schema history: 1, the first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from reprlib import repr as shortened
from types import MappingProxyType
from typing import Any

from rnnbench.comparison.plan import Settings, training
from rnnbench.errors import UsageError
from rnnbench.records.fields import Size, made
from rnnbench.tasks.forecast import ForecastTask
from rnnbench.tasks.spec import Training, Workload

SCHEMA = 1


@dataclass(frozen=True)
class TaskNote:
    """What a report says of a task, and how its models were trained.

    Of forecasts: inferred, what was found out about the table, each in a few words; series, how many there are; lead,
    how many test times ahead the last step of one is; season, the steps that MASE is scaled by.
    """

    title: str
    training: Training
    inferred: tuple[str, ...] = ()
    series: Size = 1
    lead: Size = 1
    season: Size | None = None

    @classmethod
    def of(cls, task: Workload, training: Training) -> "TaskNote":
        """Return what is to be stored of a task."""
        if not isinstance(task, ForecastTask):
            return cls(task.title, training)
        table, cut = task.table, task.cut
        lead = -(-cut.horizon // cut.step)
        return cls(task.title, training, task.inferred, len(table.series), lead, table.season or 1)


@dataclass(frozen=True)
class Description:
    """A run's settings, a note on each of its tasks, digests of what its rows come from, and what it leaves out in a
    sentence; older runs have none."""

    settings: Settings
    tasks: dict[str, TaskNote]
    sources: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, settings: Settings, tasks: Sequence[Workload], sources: Mapping[str, str] = MappingProxyType({})
    ) -> "Description":
        """Return what is to be stored of such a run."""
        return cls(settings, {task.id: TaskNote.of(task, training(task, settings)) for task in tasks}, dict(sources))

    def as_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Description":
        """Read a description. Raises UsageError where `stored` is not what this version writes."""
        content = dict(stored)
        schema = content.pop("schema", None)
        if isinstance(schema, int) and schema > SCHEMA:
            raise UsageError(f"this run has settings of schema {shortened(schema)}; update rnnbench to read it")
        try:
            return made(cls, content)
        except ValueError as error:
            raise UsageError(f"this run's settings cannot be read ({error}); was it written by rnnbench?") from None
