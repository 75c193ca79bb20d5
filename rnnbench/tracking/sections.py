"""Series as tables and sentences: one section for each figure and row, its backends side by side."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from rnnbench.records.figures import unit
from rnnbench.report.text import DASH, amount, percent
from rnnbench.tracking.commits import SHORT, Commit
from rnnbench.tracking.from_runs import ENVIRONMENT
from rnnbench.tracking.series import FigureSeries, Labels, Reading, Step, steps

# Of a row's labels, those that most rows share; a title names them where they differ from this.
USUAL = {"layers": "1", "bidirectional": "False", "dtype": "float32", "threads": "1", "train_steps": "None"}


@dataclass(frozen=True)
class HistorySection:
    """series: of the same figure, machine and row, one for each backend. environment: whether the title names it."""

    series: tuple[FigureSeries, ...]
    environment: bool = False

    @property
    def title(self) -> str:
        """Return infer_seconds: sunspots lstm, hidden_size 32; machine reference."""
        first = self.series[0]
        row = " ".join(value for name, value in first.labels if name in ("task", "cell"))
        rest = [
            f"{name} {value}"
            for name, value in first.labels
            if name not in ("task", "cell", "backend") and USUAL.get(name) != value
        ]
        where = f"machine {first.machine}" + (f", {first.environment}" if self.environment else "")
        return f"{first.figure}: {', '.join(part for part in (row, *rest) if part)}; {where}".replace(": ;", ";")

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(series.column for series in self.series)

    @cached_property
    def steps(self) -> tuple[tuple[Step, ...], ...]:
        """Return the steps of each series."""
        return tuple(tuple(steps(series)) for series in self.series)

    def rows(self, subjects: dict[str, str]) -> list[dict[str, str]]:
        """Return a row for each commit that any of the series has, for a table."""
        points: dict[tuple[str, bool], Reading] = {}
        cells: dict[tuple[str, bool], dict[str, str]] = {}
        for column, series, own in zip(self.columns, self.series, self.steps, strict=True):
            at = {step.at: step for step in own}
            for number, point in enumerate(series.points):
                key = (point.commit, point.dirty)
                points.setdefault(key, point)
                mark = f" {_signed(at[number])}" if number in at else ""
                cells.setdefault(key, {})[column] = amount(point.value, unit(series.figure)) + mark
        return [
            {
                "commit": name(point),
                "date": datetime.fromtimestamp(point.seconds, UTC).strftime("%Y-%m-%d"),
                **{column: cells[key].get(column, DASH) for column in self.columns},
                "subject": subjects.get(point.commit, ""),
            }
            for key, point in points.items()
        ]

    def sentences(self, commits: Sequence[Commit]) -> list[str]:
        """Name each step, and the commit that made it."""
        return [
            _sentence(series, column, step, commits)
            for series, column, own in zip(self.series, self.columns, self.steps, strict=True)
            for step in own
        ]


def sections(series: Iterable[FigureSeries]) -> list[HistorySection]:
    found: dict[tuple[str, str, str, Labels], list[FigureSeries]] = {}
    for one in series:
        row = tuple(pair for pair in one.labels if pair[0] != "backend")
        found.setdefault((one.machine, one.environment, one.figure, row), []).append(one)
    places = {(machine, environment) for machine, environment, *_ in found}
    several = {machine for machine, count in Counter(machine for machine, _ in places).items() if count > 1}
    return [
        HistorySection(tuple(own), environment == ENVIRONMENT or machine in several)
        for (machine, environment, *_), own in found.items()
    ]


def as_json(series: FigureSeries) -> dict[str, object]:
    """Return a series with its steps, by the commit of their first point."""
    return {
        "machine": series.machine,
        "environment": series.environment,
        "figure": series.figure,
        **dict(series.labels),
        "points": [
            {"commit": p.commit, "seconds": p.seconds, "value": p.value, "dirty": p.dirty} for p in series.points
        ],
        "steps": [
            {"commit": series.points[step.at].commit, "before": step.before, "after": step.after}
            for step in steps(series)
        ],
    }


def name(point: Reading) -> str:
    """Return a commit's first digits, with a + for changes that it does not hold."""
    return point.commit[:SHORT] + ("+" if point.dirty else "")


def _sentence(series: FigureSeries, column: str, step: Step, commits: Sequence[Commit]) -> str:
    point = series.points[step.at]
    before = [other for other in series.points[: step.at] if other.value is not None][-1]
    places = {commit.hash: number for number, commit in enumerate(commits)}
    subject = f" ({commits[places[point.commit]].subject})" if point.commit in places else ""
    where = f"at {name(point)}{subject}"
    if places.get(point.commit, 0) - places.get(before.commit, 0) > 1:
        where = f"after {name(before)} and by {name(point)}{subject}"
    cell = series.label("cell")
    what = f"{series.figure} of {cell} on {column}" if cell else series.figure
    moved = "rose" if step.after > step.before else "fell"
    levels = f"from {amount(step.before, unit(series.figure))} to {amount(step.after, unit(series.figure))}"
    share = f" by {percent(abs(step.share))}" if step.before else ""  # from zero, every rise is infinite
    return f"{what} {moved}{share} {where}: {levels}."


def _signed(step: Step) -> str:
    return f"({'+' if step.share > 0 else '−'}{percent(abs(step.share))})" if step.before else "(from 0)"
