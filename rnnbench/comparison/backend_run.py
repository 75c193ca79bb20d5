"""One backend's way through one group: its worker, what was found so far, and how it ended."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Concatenate

from rnnbench.backends.base import BackendInfo
from rnnbench.comparison.messages import PartName
from rnnbench.model import Array
from rnnbench.training_loop import EarlyStopping
from rnnbench.workers.failure import Failure
from rnnbench.workers.messages import Actor, P, Reply
from rnnbench.workers.worker import Worker

TIMES = (
    *("infer_seconds", "infer_seconds_low", "infer_seconds_high", "flops_per_second", "roofline_fraction"),
    *("first_step_seconds", "latency_p50_seconds", "latency_p99_seconds"),
)


@dataclass
class DraftRecord:
    """The columns of a `Record` that a run fills, by the same names, as far as they are known."""

    backend_version: str = ""
    seq_len: int | None = None
    score: float | None = None
    score_median: float | None = None
    mae: float | None = None
    rmse: float | None = None
    mase: float | None = None
    smape: float | None = None
    persistence_ratio: float | None = None
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


@dataclass
class RunSamples:
    """Raw values, kept beside the record; None for what was not measured. infer_seconds and infer_threads: a value a
    round. The figures of traps are there where a run fell into one."""

    session_seconds: float | None = None
    calls_per_sample: int | None = None
    infer_seconds: list[float] | None = None
    infer_threads: list[float] | None = None
    step_seconds: list[float] | None = None
    first_step_seconds: list[float] | None = None
    train_step_seconds: list[float] | None = None
    train_losses: list[float | None] | None = None
    scores: list[tuple[int, float]] | None = None  # after so many steps: on the validation part where there is one
    kept_steps: int | None = None  # after which the weights were kept, of those scores the first of the best
    losses: list[float] | None = None  # the score's, by test time or series
    lead_scores: list[float] | None = None  # by step ahead
    peak_flops_per_second: float | None = None
    subnormal_times: float | None = None
    leak_times: float | None = None
    loss_of_constant: float | None = None

    def as_json(self) -> dict[str, object]:
        """Return what was measured, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass
class BackendRun:
    """A backend and its worker in one group. listed: False for a trainer that nobody asked for and for the control,
    which have no row. action: what the user may do about a failure. weights: as trained, or as given to a runtime that
    only infers. streams: takes single steps. slices: of the training loop, the seconds of the steps, and of all but the
    making of batches. stopping: by the validation part, where there is one. explained: of its weights' change, by
    window of training. predictions: the last for each part; for validation, those of the weights kept. waiting: by
    round, as a `Sample` has it. looking_seconds: spent on outputs of timed calls. confirmed: the largest share of our
    own time that the worker's clock has counted. processor_seconds: before it was timed, of the worker and of its other
    processes."""

    name: str
    info: BackendInfo
    worker: Worker | None = None
    listed: bool = True
    record: DraftRecord = field(default_factory=DraftRecord)
    samples: RunSamples = field(default_factory=RunSamples)
    warnings: list[str] = field(default_factory=list)
    status: str = "ok"
    reason: str = ""
    action: str = ""
    weights: dict[str, Array] | None = None
    streams: bool = False
    losses: list[float] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    slices: list[tuple[float, float]] = field(default_factory=list)
    waiting: list[float] = field(default_factory=list)
    looking_seconds: float = 0.0
    confirmed: float = 0.0
    processor_seconds: tuple[float, float] = (0.0, 0.0)
    stopping: EarlyStopping | None = None
    predictions: dict[PartName, Array] = field(default_factory=dict)
    explained: list[float] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Tell whether nothing has gone wrong so far."""
        return self.status == "ok"

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Let a failure inside end this run, and nothing else."""
        try:
            yield
        except Failure as failure:
            self.fail(failure)

    def fail(self, failure: Failure) -> None:
        """End this run as the failure says. Its times are no figures then."""
        self.status, self.reason, self.action = failure.status, failure.reason, failure.action
        self.samples.infer_seconds = self.samples.step_seconds = self.samples.first_step_seconds = None
        for name in TIMES:
            setattr(self.record, name, None)

    def ask(self, action: Callable[Concatenate[Actor, P], Reply], *given: P.args, **named: P.kwargs) -> Reply:
        """Return the result of a worker's action, while nobody else's worker runs. Raises Failure."""
        if self.worker is None:
            raise Failure("crashed", "it has no process")
        return self.worker.ask_alone(action, *given, **named)
