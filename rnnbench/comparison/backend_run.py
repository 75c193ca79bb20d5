"""One backend's way through one group: its worker, what was found so far, and how it ended."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rnnbench.backends.base import BackendInfo
from rnnbench.model import Array
from rnnbench.workers.failure import Failure
from rnnbench.workers.worker import Worker


@dataclass
class BackendRun:
    """columns: of the record, as far as they are known. samples: raw values, kept beside it."""

    name: str
    info: BackendInfo
    worker: Worker | None = None
    listed: bool = True  # a trainer that nobody asked for, and the control, have no row
    columns: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    status: str = "ok"
    reason: str = ""
    action: str = ""  # what the user may do about it
    weights: dict[str, Array] | None = None  # as trained, or as given to a runtime that only infers
    streams: bool = False  # takes single steps
    losses: list[float] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    loop_seconds: float = 0.0  # of the training loop, without the making of batches

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """A failure inside ends this run, and nothing else."""
        try:
            yield
        except Failure as failure:
            self.fail(failure)

    def fail(self, failure: Failure) -> None:
        self.status, self.reason, self.action = failure.status, failure.reason, failure.action

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """The worker's reply, while nobody else's worker runs. Raises Failure."""
        if self.worker is None:
            raise Failure("crashed", "it has no process")
        self.worker.resume()
        try:
            return self.worker.ask({"do": do, **arguments})
        finally:
            self.worker.pause()

    def warn(self, warning: str, name: str, figure: float) -> None:
        """A trap it fell into, and how deep."""
        self.warnings.append(warning)
        self.samples[name] = figure

    def put(self, columns: Mapping[str, Any]) -> None:
        self.columns.update(columns)
