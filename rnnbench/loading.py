"""One backend, one file: sessions in this process, and trained weights read and written."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rnnbench.backends.base import Session, load_factory
from rnnbench.errors import UsageError
from rnnbench.model import Model, Params
from rnnbench.registry import registry
from rnnbench.training import DEFAULT_ADAM, LOSSES, Adam, unknown_loss
from rnnbench.weights.spec import Trained


def session(
    backend: str, model: Model, params: Params, threads: int = 1, loss: str = "mse", optimiser: Adam = DEFAULT_ADAM
) -> Session:
    """Make a session of `backend` in this process.

    Raises UnknownName for a backend nobody registered, UsageError where it is not installed, something is of a wrong
    type, or `params` do not fit.
    Some frameworks fix their number of threads at import: set it in the environment too, or use `rnnbench compare`,
    which gives each backend a process of its own.
    """
    info = registry().backend(backend)
    for name, value, kind in (("model", model, Model), ("params", params, Mapping), ("optimiser", optimiser, Adam)):
        if not isinstance(value, kind):
            raise UsageError(f"{name} must be of type {kind.__name__}; got {type(value).__name__}")
    if isinstance(threads, bool) or not isinstance(threads, int | np.integer) or threads < 1:
        raise UsageError(f"threads must be a whole number of at least 1; got {threads!r}")
    if loss not in LOSSES:
        raise unknown_loss(loss)
    if absent := info.missing():
        raise UsageError(f"backend {backend!r} needs {absent.module}, which is not installed; {absent.remedy}")
    session: Session = load_factory(info.factory)(int(threads)).session(model, params, loss, optimiser)
    return session


def load_weights(path: str | os.PathLike[str], cell: str | None = None) -> Trained:
    """Read the model and parameters in a file; its suffix says which converter reads it.

    cell: for a file that does not tell its own, as the state_dict of an `nn.RNN` does not. Raises UsageError, one line,
    for a file that is not there, that the converter cannot understand, or that holds another cell.
    """
    converter = registry().converter(Path(path))
    if not Path(path).is_file():
        raise UsageError(f"there is no file {str(path)!r}")
    try:
        trained = converter.read(Path(path), cell)
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error.strerror or error}") from None
    if cell not in (None, trained.model.cell):
        raise UsageError(f"{str(path)!r} holds the cell {trained.model.cell}, not {cell}; leave the cell out")
    return trained


def save_weights(path: str | os.PathLike[str], model: Model, params: Params) -> None:
    """Write a file that `load_weights` reads back bit for bit; its suffix says which converter writes it.

    Raises UsageError for parameters that do not fit the model, or a model that the format cannot express.
    """
    registry().converter(Path(path)).write(Path(path), Trained(model, model.check_params(params)))
