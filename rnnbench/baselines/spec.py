"""What a baseline is: a method without recurrence that an honest person tries first."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from rnnbench.model import Array, Readout
from rnnbench.tasks.spec import Split


@dataclass(frozen=True)
class Problem:
    """All that a baseline is told of a task. train: the only data it may fit; its windows, where the task forecasts
    series, hold these series up to the end of training. output_size: O, or the number of classes."""

    train: Split
    loss: Literal["mse", "cross-entropy"]
    output_size: int
    readout: Readout
    seed: int


class Fitted(Protocol):
    """A fitted baseline."""

    @property
    def parameters(self) -> int:
        """Return how many numbers it chose by looking at the training split."""
        ...

    def predict(self, split: Split) -> Array:
        """Return the answers to a split, [N, O] or [T, N, O] as a model gives them: for classes, larger for likelier.

        Of a split's windows it may look at `past(n)` of each sequence, never at the target.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A method without recurrence.

    unsuitable: why it cannot answer such a problem, or None. blind: its answer does not look at the window's content,
    or merely repeats it: `learned` is said of a row that beats all of these. source: of the formula.
    """

    id: str
    title: str
    source: str
    unsuitable: Callable[[Problem], str | None]
    fit: Callable[[Problem], Fitted]
    blind: bool = False
