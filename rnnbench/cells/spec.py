"""What a cell is: data, and a pure elementwise pair of functions per stage.

    pre_t    =  W · x_t  +  R · operand  +  b         one row per accumulator
    state_t  =  forward(pre_t, state_{t-1})           elementwise; h = state[0]

Dimensions used throughout the project: T time steps, B batch, I input size, H hidden size, G accumulators,
L layers, D directions, O output size.

A pair is made by a function of a namespace ``m`` (see ``maths.py``), so that the same source runs on NumPy arrays, on
SIMD vectors in Numba, and on the tensors of any framework:

    forward(pre, prev)            -> (result, saved)
    backward(saved, prev, dresult) -> (dpre, dprev)

All are tuples of elementwise values, each `[B, H]` when they are arrays. ``prev`` holds the cell's states before the
step, ``saved`` whatever ``backward`` needs again. In the last stage ``result`` is the tuple of new states; in an
earlier stage it is a tuple of one: the operand that the next stage's recurrent product multiplies in place of h.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rnnbench.cells.maths import Maths, Value, numpy_maths

Values = tuple[Value, ...]
Forward = Callable[[Values, Values], tuple[Values, Values]]
Backward = Callable[[Values, Values, Values], tuple[Values, Values]]
Pair = Callable[[Maths], tuple[Forward, Backward]]

H_STATE = "h"
STAGE_RESULT = "stage"


@dataclass(frozen=True)
class Accumulator:
    """One pre-activation: `W x + R operand + b`, or any part of it.

    operand: what its R multiplies: ``"h"``, ``"stage"`` (the previous stage's result), or None (it has no R).
    An accumulator with neither W nor R is its bias alone: a learned vector with one value per unit, which is how
    peepholes and the recurrent weights of an IndRNN are written.
    """

    name: str
    sees_x: bool = True
    operand: str | None = H_STATE
    forget: bool = False  # the gate that an initialiser's forget bias opens


@dataclass(frozen=True)
class Stage:
    """Accumulators that are complete at the same moment, and the pair that consumes them."""

    accumulators: tuple[Accumulator, ...]
    pair: Pair


@dataclass(frozen=True)
class Operand:
    """What a stage multiplies by W or R, and for whom. places: the accumulators that take the product, by their numbers
    within the stage; rows: theirs in W or in R."""

    places: tuple[int, ...]
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Cell:
    """A recurrent cell. ``states[0]`` is h, the output; ``source`` says where the formula comes from."""

    id: str
    title: str
    states: tuple[str, ...]
    stages: tuple[Stage, ...]
    source: str

    def __post_init__(self) -> None:
        if not self.stages or any(not stage.accumulators for stage in self.stages):
            raise ValueError(f"cell {self.id!r} needs a stage with an accumulator")
        if not self.states or self.states[0] != H_STATE:
            raise ValueError(f"cell {self.id!r}: its first state must be 'h'; got {self.states}")
        for number, stage in enumerate(self.stages):
            for a in stage.accumulators:
                if a.operand not in (H_STATE, STAGE_RESULT, None) or (number == 0 and a.operand == STAGE_RESULT):
                    raise ValueError(f"cell {self.id!r}: accumulator {a.name!r} cannot multiply {a.operand!r}")
        names = [a.name for a in self.accumulators]
        if len(set(names)) != len(names):
            raise ValueError(f"cell {self.id!r} names an accumulator twice: {names}")

    @property
    def accumulators(self) -> tuple[Accumulator, ...]:
        """Return all stages' accumulators in canonical order, which is that of b's rows."""
        return tuple(a for stage in self.stages for a in stage.accumulators)

    @property
    def w_accumulators(self) -> tuple[Accumulator, ...]:
        """Return those that see x, in the order of W's rows."""
        return tuple(a for a in self.accumulators if a.sees_x)

    @property
    def r_accumulators(self) -> tuple[Accumulator, ...]:
        """Return those with a recurrent product, in the order of R's rows."""
        return tuple(a for a in self.accumulators if a.operand is not None)

    def operands(self, stage: Stage) -> tuple[Operand, Operand, Operand]:
        """Return a stage's operands: x, h, and the previous stage's result."""

        def operand(all_rows: tuple[Accumulator, ...], taken: Callable[[Accumulator], bool]) -> Operand:
            places = tuple(n for n, a in enumerate(stage.accumulators) if taken(a))
            return Operand(places, tuple(all_rows.index(stage.accumulators[n]) for n in places))

        return (
            operand(self.w_accumulators, lambda a: a.sees_x),
            operand(self.r_accumulators, lambda a: a.operand == H_STATE),
            operand(self.r_accumulators, lambda a: a.operand == STAGE_RESULT),
        )

    @cached_property
    def saved_counts(self) -> tuple[int, ...]:
        """Return how many values each stage's forward saves: found by running it once, not declared."""
        m = numpy_maths(np.dtype("float64"))
        one = np.zeros(1)
        prev = (one,) * len(self.states)
        return tuple(len(stage.pair(m)[0]((one,) * len(stage.accumulators), prev)[1]) for stage in self.stages)
