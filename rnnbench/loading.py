"""One backend, one file: sessions in this process, and trained weights read and written."""

import os
from pathlib import Path

from rnnbench import atomic
from rnnbench.backends.base import Session, load_factory
from rnnbench.errors import UsageError
from rnnbench.model import Model, Params
from rnnbench.registry import registry
from rnnbench.training import DEFAULT_ADAM, Adam
from rnnbench.weights.spec import Trained


def session(
    backend: str, model: Model, params: Params, threads: int = 1, loss: str = "mse", optimiser: Adam = DEFAULT_ADAM
) -> Session:
    """Make a session of `backend` in this process.

    Raises UnknownName for a backend nobody registered, UsageError where it is not installed or `params` do not fit.
    Some frameworks fix their number of threads at import: set it in the environment too, or use `rnnbench compare`,
    which gives each backend a process of its own.
    """
    info = registry().backend(backend)
    if absent := info.missing():
        raise UsageError(f"backend {backend!r} needs {absent.module}, which is not installed; {absent.remedy}")
    session: Session = load_factory(info.factory)(threads).session(model, params, loss, optimiser)
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
    """Write a file that `load_weights` reads back bit for bit; its suffix says which converter writes it. Stopped at
    any moment, it leaves what was there before.

    Raises UsageError for parameters that do not fit the model, a model that the format cannot express, or a place that
    cannot be written.
    """
    converter, trained = registry().converter(Path(path)), Trained(model, model.check_params(params))
    try:
        with atomic.staged(Path(path)) as place:
            converter.write(place, trained)
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror or error}; name another file") from None
