"""One figure of one row at one commit, wherever it was kept."""

from dataclasses import dataclass

Labels = tuple[tuple[str, str], ...]  # what the row is: ("cell", "lstm"), ("backend", "numba") and so on


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
