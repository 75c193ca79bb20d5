"""Readings of figures at commits, wherever they were kept; series of them in the order of commits, and the steps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rnnbench.errors import UsageError
from rnnbench.records.statistics import SMALLEST_EFFECT
from rnnbench.tracking.commits import Commit

Labels = tuple[tuple[str, str], ...]  # what the row is: ("cell", "lstm"), ("backend", "numba") and so on
EXACT = ("parameters", "parameters_two_bias")  # figures whose every change has one


@dataclass(frozen=True)
class Reading:
    """value: finite, or None for a gap. environment: of asv; results of different ones are kept apart, as those of
    different machines are. seconds: since 1970, of the commit. dirty: measured with changes that no commit has."""

    machine: str
    environment: str
    figure: str
    labels: Labels
    commit: str
    seconds: int
    value: float | None
    dirty: bool = False


@dataclass(frozen=True)
class Readings:
    """What could be read, and a line for each file that was skipped."""

    readings: tuple[Reading, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class FigureSeries:
    """points: oldest first, each of another commit or of its dirty tree; a gap has the value None."""

    machine: str
    environment: str
    figure: str
    labels: Labels
    points: tuple[Reading, ...]

    def label(self, name: str) -> str:
        return dict(self.labels).get(name, "")

    @property
    def column(self) -> str:
        """Return the backend, or the figure where no backend has a part in it."""
        return self.label("backend") or self.figure

    @property
    def values(self) -> list[float | None]:
        return [point.value for point in self.points]


@dataclass(frozen=True)
class Step:
    """A lasting change. at: the index of its first point. before, after: the level on either side."""

    at: int
    before: float
    after: float

    @property
    def share(self) -> float:
        """Return 0.2 for a rise by a fifth; from zero, every rise is infinite."""
        return self.after / self.before - 1 if self.before else float("inf")


def in_order(readings: Iterable[Reading], commits: Sequence[Commit]) -> list[FigureSeries]:
    """Return one series for each figure and row of a machine and environment. Commits stand as they do in `commits`;
    others come by their date among them, as they may be of another branch."""
    place = {commit.hash: number for number, commit in enumerate(commits)}
    dates = [commit.seconds for commit in commits]
    found: dict[tuple[str, str, str, Labels], list[Reading]] = {}
    for reading in readings:
        key = (reading.machine, reading.environment, reading.figure, reading.labels)
        found.setdefault(key, []).append(reading)

    def rank(reading: Reading) -> tuple[float, int, str, bool]:
        if reading.commit in place:
            return place[reading.commit], 0, "", reading.dirty
        return sum(date <= reading.seconds for date in dates) - 0.5, reading.seconds, reading.commit, reading.dirty

    return [FigureSeries(*key, tuple(sorted(own, key=rank))) for key, own in found.items()]


def steps(series: FigureSeries) -> list[Step]:
    """Find the steps that asv's own detection finds, so that `asv publish` shows the same ones; without those below
    what a quiet machine shows by itself. asv takes a thousandth for noise in any figure, so of exact ones every change
    is a step. Raises UsageError where asv is not installed."""
    if series.figure in EXACT:
        measured = [(at, value) for at, value in enumerate(series.values) if value is not None]
        return [Step(at, before, after) for (_, before), (at, after) in pairwise(measured) if before != after]
    try:
        from asv.step_detect import detect_steps
    except ImportError:
        raise UsageError("steps are found by asv, which is not installed; pip install 'rnnbench[track]'") from None
    pieces = detect_steps(series.values)
    found = []
    for (_, _, before, *_), (left, _, after, *_) in pairwise(pieces):
        step = Step(left, before, after)
        if abs(step.share) > SMALLEST_EFFECT:
            found.append(step)
    return found
