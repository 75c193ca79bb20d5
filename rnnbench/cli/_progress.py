"""Where a run is: a live line on a terminal, plain lines elsewhere. Both on stderr, away from the results."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rnnbench.cli._console import console, note
from rnnbench.comparison.listener import Listener
from rnnbench.report.progress import Estimate, LineProgress, named, outcome, time_left
from rnnbench.report.text import printable

if TYPE_CHECKING:
    from rnnbench.comparison.plan import Group
    from rnnbench.records.record import Record

REFRESH_SECONDS = 0.25


class LiveProgress(Listener):
    """A bar with the time passed and the time left, drawn by a thread of its own.

    While a clock runs, `_turn` is held, so that nothing is drawn: the thread sleeps until the clock has stopped.
    """

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.table import Column

        self._estimate = Estimate()
        self._bar = Progress(
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, ratio=1)),
            expand=True,  # to one line: the description has what the others leave, and is cut
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

    def chosen(self, total_groups: int, notices: list[str]) -> None:
        self.planned(total_groups, self._estimate.done, [], notices)

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
        self._bar.update(self._task, completed=self._estimate.done, left=time_left(self._estimate))

    def told(self, line: str) -> None:
        self._bar.console.print(line, soft_wrap=True)


@contextmanager
def listening() -> Iterator[LineProgress | LiveProgress]:
    """Yield a listener that suits stderr."""
    if not console(stderr=True).is_terminal:
        yield LineProgress(note)
        return
    with LiveProgress() as live:
        yield live
