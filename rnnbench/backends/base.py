"""The backend contract, in two stages, because importing a framework takes seconds and `rnnbench --help` must not.

1. In the main process a plugin yields a `BackendInfo`: what it is and where its factory lies.
2. In a worker process (or through `rnnbench.session`) the factory is imported and called with the number of threads.
   It returns a `Backend`, which turns a model and its parameters into a `Session`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:  # NumPy stays out: a backend's light face imports this module
    from rnnbench.model import Array, Model, Params, State
    from rnnbench.training import Adam

API_VERSION = 1
WHOLE_SEQUENCE = "a bidirectional model needs the whole sequence"  # why it has no single steps
ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Requirement:
    """A module that must be importable, and the command that makes it so."""

    module: str
    remedy: str

    def met(self) -> bool:
        """Tell whether it is there, without importing it."""
        try:
            return find_spec(self.module) is not None
        except (ImportError, ValueError):
            return False


@dataclass(frozen=True)
class BackendInfo:
    """What a backend says of itself before anything heavy is imported.

    factory: import path ``"package.module:function"``; the function takes ``threads: int`` and returns a `Backend`.
    cells: ids it can run, or None for every registered cell. trains: False for a runtime that only infers; it is
    then scored with weights that the `numba` backend trained.
    """

    id: str
    title: str
    factory: str
    api: int = API_VERSION
    requires: tuple[Requirement, ...] = ()
    devices: tuple[str, ...] = ("cpu",)
    cells: tuple[str, ...] | None = None
    dtypes: tuple[str, ...] = ("float32", "float64")
    trains: bool = True

    def missing(self) -> Requirement | None:
        """Return the first requirement that is not installed, found without importing it."""
        return next((requirement for requirement in self.requires if not requirement.met()), None)


@dataclass(frozen=True)
class Case:
    """What a backend is about to be asked, for `Backend.unsupported`."""

    model: Model
    batch_size: int
    seq_len: int
    threads: int = 1
    training: bool = False
    streaming: bool = False
    lengths: bool = False

    def refusal(self) -> str | None:
        """Return why no backend can run it, or None: a model that also reads from the end has no single steps."""
        return WHOLE_SEQUENCE if self.streaming and self.model.bidirectional else None


@dataclass(frozen=True)
class CompileReport:
    """Seconds spent compiling (or loading compiled code) so far, and whether the kernel cache was "cold" or "warm"."""

    seconds: float
    cache: str


@runtime_checkable
class Session(Protocol):
    """A model with its parameters, ready to compute. Arrays are time-major; inputs are never changed."""

    def forward(self, x: Array, lengths: Array | None = None, state: State | None = None) -> tuple[Array, State]:
        """Infer from x [T, B, I], lengths int64 [B]: (y, state), y [B, O] or [T, B, O] by the model's readout
        (features D*H without a head), state a tuple in the cell's order, each [L*D, B, H]. y past a length is 0."""

    def step(self, x_t: Array, state: State | None) -> tuple[Array, State]:
        """Take one time step: x_t [B, I] -> (y_t [B, O], state). None starts from zeros. The session owns the state it
        returns and may update it in place. Raises Unsupported for a bidirectional model."""

    def gradients(
        self, x: Array, target: Array, lengths: Array | None = None, state: State | None = None
    ) -> tuple[float, Params]:
        """Return (loss, {canonical name: gradient}) at the current parameters, which stay as they are."""

    def train_step(self, x: Array, target: Array, lengths: Array | None = None) -> float:
        """Take one optimiser step, and return the loss before it."""

    def parameters(self) -> Params:
        """Return copies of the current parameters, canonical names and layouts."""


class Backend(Protocol):
    """A runtime, imported and set to a number of threads. A class that names it as its base gets the two defaults."""

    version: str

    def unsupported(self, case: Case) -> str | None:
        """Return why the case cannot run, for the table; None if it can."""
        return case.refusal()

    def session(self, model: Model, params: Params, loss: str = "mse", optimiser: Adam = ...) -> Session:
        """Make a session of its own; loss is "mse" or "cross-entropy"."""

    def compile_report(self) -> CompileReport | None:
        """Return what compiling has cost this process so far; None where nothing is compiled."""
        return None


def load_factory(path: str) -> Any:
    """Return the function or class that ``"package.module:function"`` names."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
