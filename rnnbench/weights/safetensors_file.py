"""Weights as safetensors: canonical names and layouts, and the model in the header's metadata, every value a string.
A torch state_dict is read too, without any metadata.

The safetensors package checks the container itself: a header of sane size, tensors without overlap or hole.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

from rnnbench import atomic
from rnnbench.errors import UsageError
from rnnbench.hookspecs import hookimpl
from rnnbench.model import Model, Params
from rnnbench.records.fields import Name, fitted
from rnnbench.weights.spec import ATTACHED, Converter, Trained
from rnnbench.weights.state_dict import is_state_dict, recognised

FORMAT = "rnnbench"
VERSION = "1"
SIZES = ("input_size", "hidden_size", "output_size", "layers")
WORDS = ("cell", "readout", "dtype")
TRUTH = {"true": True, "false": False}
SIZE = re.compile(r"[1-9][0-9]{0,8}")
NO_HEAD = "none"
ALIGNED = 8  # bytes, of the header's length


def write(path: Path, trained: Trained) -> None:
    from safetensors.numpy import save

    model = trained.model
    metadata = {"format": FORMAT, "version": VERSION, "bidirectional": str(model.bidirectional).lower()}
    metadata |= {name: str(getattr(model, name)) for name in WORDS + SIZES}
    if model.output_size is None:
        metadata["output_size"] = NO_HEAD
    if trained.attached:
        metadata[ATTACHED] = trained.attached
    atomic.write(path, _ordered(save(model.check_params(trained.params), metadata)))


def _ordered(content: bytes) -> bytes:
    """Return a file with its header in one order: the package's own is another one each time."""
    size = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    padded = header.encode()
    padded = padded.ljust(-(-len(padded) // ALIGNED) * ALIGNED)
    return len(padded).to_bytes(8, "little") + padded + content[8 + size :]


def read(path: Path, cell: str | None = None) -> Trained:
    """Read a model; cell: for a torch state_dict that does not tell its own.

    Raises UsageError naming what is wrong: the container, the metadata, or a tensor.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            names = fitted(list[Name], list(file.keys()), "a tensor's name")
            metadata = file.metadata() or {}
            foreign = metadata.get("format") != FORMAT and is_state_dict(names)
            model = None if foreign else _model(path, metadata, len(names))
            params = {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise UsageError(f"{str(path)!r} is not a safetensors file that can be read: {str(error)[:200]}") from None
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error}") from None
    except TypeError as error:  # NumPy lacks the type: bfloat16, float8
        raise UsageError(f"{str(path)!r} holds tensors that NumPy cannot: {error}; save them as float32") from None
    try:
        found = recognised(params, cell, metadata) if model is None else _checked(model, params)
        return replace(found, attached=metadata.get(ATTACHED, ""))
    except UsageError as error:
        raise UsageError(f"{str(path)!r}: {error}") from None


def _checked(model: Model, params: Params) -> Trained:
    for name, value in params.items():
        if value.dtype != model.dtype:
            raise UsageError(f"it holds {name!r} as {value.dtype}; its metadata says {model.dtype}")
    return Trained(model, model.check_params(params))


def _model(path: Path, metadata: dict[str, str], tensors: int) -> Model:
    if metadata.get("format") != FORMAT:
        raise UsageError(f"{str(path)!r} does not say which model it holds; write it with rnnbench.save_weights")
    if metadata.get("version") != VERSION:
        raise UsageError(
            f"{str(path)!r} has version {metadata.get('version')!r:.60} of the format, not {VERSION}; update rnnbench"
        )
    if missing := [name for name in (*WORDS, *SIZES, "bidirectional") if name not in metadata]:
        raise UsageError(f"{str(path)!r} does not say its {missing[0]}; write it anew")
    sizes = {name: _size(path, name, metadata[name]) for name in SIZES}
    if metadata["bidirectional"] not in TRUTH:
        raise UsageError(
            f"{str(path)!r} says bidirectional is {metadata['bidirectional']!r:.60}; it must be true or false"
        )
    if (sizes["layers"] or 0) > tensors:  # before anything is made for every layer that a stranger claims
        raise UsageError(f"{str(path)!r} says it has {sizes['layers']} layers but holds {tensors} tensors")
    words = {name: fitted(Name, metadata[name], name) for name in WORDS}
    try:
        return Model(**words, **sizes, bidirectional=TRUTH[metadata["bidirectional"]])  # type: ignore[arg-type]
    except UsageError as error:
        raise UsageError(f"{str(path)!r}: {error}") from None


def _size(path: Path, name: str, value: str) -> int | None:
    if name == "output_size" and value == NO_HEAD:
        return None
    if not SIZE.fullmatch(value):
        raise UsageError(f"{str(path)!r} says {name} is {value[:20]!r}; it must be a whole number of at least 1")
    return int(value)


@hookimpl
def rnnbench_converters() -> list[Converter]:
    return [Converter("safetensors", ".safetensors", "safetensors, canonical names", read, write, reread=True)]
