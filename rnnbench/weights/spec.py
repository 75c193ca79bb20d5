"""What travels between files and sessions, and what a converter is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rnnbench.model import Array, Model, Params, State

# Of what is in a file that no converter opens, and what makes one of it that can be read.
_PICKLED = (
    'a pickle, which is never opened; save its tensors: python -c "import torch; from safetensors.torch import '
    "save_file; save_file(torch.load('FILE.pt', weights_only=True), 'FILE.safetensors')\", or of a whole module its "
    "state_dict()"
)
_KERAS = "a Keras model; convert it: python -m tf2onnx.convert --keras FILE --output FILE.onnx"
FOREIGN = dict.fromkeys((".pt", ".pth", ".ckpt", ".bin", ".pkl"), _PICKLED) | dict.fromkeys((".keras", ".h5"), _KERAS)

ATTACHED = "rnnbench"  # the key that `Trained.attached` has among a file's metadata


@dataclass(frozen=True)
class Probe:
    """What an interpreter other than ours made of the file itself, for the model to be held to, in float64.

    x [T, B, I]; state: as `Session.forward` takes it; y: as it gives it. layers: each layer's name and outputs
    [T, B, D*H], NaN where the file keeps none. noise: by how much rounding to the file's own dtype moved y, at most.
    """

    x: Array
    state: State
    y: Array
    layers: tuple[tuple[str, Array], ...]
    noise: float


@dataclass(frozen=True)
class Trained:
    """A model and its parameters, canonical names and layouts, checked by `Model.check_params`.

    remarks: lines for the user on what is odd in the file, though it can be read. probes: what the file computes, where
    it can be executed; `load_weights` holds the model to them and lets them go. attached: a text that travels with the
    weights, as a stranger may have written it: how a forecaster uses them.
    """

    model: Model
    params: Params
    remarks: tuple[str, ...] = ()
    probes: tuple[Probe, ...] = ()
    attached: str = ""


@dataclass(frozen=True)
class Converter:
    """A file format.

    suffix: of its files, with the dot, lower case. read: raises UsageError, one line naming what is wrong, for a file
    that cannot be understood; it runs no code that the file holds. Its second argument is what the user says the
    cell is, for a file that does not tell. write: raises UsageError for a model that the
    format cannot express. Both import what they need when they are called. reread: whether what was written is read
    again, the text that is attached too, and held to what it computes, before it is put in place.
    """

    id: str
    suffix: str
    title: str
    read: Callable[[Path, str | None], Trained]
    write: Callable[[Path, Trained], None]
    reread: bool = False
