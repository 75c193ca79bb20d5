"""Who is told how a comparison goes."""

from rnnbench.comparison.plan import Group
from rnnbench.records.record import Record


class Listener:
    """Hears how a run goes, in the thread that runs it, and does nothing about it: what does is made of this."""

    def planned(self, total_groups: int, done: int, backends: list[str], notices: list[str]) -> None:
        """Hear the plan, once, before any work. done: groups that an earlier run left finished. notices: lines for the
        user."""

    def chosen(self, total_groups: int, notices: list[str]) -> None:
        """Hear what was chosen of what was scored, before that is run; the total may be another than planned."""

    def stage(self, group: Group, backend: str, what: str) -> None:
        """Hear what a backend is at: "checking", "training" or "timing"."""

    def clock(self, running: bool) -> None:
        """Freeze the display from True to the next False: something is being timed."""

    def finished(self, group: Group, records: list[Record], seconds: float) -> None:
        """Hear that a group is done and stored; seconds: how long it took."""

    def told(self, line: str) -> None:
        """Hear of what is done with the results, after all groups."""
