"""Reads our own stored runs as figures over commits."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rnnbench.records.figures import FIGURES, value
from rnnbench.records.record import Record
from rnnbench.records.store import Run, Store
from rnnbench.tracking.commits import Commit
from rnnbench.tracking.series import Labels, Reading, Readings

ENVIRONMENT = "stored runs"
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
            if record.commit in dates and record.fold is None and not record.is_baseline:
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
    """Return the row's figure, or None, a gap, where a seed failed: the others alone would be another figure."""
    return None if any(record.failed for record in records) else value(figure, records)
