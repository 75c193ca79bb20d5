"""A run's report: for each task a table and what may be said of it, then what holds for the whole run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from rnnbench.comparison.description import Description, TaskNote
from rnnbench.errors import UsageError
from rnnbench.records.comparisons import noise, sampled
from rnnbench.records.noise import KnownNoise
from rnnbench.records.record import Record
from rnnbench.records.statistics import minimum_effect
from rnnbench.records.store import LEAD_SCORES, Run, StoredGroup
from rnnbench.records.summary import Row, summarise
from rnnbench.report import notes, rivals, sentences
from rnnbench.report.columns import Column, columns
from rnnbench.report.gains import Losses, best_first
from rnnbench.report.text import counted


@dataclass(frozen=True)
class Section:
    """One task, on its folds or on its test part. columns: the table; failed: which of its lines had a failure; basis:
    how the figures came about; troubles: why figures are missing; findings: what the figures say; inferred: what was
    found out about a user's table."""

    title: str
    score: str
    columns: tuple[Column, ...]
    failed: tuple[bool, ...]
    basis: tuple[str, ...]
    troubles: tuple[str, ...]
    findings: tuple[str, ...]
    inferred: str | None = None


@dataclass(frozen=True)
class Report:
    """sections: one per task; closing: lines on the whole."""

    title: str
    sections: tuple[Section, ...]
    closing: tuple[str, ...]

    @classmethod
    def of(cls, run: Run, groups: Sequence[StoredGroup] | None = None) -> "Report":
        """Return the report on what is stored. groups: the run's, where they are at hand. Raises UsageError for
        settings that cannot be read."""
        groups = run.groups() if groups is None else groups
        description = Description.from_json(run.settings)
        own, known = noise(groups), KnownNoise.from_json(run.machine.get("noise"))
        least = minimum_effect(own, known.ratio if known else None)
        rows = summarise(record for group in groups for record in group.records)
        sections = []
        for task in dict.fromkeys(row.variant.task for row in rows):
            if task not in description.tasks:
                raise UsageError(f"run {run.id} has rows of the task {task!r}, which its settings lack; it is damaged")
            of_task = [row for row in rows if row.variant.task == task]
            parts = [[row for row in of_task if bool(row.folds) is folded] for folded in (True, False)]
            stored = _Stored(
                [group for group in groups if group.records and group.records[0].task == task],
                description.tasks[task],
                least,
                parts[0],
            )
            sections += [_section(part, stored) for part in parts if part]
        closing = (*description.left_out, *_closing(run, groups, notes.noise_line(own, known)))
        return cls(f"rnnbench run {run.id}", tuple(sections), closing)


@dataclass(frozen=True)
class _Stored:
    """What all sections of a task are made of. least: the smallest effect in speed that counts; on_folds: its rows."""

    groups: Sequence[StoredGroup]
    note: TaskNote
    least: float
    on_folds: Sequence[Row]


def _section(part: Sequence[Row], stored: _Stored) -> Section:
    groups, note = stored.groups, stored.note
    rows = [row for row in part if not row.is_baseline] + best_first(row for row in part if row.is_baseline)
    losses = Losses.of(groups, note)
    basis = (notes.settings_line(rows, note.training), notes.adopted_line(rows), notes.timing_line(rows))
    chosen = rivals.choice_sentence(stored.on_folds, rows) if stored.on_folds and not rows[0].folds else None
    findings = [
        chosen,
        *rivals.rival_sentences(rows, losses),
        *sentences.score_sentences(rows, losses),
        rivals.lead_line(rows, _lead_scores(rows, groups)),
        sentences.learning_sentence(rows),
        *sentences.speed_sentences(rows, groups, stored.least),
        sentences.detectable_sentence(rows, groups, stored.least),
    ]
    return Section(
        title=f"{rows[0].variant.task}: {note.title}{_part(rows[0], stored.on_folds)}",
        score=_score(rows[0].records[0]),
        columns=columns(rows, early=note.training.patience is not None),
        failed=tuple(any(record.failed for record in row.records) for row in rows),
        basis=tuple(line for line in basis if line),
        troubles=(*notes.trouble_lines(rows), *notes.warning_lines(rows)),
        findings=tuple(sentence for sentence in findings if sentence),
        inferred=notes.inferred_line(note),
    )


def _part(row: Row, on_folds: Sequence[Row]) -> str:
    """Say of which part of the data a table is, where there are several."""
    if not on_folds:
        return ""
    return f", on {counted(row.folds, 'fold')} of the training part" if row.folds else ", on the test part"


def _lead_scores(rows: Sequence[Row], groups: Sequence[StoredGroup]) -> dict[Row, list[float]]:
    """Return the scores by step ahead, the mean over seeds and folds."""
    found = sampled(groups, LEAD_SCORES)
    return {row: [fmean(own) for own in zip(*found.get(row.key, {}).values(), strict=False)] for row in rows}


def _score(record: Record) -> str:
    if not record.score_name:
        return "the weights are the model's own: neither trained nor scored"
    baseline = "" if record.score_baseline is None else f"; the trivial answer gets {record.score_baseline:.4g}"
    return f"score: {record.score_name}, {record.score_better} is better{baseline}"


def _closing(run: Run, groups: Sequence[StoredGroup], noise_line: str) -> Iterator[str]:
    records = [record for group in groups for record in group.records]
    if not records:
        yield "This run holds no rows: it was stopped before a group was finished."
        return
    lines = (notes.process_line(records), noise_line, notes.compile_line(records), notes.machine_line(run.machine))
    yield from filter(None, lines)
