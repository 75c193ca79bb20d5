"""One flat row per (task, cell, backend, size, dtype, threads, seed), units in the names.

Schema history: 1, the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from reprlib import repr as shortened
from typing import Any, Literal

from rnnbench.records.fields import Amount, Count, Name, Positive, Size, fitted, hints, named

SCHEMA = 1
BASELINE = "baseline"  # in place of a backend

NOT_FAILURES = ("ok", "unsupported")
STATUSES = (*NOT_FAILURES, "load_error", "mismatch", "diverged", "timeout", "oom", "crashed", "bad_output")


@dataclass(frozen=True)
class Record:
    """A row. None means not measured, never zero; `low` and `high` are the ends of a 95 % interval.

    parameters: canonical; parameters_two_bias: as torch and cuDNN count. learned: the score beats the trivial baseline
    by the margin the task names. batch_size is training's and the timed inference's, seq_len that of the inference.
    score_median: over series, where there are several, of what the score is the mean of. mae, rmse: in the series' own
    unit; mase: over the mean absolute step of the training part, a season apart; smape in percent; persistence_ratio:
    the absolute error over that of the last value. fold: of a rolling origin, from 1; None for the test part. A row
    whose backend is `BASELINE` is a method without recurrence: `cell` is its id, its sizes are 0, train_seconds is its
    fit and infer_seconds its answer to the same batch.
    forward_error, gradient_error: max |Δ| / max |reference| of the worst tensor, against the float64 reference.
    """

    task: Name
    cell: Name
    backend: Name
    input_size: Size
    hidden_size: Count
    layers: Count
    bidirectional: bool
    dtype: Name
    threads: Size
    seed: Count
    status: str
    reason: str = ""
    warnings: tuple[str, ...] = ()
    backend_version: Name = ""
    batch_size: Size | None = None
    seq_len: Size | None = None
    parameters: Count | None = None
    parameters_two_bias: Count | None = None
    score_name: Name = ""
    score: float | None = None
    score_median: float | None = None
    mae: Amount | None = None
    rmse: Amount | None = None
    mase: Amount | None = None
    smape: Amount | None = None
    persistence_ratio: Amount | None = None
    score_baseline: float | None = None
    score_better: Literal["lower", "higher", ""] = ""
    learned: bool | None = None
    fold: Size | None = None
    train_steps: Count | None = None
    train_seconds: Positive | None = None
    train_step_seconds: Positive | None = None
    seconds_to_learn: Positive | None = None
    infer_seconds: Positive | None = None
    infer_seconds_low: Positive | None = None
    infer_seconds_high: Positive | None = None
    first_step_seconds: Positive | None = None
    latency_p50_seconds: Positive | None = None
    latency_p99_seconds: Positive | None = None
    first_call_seconds: Positive | None = None
    compile_seconds: Amount | None = None
    compile_cache: Literal["cold", "warm"] | None = None
    peak_rss_bytes: Size | None = None
    forward_error: Amount | None = None
    forward_tolerance: Amount | None = None
    gradient_error: Amount | None = None
    gradient_tolerance: Amount | None = None
    flops_per_second: Amount | None = None
    roofline_fraction: Amount | None = None
    run_id: Name = ""
    schema: Size = SCHEMA
    machine: Name = ""
    commit: Name = ""
    dirty: bool = False

    def __post_init__(self) -> None:
        """Hold every column to its type and bounds, read or measured. Raises ValueError naming one that is not so."""
        for name, hint in hints(Record).items():
            object.__setattr__(self, name, fitted(hint, getattr(self, name), name))
        if self.status not in STATUSES:
            raise ValueError(f"status must be one of {', '.join(STATUSES)}; got {self.status!r:.60}")
        if (self.hidden_size == 0 or self.layers == 0) and not self.is_baseline:
            raise ValueError("hidden_size and layers are 0 of a baseline alone")

    @property
    def is_baseline(self) -> bool:
        """Tell whether this is a method without recurrence."""
        return self.backend == BASELINE

    @property
    def failed(self) -> bool:
        return self.status not in NOT_FAILURES

    def as_json(self) -> dict[str, Any]:
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Record":
        """Read a record. Raises ValueError for an unknown or missing column, a value that does not fit or a newer
        schema."""
        if isinstance(row, Mapping) and isinstance(row.get("schema"), int) and row["schema"] > SCHEMA:
            raise ValueError(
                f"this record has schema {shortened(row['schema'])}, newer than {SCHEMA}; update rnnbench to read it"
            )
        try:
            return cls(**named(cls, row))
        except ValueError as error:
            raise ValueError(f"holds a record that is none: {error}") from None


COLUMNS = tuple(f.name for f in fields(Record))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
