"""What a comparison gives a worker and is answered, in the order of a case; `actions` says what each is of."""

from dataclasses import dataclass

from rnnbench.model import Model
from rnnbench.training import Adam
from rnnbench.workers.messages import MaybeNaN


@dataclass(frozen=True)
class CasePaths:
    """Files of arrays. batch: what is timed."""

    params: str
    batch: str
    train: str
    test: str


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
    """Of single calls: on the input of the call before, on one never seen, on numbers next to zero."""

    repeated: list[float]
    fresh: list[float]
    subnormal: list[float]


@dataclass(frozen=True)
class Sample:
    """seconds: of a call. threads: how many wanted to run. drift: how far the last outputs are from the checked ones;
    None where they cannot be compared."""

    seconds: float
    threads: float
    drift: MaybeNaN | None


@dataclass(frozen=True)
class CaseClosed:
    """peak_is_of_case: False where the peak is that of the process so far."""

    peak_rss_bytes: int
    peak_is_of_case: bool
    compile_seconds: float | None
    compile_cache: str | None
