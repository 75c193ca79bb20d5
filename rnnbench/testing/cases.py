"""The cases a backend is given: small models with random weights, biases, inputs and states, decided by a seed.

Sizes differ from one another, so that no transposed weight or swapped axis fits by chance.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rnnbench.backends.base import Case, Session
from rnnbench.backends.numpy_reference import NumpyBackend
from rnnbench.model import Array, Model, Params, Readout, State
from rnnbench.training import DEFAULT_ADAM, Adam

SEED = 20


@dataclass(frozen=True)
class Shape:
    """The sizes of a case; `title` names it in a result."""

    title: str
    T: int
    B: int
    I: int
    H: int
    O: int | None
    layers: int = 1
    bidirectional: bool = False
    readout: Readout = "last"
    loss: str = "mse"


PLAIN = Shape("one layer", T=6, B=5, I=3, H=9, O=2)
STACKED = Shape("two layers, no head", T=5, B=3, I=4, H=7, O=None, layers=2, readout="all")
TWO_WAY = Shape(
    "two bidirectional layers", T=7, B=4, I=3, H=6, O=5, layers=2, bidirectional=True, readout="all",
    loss="cross-entropy",
)  # fmt: skip
BOTH_ENDS = Shape("the final states of both directions", T=6, B=4, I=2, H=5, O=None, bidirectional=True)
SHAPES = (PLAIN, STACKED, TWO_WAY)
# 60 million operations a call for an LSTM: enough that a library which may use more threads will.
LARGE = Shape("one large layer", T=10, B=64, I=64, H=128, O=1)


@dataclass(frozen=True)
class ConformanceCase:
    """A shape of one cell in one dtype. ragged: rows end at different lengths, a 1 and a T among them, and NaN lies in
    the padding of x and of a target of floats."""

    shape: Shape
    cell: str
    dtype: str
    ragged: bool = False

    @property
    def title(self) -> str:
        return f"{self.cell} {self.dtype}, {self.shape.title}"

    @cached_property
    def model(self) -> Model:
        s = self.shape
        return Model(self.cell, s.I, s.H, s.O, s.layers, s.bidirectional, s.readout, self.dtype)

    def request(self, training: bool = False, streaming: bool = False) -> Case:
        T = 1 if streaming else self.shape.T
        return Case(self.model, self.shape.B, T, training=training, streaming=streaming, lengths=self.ragged)

    @cached_property
    def params(self) -> Params:
        return self.model.init(SEED)

    @cached_property
    def lengths(self) -> Array | None:
        if not self.ragged:
            return None
        lengths = np.random.default_rng(SEED).integers(1, self.shape.T + 1, self.shape.B)
        lengths[0], lengths[-1] = 1, self.shape.T
        return lengths

    @cached_property
    def past(self) -> Array:
        """Return what lies past a row's length, bool [T, B]."""
        length = np.full(self.shape.B, self.shape.T) if self.lengths is None else self.lengths
        return np.asarray(np.arange(self.shape.T)[:, None] >= length)

    @property
    def x(self) -> Array:
        """Draw x [T, B, I], a fresh copy each time."""
        s = self.shape
        x = np.random.default_rng(SEED + 1).standard_normal((s.T, s.B, s.I)).astype(self.dtype)
        x[self.past] = np.nan
        return x

    @property
    def state(self) -> State:
        """Draw initial states that are not zero, fresh copies each time."""
        s, rng = self.shape, np.random.default_rng(SEED + 2)
        shape = (s.layers * self.model.directions, s.B, s.H)
        return tuple(rng.uniform(-1, 1, shape).astype(self.dtype) for _ in self.model.spec.states)

    @property
    def target(self) -> Array:
        """Draw a target, a fresh copy each time."""
        s, rng = self.shape, np.random.default_rng(SEED + 3)
        steps = (s.T,) if s.readout == "all" else ()
        if s.loss == "cross-entropy":
            return rng.integers(0, s.O or self.model.features, (*steps, s.B))
        target = rng.standard_normal((*steps, s.B, s.O or self.model.features)).astype(self.dtype)
        if steps:
            target[self.past] = np.nan
        return target

    def reference(self, params: Params | None = None, optimiser: Adam = DEFAULT_ADAM) -> Session:
        """Make the float64 reference, with these parameters or the case's own."""
        wide = {name: value.astype("float64") for name, value in (params or self.params).items()}
        return NumpyBackend(1).session(replace(self.model, dtype="float64"), wide, self.shape.loss, optimiser)
