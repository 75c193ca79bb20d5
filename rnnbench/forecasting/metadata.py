"""What travels with a forecaster's weights: one JSON text, held to types and bounds when it is read.

Format history: 1, the first.
"""

import json
from dataclasses import asdict, dataclass
from reprlib import repr as shortened

from rnnbench.errors import UsageError
from rnnbench.forecasting.conformal import LEVELS, Band
from rnnbench.model import Model
from rnnbench.records.fields import Amount, Count, Name, Positive, Size, made
from rnnbench.tables.options import Filling
from rnnbench.tasks.cut import Scaling

FORMAT = 1
LONGEST = 2**26  # characters: a hundred thousand series
Names = tuple[Name, ...]


@dataclass(frozen=True)
class Columns:
    """The columns and the frequency of the table as the user named them, and how its gaps were filled: what a new table
    is read by."""

    target: Names
    time: Name | None
    id: Name | None
    past: Names
    known: Names
    static: Names
    fill: Filling | None
    frequency: Name | None


@dataclass(frozen=True)
class SeriesScale:
    """How a series' columns of x were standardised, in their order: the target, past, known and static columns, and the
    indicator of filled values where there is one."""

    id: Name
    offset: tuple[float, ...]
    scale: tuple[Positive, ...]

    @property
    def scaling(self) -> Scaling:
        return Scaling(self.offset, self.scale)


@dataclass(frozen=True)
class Rival:
    """A method without recurrence, and its score on the same test part."""

    id: Name
    score: float


@dataclass(frozen=True)
class Trial:
    """How it did on the test part, which was looked at once. forecasts: how many; folds: of the intervals' errors;
    coverage: of each interval; rivals: on the same rows."""

    score_name: Name
    score: float
    mae: Amount
    forecasts: Size
    rivals: tuple[Rival, ...]
    folds: Count
    errors: Count
    coverage: tuple[Amount, ...]


@dataclass(frozen=True)
class TrainingNote:
    """steps: after which the weights were kept; taken: in all. refit: on all rows, after the trial."""

    steps: Count
    taken: Count
    batch_size: Size
    learning_rate: Positive
    seed: Count
    refit: bool


@dataclass(frozen=True)
class ForecastMetadata:
    """past, known, static: the input columns, one-hot ones as `column=value`. filled: whether the inputs have the
    indicator of filled values. frequency: as pandas writes it; None without times. season: of the scores."""

    format: Size
    window: Size
    horizon: Size
    at_horizon: bool
    columns: Columns
    target: Name
    past: Names
    known: Names
    static: Names
    filled: bool
    frequency: Name | None
    season: Size | None
    scales: tuple[SeriesScale, ...]
    intervals: tuple[Band, ...]
    training: TrainingNote
    trial: Trial
    recursive: bool = False
    relative: bool = False

    @property
    def leads(self) -> tuple[int, ...]:
        """Return the steps ahead that are forecast."""
        return (self.horizon,) if self.at_horizon else tuple(range(1, self.horizon + 1))

    @property
    def inputs(self) -> int:
        """Return how many columns x has."""
        return 1 + len(self.past) + len(self.known) + len(self.static) + self.filled

    @property
    def missing_levels(self) -> list[int]:
        """Return the usual levels that there are no intervals of: the folds gave too few errors for them."""
        return sorted(set(LEVELS) - {interval.level for interval in self.intervals})

    def as_text(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    @classmethod
    def read(cls, text: str, model: Model) -> "ForecastMetadata":
        """Read what a file says of a forecaster with this model. Raises UsageError for what does not fit."""
        if not text:
            raise UsageError("it holds a model and nothing on how to forecast with it; write it with `rnnbench train`")
        try:
            if len(text) > LONGEST:
                raise ValueError(f"{len(text)} characters are too many")
            value = json.loads(text)
            if isinstance(value, dict) and value.get("format") != FORMAT:
                raise ValueError(f"its format is {shortened(value.get('format'))}, not {FORMAT}; update rnnbench")
            found = made(cls, value)
            found._check(model)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"what it says on how to forecast cannot be used: {error}") from None
        return found

    def _check(self, model: Model) -> None:
        """Raise ValueError where parts of it do not fit each other or the model."""
        steps = 1 if self.at_horizon else self.horizon  # before a list of so many is made
        outputs = 1 if self.recursive else steps
        sizes = {"inputs": (model.input_size, self.inputs), "outputs": (model.output_size, outputs)}
        for name, (has, says) in sizes.items():
            if has != says:
                raise ValueError(f"the model has {has} {name}, not {says}")
        if model.readout != "last":
            raise ValueError("the model answers at every step")
        if len({scale.id for scale in self.scales}) != len(self.scales) or not self.scales:
            raise ValueError("its series have no names, or one name twice")
        for scale in self.scales:
            if {len(scale.offset), len(scale.scale)} != {self.inputs}:
                raise ValueError(f"series {shortened(scale.id)} is not scaled in {self.inputs} columns")
        if any(len(interval.half_widths) != steps for interval in self.intervals):
            raise ValueError(f"an interval is not of {steps} steps")
        if len(self.trial.coverage) != len(self.intervals):
            raise ValueError("the coverage is not that of its intervals")
