"""What a comparison gives a worker and is answered, in the order of a case; `actions` says what each is of."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from rnnbench.model import Model
from rnnbench.training import Adam
from rnnbench.workers.messages import MaybeNaN

PartName: TypeAlias = Literal["validation", "test"]  # of the data, that is predicted
STREAM_STEPS = 16  # a sequence of single steps has no fewer: its first step is timed apart


@dataclass(frozen=True)
class CasePaths:
    """Files of arrays. batch: what is timed. validation: None where the data have no such part."""

    params: str
    batch: str
    train: str
    test: str
    validation: str | None = None


@dataclass(frozen=True)
class CaseOpened:
    session_seconds: float
    first_call_seconds: float


@dataclass(frozen=True)
class CaseRequest:
    """A case to be opened."""

    model: Model
    batch_size: int
    training: bool
    loss: str
    optimiser: Adam
    seed: int
    files: CasePaths


@dataclass(frozen=True)
class StepsTaken:
    """losses: each before its step. loop_seconds: of all of it, but for making the batches."""

    losses: list[MaybeNaN]
    seconds: list[float]
    loop_seconds: float


@dataclass(frozen=True)
class ProbeSeconds:
    """Of single calls: on inputs never seen, on numbers next to zero."""

    fresh: list[float]
    subnormal: list[float]


@dataclass(frozen=True)
class Sample:
    """seconds: of a call. threads: how many wanted to run. waiting: the share of the time that the busiest of them had
    to wait for a core. strayed: cores that threads may run on and were not given."""

    seconds: float
    threads: float
    waiting: float
    strayed: list[int]


@dataclass(frozen=True)
class StepSeconds:
    """Of single steps: the first of each sequence, those after it, and how many sequences these were."""

    first: list[float]
    later: list[float]
    passes: int


@dataclass(frozen=True)
class CaseClosed:
    """peak_is_of_case: False where the peak is that of the process so far."""

    peak_rss_bytes: int
    peak_is_of_case: bool
    compile_seconds: float | None
    compile_cache: str | None
