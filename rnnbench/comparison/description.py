"""What a run was asked to do, as it is stored with the run: enough to print its report again without plugins or files.

Schema history: 1, the first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rnnbench.comparison.plan import Settings, training
from rnnbench.errors import UsageError
from rnnbench.tasks.spec import Training, Workload
from rnnbench.training import Adam

SCHEMA = 1


@dataclass(frozen=True)
class TaskNote:
    """What a report says of a task, and how its models were trained."""

    title: str
    training: Training

    @classmethod
    def from_json(cls, note: Mapping[str, Any]) -> "TaskNote":
        values = note["training"]
        return cls(str(note["title"]), Training(**{**values, "optimiser": Adam(**values["optimiser"])}))


@dataclass(frozen=True)
class Description:
    """A run's settings, and a note on each of its tasks."""

    settings: Settings
    tasks: dict[str, TaskNote]

    @classmethod
    def of(cls, settings: Settings, tasks: Sequence[Workload]) -> "Description":
        """Return what is to be stored of such a run."""
        return cls(settings, {task.id: TaskNote(task.title, training(task, settings)) for task in tasks})

    def as_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Description":
        """Read a description. Raises UsageError where `stored` is not what this version writes."""
        try:
            if stored["schema"] > SCHEMA:
                raise UsageError(f"this run has settings of schema {stored['schema']}; update rnnbench to read it")
            settings: dict[str, Any] = {
                key: tuple(v) if isinstance(v, list) else v for key, v in stored["settings"].items()
            }
            return cls(Settings(**settings), {id: TaskNote.from_json(note) for id, note in stored["tasks"].items()})
        except (KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"this run's settings cannot be read ({error}); was it written by rnnbench?") from None
