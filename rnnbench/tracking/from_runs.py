"""Reads our own stored runs as figures over commits."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median

from rnnbench.records.record import Record
from rnnbench.records.store import Run, Store
from rnnbench.tracking.commits import Commit
from rnnbench.tracking.reading import Labels, Reading, Readings

ENVIRONMENT = "stored runs"
# A row's figure is what its seeds have in the middle; a score is averaged, as reports do.
FIGURES: dict[str, Callable[[Sequence[float]], float]] = {
    "infer_seconds": median,
    "latency_p50_seconds": median,
    "latency_p99_seconds": median,
    "train_step_seconds": median,
    "train_seconds": median,
    "seconds_to_learn": median,
    "score": fmean,
    "parameters": max,
    "parameters_two_bias": max,
    "peak_rss_bytes": median,
    "forward_error": max,
}
IDENTITY = (
    *("task", "cell", "backend", "hidden_size", "layers", "bidirectional"),
    *("dtype", "threads", "batch_size", "train_steps"),
)


def read(folder: Path, commits: Sequence[Commit]) -> Readings:
    """Read the newest run of each commit, machine and row. Runs of commits that are not among `commits` are left out:
    there is no telling where they belong."""
    if not folder.is_dir():
        return Readings()
    store, dates = Store(folder), {commit.hash: commit.seconds for commit in commits}
    problems = store.problems()
    newest: dict[tuple[object, ...], Reading] = {}
    for run in store.runs():
        problems += run.problems()
        for reading in _of_run(run, dates):
            key = (reading.machine, reading.figure, reading.labels, reading.commit, reading.dirty)
            newest[key] = reading
    return Readings(tuple(newest.values()), tuple(problems))


def _of_run(run: Run, dates: dict[str, int]) -> list[Reading]:
    by_row: dict[Labels, list[Record]] = {}
    for group in run.groups():
        # Runtimes that only infer are scored with weights that another row trained so many steps.
        steps = max((record.train_steps for record in group.records if record.train_steps is not None), default=None)
        for record in group.records:
            if record.commit in dates:
                by_row.setdefault(labels(replace(record, train_steps=steps)), []).append(record)
    return [
        Reading(
            machine=records[0].machine,
            environment=ENVIRONMENT,
            figure=figure,
            labels=row,
            commit=records[0].commit,
            seconds=dates[records[0].commit],
            value=_value(figure, records),
            dirty=records[0].dirty,
        )
        for row, records in by_row.items()
        for figure in FIGURES
    ]


def labels(record: Record) -> Labels:
    """Return everything that makes two rows comparable."""
    return tuple((name, str(getattr(record, name))) for name in IDENTITY)


def _value(figure: str, records: Sequence[Record]) -> float | None:
    """Return None, a gap, where a seed failed: the others alone would be another figure."""
    values = [getattr(record, figure) for record in records]
    if any(record.failed for record in records) or None in values:
        return None
    return float(FIGURES[figure](values))
