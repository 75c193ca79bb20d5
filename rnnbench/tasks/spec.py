"""What a task is: data as a pure function of a seed, a score with its trivial baseline, and a training budget.

Beside it, the workload of a trained model, which has no score."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from rnnbench.model import Array, Params, Readout
from rnnbench.training import Adam


@dataclass(frozen=True)
class Windows:
    """Which windows of which series the N sequences of a forecasting split are, and how to get back to their unit.

    series: of each series, its known target values [n] in their own unit, oldest first: in a training split they end
    where training ends. which int64 [N]: each sequence's series. origin int64 [N]: how many values of it are past when
    it is forecast. leads: the steps ahead that the O outputs stand for, 1 the first after the window. offset, scale
    float64 [S]: of each series, so that target[n, o] is (series[which[n]][origin[n] + leads[o] - 1] - offset) / scale.
    season: steps of a period, where one is known. names: of the series. level float64 [N]: what is taken off a sequence
    and its target after that; None for nothing.
    """

    series: tuple[Array, ...]
    which: Array
    origin: Array
    leads: tuple[int, ...]
    offset: Array
    scale: Array
    season: int | None = None
    names: tuple[str, ...] = ()
    level: Array | None = None

    def past(self, number: int) -> Array:
        """Return what is known of its series when a sequence is forecast, [n] in its own unit."""
        own: Array = self.series[self.which[number]]
        return own[: self.origin[number]]

    def scaled(self, values: Array) -> Array:
        """Return forecasts [N, O] in the series' unit as the targets are."""
        scaled: Array = (values - self.offset[self.which, None]) / self.scale[self.which, None]
        return scaled if self.level is None else scaled - self.level[:, None]

    def unscaled(self, values: Array) -> Array:
        """Return targets or predictions [N, O] in the series' own unit."""
        whole = values if self.level is None else values + self.level[:, None]
        return whole * self.scale[self.which, None] + self.offset[self.which, None]

    def rows(self, index: Array | slice) -> "Windows":
        """Return those of the sequences that `index` picks."""
        level = None if self.level is None else self.level[index]
        return replace(self, which=self.which[index], origin=self.origin[index], level=level)


@dataclass(frozen=True)
class Split:
    """Sequences and what is to be predicted.

    x [T, N, I]; target [N, O] or [T, N, O] of floats, or class indices [N] or [T, N]; lengths int64 [N] or None.
    windows: where the sequences come from, of series that are forecast. ahead [H - 1, N, I]: of a recursive forecast,
    the rows that follow x; column 0 of each is the answer before it, and the target is of H steps.
    """

    x: Array
    target: Array
    lengths: Array | None = None
    every_step: bool = False  # the target has a time axis
    windows: Windows | None = None
    ahead: Array | None = None

    @property
    def count(self) -> int:
        """Return N, the number of sequences."""
        return int(self.x.shape[1])

    def rows(self, index: Array | slice) -> "Split":
        """Return the sequences that `index` picks, as C-contiguous copies."""
        target = self.target[:, index] if self.every_step else self.target[index]
        return Split(
            np.ascontiguousarray(self.x[:, index]),
            np.ascontiguousarray(target),
            None if self.lengths is None else self.lengths[index],
            self.every_step,
            None if self.windows is None else self.windows.rows(index),
            None if self.ahead is None else self.ahead[:, index],
        )

    def width(self, output_size: int) -> int:
        """Return how many answers are wanted of a model with so many outputs: one a step, where they are fed back."""
        return output_size if self.ahead is None else 1 + len(self.ahead)

    def first_step(self) -> "Split":
        """Return the sequences with their first step alone as target, where answers are fed back."""
        if self.ahead is None:
            return self
        windows = None if self.windows is None else replace(self.windows, leads=self.windows.leads[:1])
        return replace(self, target=self.target[:, :1], windows=windows, ahead=None)

    def followed_by(self, row: Array, answer: Array) -> "Split":
        """Return the sequences one step later: without their first row, and with a row [N, I] whose column 0 is the
        answer [N, 1]."""
        row = np.concatenate([answer, row[:, 1:]], axis=1, dtype=self.x.dtype)
        return replace(self, x=np.concatenate([self.x[1:], row[None]]))

    def answers(self, ask: Callable[["Split"], Array]) -> Array:
        """Return what is answered to all of it: once, or step by step, each answer [N, 1] fed back into the next."""
        if self.ahead is None:
            return ask(self)
        asked = self.first_step()
        found = [ask(asked)]
        for row in self.ahead:
            asked = asked.followed_by(row, found[-1])
            found.append(ask(asked))
        return np.concatenate(found, axis=1)


@dataclass(frozen=True)
class Data:
    """What one seed gives. A time series is split by time, so that no test value was seen in training.

    validation: what early stopping looks at, neither trained on nor tested on; None where the budget's steps are taken.
    """

    train: Split
    test: Split
    validation: Split | None = None


CLIPPED = Adam(learning_rate=1e-2, clip_norm=1.0)


@dataclass(frozen=True)
class Training:
    """How a model is trained. recurrent, forget_bias: options of `Model.init`.

    patience: where the data have a validation part, training ends after so many evaluations without a better score on
    it, and the weights of the best one are kept; steps are the most that are taken then.
    """

    steps: int
    batch_size: int = 32
    optimiser: Adam = CLIPPED
    recurrent: str = "uniform"
    forget_bias: float | None = None
    patience: int | None = None


@dataclass(frozen=True)
class Budget(Training):
    """A task's default: enough for LSTM and GRU of this size to learn it in seconds on two cores."""

    hidden_size: int = 32


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What every backend of a comparison is given: sequences, and the shape of the answer.

    data: seed -> Data, pure: the same bytes on every machine for generated tasks.
    output_size: None for a model without a head.
    """

    id: str
    title: str
    source: str
    input_size: int
    output_size: int | None
    readout: Readout
    loss: Literal["mse", "cross-entropy"]
    budget: Budget
    data: Callable[[int], Data]


@dataclass(frozen=True, kw_only=True)
class Task(Workload):
    """A sequence task, which is learned and scored.

    score: (prediction, test split) -> figure; prediction as the model gives it for the whole test split.
    baseline: the score of the best trivial answer, computed exactly. margin: by how much a score must beat it to count
    as learned, in the score's own unit.
    figures: what else is recorded of a prediction, by the columns of a `Record` ("mae", "rmse", "mase", "smape",
    "persistence_ratio"). losses: the score's loss by test time, or by series where there are several, [M], for paired
    verdicts; by_lead: the score by step ahead, [O].
    """

    score_name: str
    score_better: Literal["lower", "higher"]
    baseline: float
    margin: float
    score: Callable[[Array, Split], float]
    figures: Callable[[Array, Split], Mapping[str, float]] | None = None
    losses: Callable[[Array, Split], Array] | None = None
    by_lead: Callable[[Array, Split], Array] | None = None

    def learned(self, score: float, bar: float | None = None) -> bool:
        """Tell whether a score beats the baseline by the margin, or the bar that is given in place of it.

        A bar that is below the baseline, where less is better, is beaten by the same share of it: the whole margin may
        be more than there is.
        """
        beaten, lower = self.baseline if bar is None else bar, self.score_better == "lower"
        share = beaten / self.baseline if lower and 0 < beaten < self.baseline else 1.0
        return bool((beaten - score if lower else score - beaten) >= self.margin * share)


@dataclass(frozen=True, kw_only=True)
class FixedModel(Workload):
    """A trained model: it is checked and timed with the weights that it brings, and neither trained nor scored.

    params: in canonical form.
    """

    params: Params
