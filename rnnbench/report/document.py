"""A run's report: for each task a table and what may be said of it, then what holds for the whole run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rnnbench.comparison.description import Description, TaskNote
from rnnbench.errors import UsageError
from rnnbench.records.comparisons import noise
from rnnbench.records.noise import KnownNoise
from rnnbench.records.record import Record
from rnnbench.records.statistics import minimum_effect
from rnnbench.records.store import Run, StoredGroup
from rnnbench.records.summary import Row, summarise
from rnnbench.report import notes, sentences
from rnnbench.report.columns import Column, columns


@dataclass(frozen=True)
class Section:
    """One task. columns: the table; failed: which of its lines had a failure; basis: how the figures came about;
    troubles: why figures are missing; findings: what the figures say."""

    title: str
    score: str
    columns: tuple[Column, ...]
    failed: tuple[bool, ...]
    basis: tuple[str, ...]
    troubles: tuple[str, ...]
    findings: tuple[str, ...]


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
            rows_of_task = [row for row in rows if row.variant.task == task]
            sections.append(_section(rows_of_task, groups, description.tasks[task], least))
        closing = _closing(run, groups, notes.noise_line(own, known))
        return cls(f"rnnbench run {run.id}", tuple(sections), tuple(closing))


def _section(rows: Sequence[Row], groups: Sequence[StoredGroup], note: TaskNote, least: float) -> Section:
    basis = (notes.settings_line(rows, note.training), notes.adopted_line(rows), notes.timing_line(rows))
    findings = [
        *sentences.score_sentences(rows),
        sentences.learning_sentence(rows),
        *sentences.speed_sentences(rows, groups, least),
        sentences.detectable_sentence(rows, groups, least),
    ]
    return Section(
        title=f"{rows[0].variant.task}: {note.title}",
        score=_score(rows[0].records[0]),
        columns=columns(rows),
        failed=tuple(any(record.failed for record in row.records) for row in rows),
        basis=tuple(line for line in basis if line),
        troubles=(*notes.trouble_lines(rows), *notes.warning_lines(rows)),
        findings=tuple(sentence for sentence in findings if sentence),
    )


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
