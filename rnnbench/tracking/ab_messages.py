"""What the gate asks a checkout worker, in the order in which it does, and what it is answered.

Loaded by its path in a process that imports another commit's `rnnbench`: the standard library alone is needed here.
"""

from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

MaybeNaN: TypeAlias = Annotated[float, "as in `workers.messages`"]


@dataclass(frozen=True)
class CheckoutLoaded:
    """package: the folder that `rnnbench` was imported from."""

    package: str


@dataclass(frozen=True)
class LoadCheckout:
    cores: list[int]
    plugins: list[str]
    backend: str
    reply = CheckoutLoaded


@dataclass(frozen=True)
class Sizes:
    """Of the timed model: large enough that the kernels, not what calls them, take the time."""

    batch: int = 16
    steps: int = 32
    input_size: int = 16
    hidden_size: int = 96
    output_size: int = 4


@dataclass(frozen=True)
class ModelFacts:
    """error: against the float64 reference; None where the weights do not fit this commit. timed: the figures that this
    commit can be timed for."""

    error: MaybeNaN | None
    parameters: int
    parameters_two_bias: int
    timed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class OpenModel:
    """given: a file of inputs, weights and the reference's output, that the first to come makes (`make`)."""

    cell: str
    sizes: Sizes
    given: str
    make: bool
    reply = ModelFacts


@dataclass(frozen=True)
class TaskLearned:
    """score: None where the backend does not train. better: "lower" or "higher"."""

    score: MaybeNaN | None
    better: str


@dataclass(frozen=True)
class LearnTask:
    cell: str
    task: str
    seed: int
    reply = TaskLearned


@dataclass(frozen=True)
class FigureCalibrated:
    """How many calls make a sample, and the seconds that it takes."""

    calls: int
    seconds: float


@dataclass(frozen=True)
class CalibrateFigure:
    figure: str
    reply = FigureCalibrated


@dataclass(frozen=True)
class FigureSample:
    """Seconds of a call, or of a step."""

    seconds: float


@dataclass(frozen=True)
class TimeFigure:
    """calibration: one side's, for all."""

    figure: str
    calibration: FigureCalibrated
    reply = FigureSample


@dataclass(frozen=True)
class MemoryPeak:
    bytes: int


@dataclass(frozen=True)
class ReadMemory:
    reply = MemoryPeak
