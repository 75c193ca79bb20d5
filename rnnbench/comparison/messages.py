"""What a comparison asks a worker, in the order of a case, and what it is answered; `actions` says what each does."""

from dataclasses import dataclass

from rnnbench.clock import Calibration
from rnnbench.model import Model
from rnnbench.training import Adam
from rnnbench.workers.messages import Done, MaybeNaN


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
class OpenCase:
    model: Model
    batch_size: int
    training: bool
    loss: str
    optimiser: Adam
    seed: int
    files: CasePaths
    reply = CaseOpened


@dataclass(frozen=True)
class CheckOutputs:
    out: str
    gradients: bool
    reply = Done


@dataclass(frozen=True)
class StepsTaken:
    """losses: each before its step. loop_seconds: of all of it, but for making the batches."""

    losses: list[MaybeNaN]
    seconds: list[float]
    loop_seconds: float


@dataclass(frozen=True)
class CheckTraining:
    steps: int
    reply = StepsTaken


@dataclass(frozen=True)
class ResetSession:
    params: str
    reply = Done


@dataclass(frozen=True)
class TakeSteps:
    """So many steps, and no more once so many seconds have passed."""

    steps: int
    seconds: float
    reply = StepsTaken


@dataclass(frozen=True)
class Predict:
    out: str
    reply = Done


@dataclass(frozen=True)
class SessionVerified:
    """streaming: why single steps cannot run, or None."""

    streaming: str | None


@dataclass(frozen=True)
class VerifySession:
    out: str
    reply = SessionVerified


@dataclass(frozen=True)
class Calibrate:
    reply = Calibration


@dataclass(frozen=True)
class ProbeSeconds:
    """Of single calls: on the input of the call before, on one never seen, on numbers next to zero."""

    repeated: list[float]
    fresh: list[float]
    subnormal: list[float]


@dataclass(frozen=True)
class ProbeInputs:
    reply = ProbeSeconds


@dataclass(frozen=True)
class Sample:
    """seconds: of a call. threads: how many wanted to run. drift: how far the last outputs are from the checked ones;
    None where they cannot be compared."""

    seconds: float
    threads: float
    drift: MaybeNaN | None


@dataclass(frozen=True)
class TakeSample:
    reply = Sample


@dataclass(frozen=True)
class StepSeconds:
    seconds: list[float]


@dataclass(frozen=True)
class TimeSteps:
    """So many single steps, and fewer when so many seconds have passed."""

    count: int
    seconds: float
    reply = StepSeconds


@dataclass(frozen=True)
class CaseClosed:
    """peak_is_of_case: False where the peak is that of the process so far."""

    peak_rss_bytes: int
    peak_is_of_case: bool
    compile_seconds: float | None
    compile_cache: str | None


@dataclass(frozen=True)
class CloseCase:
    reply = CaseClosed


@dataclass(frozen=True)
class FlopsPeak:
    flops_per_second: float


@dataclass(frozen=True)
class MeasurePeak:
    """factory: import path of what measures it, from a dtype and a number of threads."""

    factory: str
    dtype: str
    reply = FlopsPeak
