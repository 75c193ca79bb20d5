"""What counts as learned: better, by the task's margin, than its own trivial answer and than every blind baseline."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from rnnbench.records.record import Record
from rnnbench.tasks.spec import Task


@dataclass
class Bar:
    """blind: ids of the baselines that do not look at a window's content, or merely repeat it. scores: theirs, by task,
    seed and fold."""

    blind: frozenset[str] = frozenset()
    scores: dict[tuple[str, int, int | None], list[float]] = field(default_factory=dict)

    def add(self, records: Iterable[Record]) -> None:
        """Take in what is stored."""
        for record in records:
            if record.is_baseline and record.cell in self.blind and record.score is not None and not record.failed:
                self.scores.setdefault((record.task, record.seed, record.fold), []).append(record.score)

    def passed(self, task: Task, score: float, seed: int, fold: int | None) -> bool:
        """Tell whether a score counts as learned."""
        sign = 1 if task.score_better == "higher" else -1
        blind = self.scores.get((task.id, seed, fold), ())
        return task.learned(score) and all(sign * (score - other) >= task.margin for other in blind)
