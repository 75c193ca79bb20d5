"""One flat row per (task, cell, backend, size, dtype, threads, seed), units in the names.

Schema history: 1, the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from reprlib import repr as shortened
from typing import Any, Literal

from rnnbench.records.fields import Amount, Count, Name, Positive, Size, fitted, hints, named

SCHEMA = 1

NOT_FAILURES = ("ok", "unsupported")
STATUSES = (*NOT_FAILURES, "load_error", "mismatch", "diverged", "timeout", "oom", "crashed", "bad_output")


@dataclass(frozen=True)
class Record:
    """A row. None means not measured, never zero; `low` and `high` are the ends of a 95 % interval.

    parameters: canonical; parameters_two_bias: as torch and cuDNN count. learned: the score beats the trivial baseline
    by the margin the task names. batch_size is training's and the timed inference's, seq_len that of the inference.
    forward_error, gradient_error: max |Δ| / max |reference| of the worst tensor, against the float64 reference.
    """

    task: Name
    cell: Name
    backend: Name
    input_size: Size
    hidden_size: Size
    layers: Size
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
    parameters: Size | None = None
    parameters_two_bias: Size | None = None
    score_name: Name = ""
    score: float | None = None
    score_baseline: float | None = None
    score_better: Literal["lower", "higher", ""] = ""
    learned: bool | None = None
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
