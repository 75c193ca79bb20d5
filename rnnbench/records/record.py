"""One flat row per (task, cell, backend, size, dtype, threads, seed), units in the names.

Schema history: 1, the first.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args, get_type_hints

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

    task: str
    cell: str
    backend: str
    input_size: int
    hidden_size: int
    layers: int
    bidirectional: bool
    dtype: str
    threads: int
    seed: int
    status: str
    reason: str = ""
    warnings: tuple[str, ...] = ()
    backend_version: str = ""
    batch_size: int | None = None
    seq_len: int | None = None
    parameters: int | None = None
    parameters_two_bias: int | None = None
    score_name: str = ""
    score: float | None = None
    score_baseline: float | None = None
    score_better: str = ""
    learned: bool | None = None
    train_steps: int | None = None
    train_seconds: float | None = None
    train_step_seconds: float | None = None
    seconds_to_learn: float | None = None
    infer_seconds: float | None = None
    infer_seconds_low: float | None = None
    infer_seconds_high: float | None = None
    first_step_seconds: float | None = None
    latency_p50_seconds: float | None = None
    latency_p99_seconds: float | None = None
    first_call_seconds: float | None = None
    compile_seconds: float | None = None
    compile_cache: str | None = None
    peak_rss_bytes: int | None = None
    forward_error: float | None = None
    forward_tolerance: float | None = None
    gradient_error: float | None = None
    gradient_tolerance: float | None = None
    flops_per_second: float | None = None
    roofline_fraction: float | None = None
    run_id: str = ""
    schema: int = SCHEMA
    machine: str = ""
    commit: str = ""
    dirty: bool = False

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status must be one of {', '.join(STATUSES)}; got {self.status!r}")
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{f.name} must be finite or None; got {value}")

    @property
    def failed(self) -> bool:
        return self.status not in NOT_FAILURES

    def as_json(self) -> dict[str, Any]:
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Record":
        """Read a record. Raises ValueError for an unknown or missing column, a wrong type or a newer schema."""
        if not isinstance(row, Mapping):
            raise ValueError(f"a record must be an object; got {type(row).__name__}")
        if isinstance(row.get("schema"), int) and row["schema"] > SCHEMA:
            raise ValueError(f"this record has schema {row['schema']}, newer than {SCHEMA}; update rnnbench to read it")
        hints = get_type_hints(cls)
        if unknown := sorted(row.keys() - hints.keys()):
            raise ValueError(f"unknown column {unknown[0]!r} in a record")
        values: dict[str, Any] = {}
        for name, value in row.items():
            value = tuple(value) if name == "warnings" and isinstance(value, list) else value
            value = float(value) if _takes_float(hints[name]) and type(value) is int else value
            if not _fits(value, hints[name]):
                raise ValueError(f"column {name!r} of a record holds {value!r}, not a {hints[name]}")
            values[name] = value
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"a column is missing in a record: {error}") from None


COLUMNS = tuple(f.name for f in fields(Record))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _takes_float(hint: Any) -> bool:
    return hint is float or float in get_args(hint)


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(value, tuple):
        return all(isinstance(item, str) for item in value)
    allowed = get_args(hint) or (hint,)
    return type(value) in allowed
