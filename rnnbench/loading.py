"""One backend, one file: sessions in this process, and trained weights read and written."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from rnnbench import atomic
from rnnbench.backends.base import Session, load_factory
from rnnbench.errors import UsageError
from rnnbench.model import Array, Model, Params, State
from rnnbench.registry import registry
from rnnbench.training import DEFAULT_ADAM, LOSSES, Adam, unknown_loss
from rnnbench.weights.spec import FOREIGN, Converter, Probe, Trained

SAME = 1e-6  # of the largest output: two float64 computations, of which one has added two biases in float32
MARGIN, MOST = 16, 1e-2  # times what rounding moves the file's own outputs, but never more than a hundredth of them
LONGEST = 600  # characters of what is said of a file


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
    converter = _reader(Path(path))
    if not Path(path).is_file():
        raise UsageError(f"there is no file {str(path)!r}")
    try:
        trained = converter.read(Path(path), cell)
        parts = next(filter(None, (_parting(trained, probe) for probe in trained.probes)), None)
    except UsageError as error:  # a file's own names stand in it, escape codes and all
        raise UsageError(printable(str(error))) from None
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error.strerror or error}") from None
    if cell not in (None, trained.model.cell):
        raise UsageError(f"{str(path)!r} holds the cell {trained.model.cell}, not {cell}; leave the cell out")
    if parts is not None:
        raise UsageError(printable(f"{str(path)!r} computes something else than was read from it: {parts}"))
    return replace(trained, remarks=tuple(map(printable, trained.remarks)), probes=())


def _reader(path: Path) -> Converter:
    try:
        return registry().converter(path)
    except UsageError:
        if foreign := FOREIGN.get(path.suffix.lower()):
            raise UsageError(f"{str(path)!r} is {foreign}") from None
        raise


def printable(text: str) -> str:
    line = "".join(char if char.isprintable() else " " if char.isspace() else "?" for char in text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _parting(trained: Trained, probe: Probe) -> str | None:
    """Return the first place where the model departs from what the file computes; None where it does not."""
    model, allowed = trained.model, SAME + MARGIN * probe.noise / max(1e-300, float(np.abs(probe.y).max(initial=0)))
    allowed = min(MOST, allowed)
    if _differs(_computed(model, trained.params, probe), probe.y, allowed) is None:
        return None
    for number, (what, steps) in enumerate(probe.layers, 1):
        part = replace(model, layers=number, output_size=None, readout="all")
        if where := _differs(_computed(part, trained.params, probe), steps, allowed):
            return f"{what} gives {where}"
    return f"its output is {_differs(_computed(model, trained.params, probe), probe.y, allowed)}"


def _computed(model: Model, params: Params, probe: Probe) -> Array:
    wide = replace(model, dtype="float64")
    own = {name: params[name].astype("float64") for name in wide.parameter_shapes()}
    state: State = tuple(value[: model.layers * model.directions] for value in probe.state)
    return session("numpy", wide, own).forward(probe.x, state=state)[0]


def _differs(ours: Array, theirs: Array, allowed: float) -> str | None:
    """Say where, in words; values that the file does not keep are NaN and say nothing, unless all of them are."""
    known = ~np.isnan(theirs)
    limit = allowed * float(np.abs(theirs[known]).max(initial=0.0))
    apart = ~(np.abs(ours - theirs) <= limit) & known
    if not apart.any() and known.any():
        return None
    place = tuple(int(n) for n in np.argwhere(apart)[0]) if apart.any() else (0,) * ours.ndim
    axes = ("step", "row", "unit")[-len(place) :]
    at = ", ".join(f"{axis} {n}" for axis, n in zip(axes, place, strict=True))
    return f"{theirs[place]:.6g} at {at} when the file is executed, {ours[place]:.6g} as it was read"


def save_weights(path: str | os.PathLike[str], model: Model, params: Params, attached: str = "") -> None:
    """Write a file that `load_weights` reads back bit for bit; its suffix says which converter writes it. Stopped at
    any moment, it leaves what was there before.

    attached: a text to travel with the weights. Raises UsageError for parameters that do not fit the model, a model or
    a text that the format cannot express, or a place that cannot be written.
    """
    trained = Trained(model, model.check_params(params), attached=attached)
    converter = registry().converter(Path(path))
    if attached and not converter.reread:
        raise UsageError(f"a {converter.suffix} file holds weights alone; use .safetensors or .onnx")
    try:
        with atomic.staged(Path(path)) as place:
            converter.write(place, trained)
            if converter.reread and place.is_file():  # not a device or a pipe
                _check_written(converter, place, trained, str(path))
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror or error}; name another file") from None


def _check_written(converter: Converter, place: Path, meant: Trained, path: str) -> None:
    """Raise UsageError unless a file, which is to be put at `path`, holds what was to be written, and computes it."""
    try:
        found = converter.read(place, meant.model.cell)
    except UsageError as error:
        raise UsageError(printable(str(error).replace(str(place), path))) from None
    same = found.model == meant.model and found.attached == meant.attached
    same &= all(found.params[name].tobytes() == value.tobytes() for name, value in meant.params.items())
    parts = next(filter(None, (_parting(found, probe) for probe in found.probes)), None)
    if not same or parts is not None:
        raise UsageError(f"{path!r} would not hold the model it was written for: {parts or 'other weights'}; report it")
