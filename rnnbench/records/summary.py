"""Records aggregated over seeds: one row per (task, cell, backend, size, dtype, threads)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean
from typing import Any, Self

from rnnbench.records.figures import FIGURES, value
from rnnbench.records.record import Record
from rnnbench.records.statistics import Interval

COUNTS = ("parameters", "parameters_two_bias")
WITH_ENDS = ("infer_seconds", "score")  # figures whose interval is shown
TRAINER = "numba"  # trains in every default run, and lends its weights to backends that only infer


@dataclass(frozen=True)
class Variant:
    """A cell at a size, dtype and number of threads: backends are compared on it. A baseline's sizes are 0."""

    task: str
    cell: str
    hidden_size: int
    layers: int
    bidirectional: bool
    dtype: str
    threads: int

    @classmethod
    def of(cls, record: Record) -> Self:
        return cls(**{field.name: getattr(record, field.name) for field in fields(cls)})

    @property
    def is_baseline(self) -> bool:
        """Tell whether this is a method without recurrence."""
        return self.hidden_size == 0


RowKey = tuple[Variant, str, bool]  # backend; whether it is of folds


@dataclass(frozen=True)
class Row:
    """A variant on one backend, over its seeds: on the test part, or on the folds of a rolling origin."""

    variant: Variant
    backend: str
    records: tuple[Record, ...]

    @property
    def is_baseline(self) -> bool:
        """Tell whether this is a method without recurrence."""
        return self.variant.is_baseline

    @property
    def folds(self) -> int:
        """Return on how many folds it was scored; 0 for the test part."""
        return len({record.fold for record in self.records if record.fold is not None})

    @property
    def key(self) -> RowKey:
        """Return what tells it from other rows."""
        return self.variant, self.backend, self.folds > 0

    @property
    def passed(self) -> tuple[Record, ...]:
        return tuple(record for record in self.records if record.status == "ok")

    @property
    def ranked(self) -> bool:
        """Tell whether it takes part in comparisons: only what came through on every seed."""
        return len(self.passed) == len(self.records)

    @property
    def status(self) -> str:
        """Return ok, or the commonest trouble with its share of the seeds."""
        troubles = Counter(record.status for record in self.records if record.status != "ok")
        if not troubles:
            return "ok"
        name, count = troubles.most_common(1)[0]
        return name if count == len(self.records) else f"{name} {count}/{len(self.records)}"

    def figure(self, name: str) -> Interval | None:
        """Return one of `FIGURES` over this row's seeds, or None where no seed has it."""
        return FIGURES[name].of(self.records)

    def value(self, name: str) -> float | None:
        """Return a figure without its interval."""
        return value(name, self.records)

    @property
    def scores(self) -> dict[int, float]:
        """Return the score by seed, the mean of its folds."""
        found: dict[int, list[float]] = {}
        for record in self.passed:
            if record.score is not None:
                found.setdefault(record.seed, []).append(record.score)
        return {seed: fmean(scores) for seed, scores in found.items()}

    @property
    def learned(self) -> tuple[int, int] | None:
        """Return on how many seeds and folds, of how many, the score beat the trivial answers by the task's margin."""
        known = [record.learned for record in self.passed if record.learned is not None]
        return (sum(known), len(known)) if known else None

    def as_json(self) -> dict[str, Any]:
        """Return what the row is, then its figures, with the ends of their intervals where they may have some."""
        learned, seeds = self.learned or (None, None)
        row: dict[str, Any] = {**asdict(self.variant), "backend": self.backend, "status": self.status}
        row |= {"seeds": len({record.seed for record in self.records}), "folds": self.folds or None}
        row |= {"learned": learned, "scored": seeds}
        for name in FIGURES:
            found = self.figure(name)
            row[name] = None if found is None else int(found.value) if name in COUNTS else found.value
            if name in WITH_ENDS:
                row |= {f"{name}_low": found.low if found else None, f"{name}_high": found.high if found else None}
        return row


def summarise(records: Iterable[Record]) -> tuple[Row, ...]:
    """Return rows in the order of their first record, a variant's backends together."""
    found: dict[Variant, dict[tuple[str, bool], list[Record]]] = {}
    for record in records:
        own = found.setdefault(Variant.of(record), {})
        own.setdefault((record.backend, record.fold is not None), []).append(record)
    return tuple(
        Row(variant, backend, tuple(sorted(own, key=lambda record: (record.seed, record.fold or 0))))
        for variant, rows in found.items()
        for (backend, _), own in rows.items()
    )


def varying(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the sizes that tell these rows apart, beside cell and backend; a baseline has none."""
    names = ("hidden_size", "layers", "bidirectional", "dtype", "threads")
    cells = [row.variant for row in rows if not row.is_baseline]
    return tuple(name for name in names if len({getattr(variant, name) for variant in cells}) > 1)


def label(variant: Variant, names: Sequence[str]) -> str:
    """Return a variant in a few words: its cell and the sizes in `names`, or the baseline's id."""
    if variant.is_baseline:
        return variant.cell
    words = {
        "hidden_size": f"h{variant.hidden_size}",
        "layers": f"{variant.layers} layers" if variant.layers > 1 else "1 layer",
        "bidirectional": "both directions" if variant.bidirectional else "one direction",
        "dtype": variant.dtype,
        "threads": f"{variant.threads} threads" if variant.threads > 1 else "1 thread",
    }
    return " ".join([variant.cell, *(words[name] for name in names)])
