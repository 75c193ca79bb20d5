"""How far a comparison is, in words: one line a group, with the time left."""

from collections.abc import Callable, Sequence

from rnnbench.comparison.listener import Listener
from rnnbench.comparison.plan import Group
from rnnbench.records.record import Record
from rnnbench.report.text import duration, joined, rounded


class Estimate:
    """Time left, from what finished groups took."""

    def __init__(self) -> None:
        self.total = 0
        self.done = 0
        self._seconds: list[float] = []

    def plan(self, total: int, done: int) -> None:
        self.total, self.done = total, done

    def add(self, seconds: float) -> None:
        self.done += 1
        self._seconds.append(seconds)

    def left(self) -> float | None:
        """Return seconds, or None before a group has finished."""
        if not self._seconds:
            return None
        return sum(self._seconds) / len(self._seconds) * (self.total - self.done)


def named(group: Group) -> str:
    """Return a group in a few words."""
    fold = "" if group.fold is None else f" fold {group.fold}"
    if group.of_baselines:
        return f"{group.task} {group.cell} seed {group.seed}{fold}"
    return f"{group.task} {group.cell} h{group.hidden_size} seed {group.seed}{fold}"


def outcome(records: Sequence[Record]) -> str:
    """Return how a group ended: all ok, or which backends or baselines did not come through."""
    bad = [f"{r.cell if r.is_baseline else r.backend} {r.status}" for r in records if r.status != "ok"]
    return "; ".join(bad) or "ok"


class LineProgress(Listener):
    """Tells of each finished group in one line: a log wants results, not every step.

    write: takes a line without its end, as `print` does.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write, self._estimate = write, Estimate()

    def planned(self, total_groups: int, done: int, backends: list[str], notices: list[str]) -> None:
        self._estimate.plan(total_groups, done)
        for notice in notices:
            self._write(f"note: {notice}")
        kept = f", {done} of them already stored" if done else ""
        self._write(f"{total_groups} groups{kept}, each on {joined(backends)}")

    def chosen(self, total_groups: int, notices: list[str]) -> None:
        self._estimate.plan(total_groups, self._estimate.done)
        for notice in notices:
            self._write(f"note: {notice}")

    def finished(self, group: Group, records: list[Record], seconds: float) -> None:
        self._estimate.add(seconds)
        position = f"[{self._estimate.done}/{self._estimate.total}]"
        self._write(f"{position} {named(group)}: {outcome(records)}, {duration(seconds)}; {time_left(self._estimate)}")

    def told(self, line: str) -> None:
        self._write(line)


def time_left(estimate: Estimate) -> str:
    """Return how long it will take yet, in words."""
    left = estimate.left()
    return f"about {rounded(left)} left" if left else "done"
