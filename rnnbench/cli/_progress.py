"""Where a run is: a live line on a terminal, plain lines elsewhere. Both on stderr, away from the results."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rnnbench.cli._console import console, note
from rnnbench.report.text import duration, joined, printable, rounded

if TYPE_CHECKING:
    from rnnbench.comparison.plan import Group
    from rnnbench.records.record import Record

REFRESH_SECONDS = 0.25


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


def named(group: "Group") -> str:
    """Name a group in a few words."""
    return f"{group.task} {group.cell} h{group.hidden_size} seed {group.seed}"


def outcome(records: "Sequence[Record]") -> str:
    """State how a group ended: all ok, or which backends did not come through."""
    bad = [f"{record.backend} {record.status}" for record in records if record.status != "ok"]
    return "; ".join(bad) or "ok"


class PlainProgress:
    """One line per finished group."""

    def __init__(self) -> None:
        self._estimate = Estimate()

    def planned(self, total_groups: int, done: int, backends: list[str], notices: list[str]) -> None:
        self._estimate.plan(total_groups, done)
        for notice in notices:
            note(f"note: {notice}")
        kept = f", {done} of them already stored" if done else ""
        note(f"{total_groups} groups{kept}, each on {joined(backends)}")

    def stage(self, group: "Group", backend: str, what: str) -> None:
        """Do nothing: a log wants results, not every step."""

    def clock(self, running: bool) -> None:
        """Do nothing: no display to freeze."""

    def finished(self, group: "Group", records: "list[Record]", seconds: float) -> None:
        self._estimate.add(seconds)
        position = f"[{self._estimate.done}/{self._estimate.total}]"
        note(f"{position} {named(group)}: {outcome(records)}, {duration(seconds)}; {_left(self._estimate)}")


class LiveProgress:
    """A bar with the time passed and the time left, drawn by a thread of its own.

    While a clock runs, `_turn` is held, so that nothing is drawn: the thread sleeps until the clock has stopped.
    """

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._estimate = Estimate()
        self._bar = Progress(
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            TextColumn("{task.description}", markup=False),
            console=console(stderr=True),
            auto_refresh=False,
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=None, left="")
        self._turn = threading.Lock()
        self._frozen = False
        self._over = threading.Event()
        self._drawer = threading.Thread(target=self._draw, daemon=True)

    def __enter__(self) -> "LiveProgress":
        self._bar.start()
        self._drawer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.clock(False)
        self._over.set()
        self._drawer.join()
        self._bar.stop()

    def _draw(self) -> None:
        while not self._over.wait(REFRESH_SECONDS):
            with self._turn:
                self._bar.refresh()

    def planned(self, total_groups: int, done: int, backends: list[str], notices: list[str]) -> None:
        self._estimate.plan(total_groups, done)
        for notice in notices:
            self._bar.console.print(f"note: {notice}", style="dim")
        self._bar.update(self._task, total=total_groups, completed=done)

    def stage(self, group: "Group", backend: str, what: str) -> None:
        self._bar.update(self._task, description=f"{named(group)}: {backend} {what}")

    def clock(self, running: bool) -> None:
        if running != self._frozen:
            self._frozen = running
            self._turn.acquire() if running else self._turn.release()

    def finished(self, group: "Group", records: "list[Record]", seconds: float) -> None:
        self._estimate.add(seconds)
        if any(record.failed for record in records):
            self._bar.console.print(printable(f"{named(group)}: {outcome(records)}"), style="red")
        self._bar.update(self._task, completed=self._estimate.done, left=_left(self._estimate))


def _left(estimate: Estimate) -> str:
    left = estimate.left()
    return f"about {rounded(left)} left" if left else "done"


@contextmanager
def listening() -> Iterator[PlainProgress | LiveProgress]:
    """Yield a listener that suits stderr."""
    if not console(stderr=True).is_terminal:
        yield PlainProgress()
        return
    with LiveProgress() as live:
        yield live
