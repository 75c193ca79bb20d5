"""In which stages a comparison is carried out: what one backend has scored first decides what all backends run.

A choice follows from the groups that are stored and from nothing else, so that a resumed run chooses as it would have;
and no score on the test part has a say in it where there are folds or a validation part.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from statistics import fmean

from rnnbench.comparison.plan import Group, Settings
from rnnbench.records.record import Record
from rnnbench.records.store import SCORED, StoredGroup
from rnnbench.tasks.spec import Task, Workload

KEPT = 3  # variants that all backends run: more are scored on one backend first
Shape = tuple[str, int, int]  # cell, hidden size, layers: what is chosen; dtype and threads are compared, not chosen


@dataclass(frozen=True)
class ComparisonStage:
    """groups: those of the stage, from what is stored of the stages before it. count: how many there will be, where all
    goes well. told: a line for the user on each choice, by what is stored too."""

    count: int
    groups: Callable[[Sequence[StoredGroup]], tuple[Group, ...]]
    told: Callable[[Sequence[StoredGroup]], list[str]]


@dataclass(frozen=True)
class Choice:
    """Which variants of which tasks are run on all backends. groups: all there are, of all tasks. tasks: those that are
    chosen of, by id. scout: the backend whose scores decide. kept: how many variants of a task are run. baselines: the
    groups of methods without recurrence: these are not chosen, and are run on folds and on the test part."""

    settings: Settings
    groups: tuple[Group, ...]
    tasks: Mapping[str, Task]
    scout: str
    baselines: tuple[Group, ...] = ()

    @property
    def kept(self) -> int:
        return KEPT if self.settings.folds is None else 1

    def scored(self) -> tuple[Group, ...]:
        """Return the groups of the first stage, the folds of a task one after the other. A score is much the same with
        other dtypes and threads: the first ones stand for all."""
        folds = (None,) if self.settings.folds is None else tuple(range(1, self.settings.folds + 1))
        order = list(self.tasks)
        first = [
            replace(group, fold=fold, timed=False)
            for group in self.groups
            if group.task in self.tasks
            and (group.dtype, group.threads) == (self.settings.dtypes[0], self.settings.threads[0])
            for fold in folds
        ]
        return tuple(sorted(first, key=lambda group: (group.seed, order.index(group.task), group.fold or 0)))

    def rivals(self) -> tuple[Group, ...]:
        """Return the groups of baselines that the first stage takes along: of what is chosen of, on each fold."""
        own = [group for group in self.baselines if group.task in self.tasks]
        if self.settings.folds is None:
            return tuple(own)
        return tuple(replace(group, fold=fold + 1) for group in own for fold in range(self.settings.folds))

    def run(self, stored: Sequence[StoredGroup]) -> tuple[Group, ...]:
        """Return the groups of the second stage: of the tasks that were not chosen of, all."""
        chosen = {task: self.chosen(task, stored) for task in self.tasks}
        rivals = [group for group in self._later() if chosen.get(group.task, True)]
        return (*rivals, *(g for g in self.groups if g.task not in chosen or _shape(g) in chosen[g.task]))

    def _later(self) -> list[Group]:
        """Return the groups of baselines that the first stage does not take along."""
        taken = set(self.rivals())
        return [group for group in self.baselines if group not in taken]

    def chosen(self, task: str, stored: Sequence[StoredGroup]) -> list[Shape]:
        """Return the best variants of a task, best first, by their mean score over seeds and folds. One that did not
        come through everywhere is behind all others, and never the answer to folds."""
        scores: dict[Shape, list[float | None]] = {_shape(g): [] for g in self.scored() if g.task == task}
        for group in stored:
            for record in group.records if group.key.endswith(SCORED) else ():
                if (record.task, record.backend) == (task, self.scout) and _shape(record) in scores:
                    scores[_shape(record)].append(deciding(group, record))
        known = {shape: [score for score in own if score is not None] for shape, own in scores.items()}
        means = {shape: fmean(own) for shape, own in known.items() if own and len(own) == len(scores[shape])}
        ranked = sorted(means, key=means.__getitem__, reverse=self.tasks[task].score_better == "higher")
        others = [] if self.settings.folds else [shape for shape in scores if shape not in means]
        return [*ranked, *others][: self.kept]

    def count(self) -> int:
        """Return how many groups the second stage will have, where all goes well."""
        shapes = {task: len({_shape(g) for g in self.groups if g.task == task}) for task in self.tasks}
        own = {task: sum(g.task == task for g in self.groups) for task in self.tasks}
        left_out = sum(own[task] // shapes[task] * max(0, shapes[task] - self.kept) for task in self.tasks)
        return len(self.groups) - left_out + len(self._later())

    def announced(self) -> tuple[str, ...]:
        """Return in a sentence what is scored, and what will be left out; nothing where nothing is."""
        if not self.tasks:
            return ()
        names, folds = ", ".join(self.tasks), self.settings.folds
        if folds is not None:
            where = (
                f"on {folds} fold{'s' if folds > 1 else ''} inside the training part, by {self.scout} alone, untimed"
            )
            return (f"{names}: every cell and size is scored {where}; only the best is then tested, on all backends",)
        what = f"every cell and size is scored by {self.scout} alone, untimed; all backends then run the best {KEPT}"
        return (f"{names}: {what} (--all-backends runs all)",)

    def told(self, stored: Sequence[StoredGroup]) -> list[str]:
        """Return a line per task about what was chosen."""
        return [self._told(task, stored) for task in self.tasks]

    def _told(self, task: str, stored: Sequence[StoredGroup]) -> str:
        chosen, count = self.chosen(task, stored), len({_shape(g) for g in self.groups if g.task == task})
        if not chosen:
            return f"{task}: nothing came through all of its folds; its test part is not looked at"
        names = ", ".join(
            f"{cell} h{hidden}{f' {layers} layers' if layers > 1 else ''}" for cell, hidden, layers in chosen
        )
        left = f"; {count - len(chosen)} of {count} not" if count > len(chosen) else ""
        return f"{task}: {names} {'is tested' if self.settings.folds else 'are run on all backends'}{left}"


def stages(choice: Choice) -> tuple[ComparisonStage, ...]:
    """Return one stage where nothing is chosen, else two: scoring, and what all backends run."""
    last = ComparisonStage(choice.count(), choice.run, choice.told)
    if not choice.tasks:
        return (last,)
    first = (*choice.rivals(), *choice.scored())
    return ComparisonStage(len(first), lambda stored: first, lambda stored: []), last


def choosable(settings: Settings, tasks: Sequence[Workload], groups: Sequence[Group], own: Set[str]) -> dict[str, Task]:
    """Return the tasks that are chosen of: with folds all of them, else those of `own` that have many variants. own:
    the ids of users' own tables, where several backends are compared."""
    if settings.folds is not None:
        return {task.id: task for task in tasks if isinstance(task, Task)}
    many = [task for task in tasks if len({_shape(g) for g in groups if g.task == task.id}) > KEPT]
    chosen_of = set() if settings.all_backends else own
    return {task.id: task for task in many if task.id in chosen_of and isinstance(task, Task)}


def _shape(of: Group | Record) -> Shape:
    return of.cell, of.hidden_size, of.layers


def deciding(group: StoredGroup, record: Record) -> float | None:
    """Return the score that a choice is made by: on a fold its own, else that of the weights kept, on the validation
    part where there is one. None where it did not come through."""
    if record.status != "ok":
        return None
    for samples in group.samples.values():  # of the one that trained, whose weights the others have
        if record.fold is None and (kept := samples.get("kept_steps")) is not None:
            return next((float(score) for steps, score in samples["scores"] if steps == kept), None)
    return record.score
