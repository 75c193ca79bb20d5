"""The folds of a task: what a rolling origin makes of it, inside its training part."""

from typing import Protocol, runtime_checkable

from rnnbench.errors import UsageError
from rnnbench.tasks.spec import Task, Workload


@runtime_checkable
class Foldable(Protocol):
    """A task whose data lie in time. A fold has the task's own id, and looks at its training part alone."""

    def fold(self, number: int, count: int) -> Task:
        """Return the task of one of `count` folds, 1 the first. Raises UsageError."""
        ...


def folded(task: Workload, number: int, count: int) -> Task:
    """Return a fold of a task. Raises UsageError for a task without folds."""
    if not isinstance(task, Foldable):
        raise UsageError(f"--folds takes tasks that forecast a series, and {task.id!r} is none; leave it out of --task")
    return task.fold(number, count)
