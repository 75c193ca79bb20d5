"""Files of weights as strangers may make them: their structure damaged, in what protobuf and safetensors can write."""

import json
import math
import struct
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import rnnbench
from rnnbench.errors import RnnbenchWarning, UsageError
from rnnbench.report.text import printable
from rnnbench.weights.state_dict import to_state_dict
from validation.damage import damaged, encoded, written
from validation.strangers import Trial, Wrong, one_line


def use_weights(path: Path) -> str:
    """Read a model: it is whole, its parameters fit it and are finite, or one line says why not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnbenchWarning)
        try:
            found = rnnbench.load_weights(path)
        except UsageError as error:
            one_line(printable(str(error)))
            return "refused"
    if {name: value.shape for name, value in found.params.items()} != found.model.parameter_shapes():
        raise Wrong("the parameters do not fit the model")
    if not all(np.isfinite(value).all() for value in found.params.values()):
        raise Wrong("a parameter is not finite")
    return "read"


def safetensors(folder: Path) -> Trial:
    """The header's JSON damaged, and the numbers behind it."""
    from safetensors.numpy import save

    sound = []
    for model in (rnnbench.Model("gru", 2, 3, 1), rnnbench.Model("lstm", 1, 2, None, 2, True, dtype="float64")):
        rnnbench.save_weights(folder / "a.safetensors", model, model.init(0))
        sound += [(folder / "a.safetensors").read_bytes(), save(to_state_dict(model, model.init(0)))]

    def trial(_: Path, random: Random) -> str:
        content = random.choice(sound)
        (length,) = struct.unpack("<Q", content[:8])
        header, data = json.loads(content[8 : 8 + length]), bytearray(content[8 + length :])
        if random.random() < 0.2:
            at = random.randrange(len(data))
            data[at : at + 8] = struct.pack("<d", random.choice((math.nan, math.inf, 1e300, 0.0, 5e-324)))[
                : len(data) - at
            ]
        else:
            header = damaged(header, random)
        text = encoded(written(header), random)
        claimed = len(text) if random.random() > 0.05 else random.choice((0, 1, 2**31, 2**63, len(text) + 5))
        path = folder / "b.safetensors"
        path.write_bytes(struct.pack("<Q", claimed) + text + bytes(data))
        return use_weights(path)

    return trial


def onnx(folder: Path) -> Trial:
    """Nodes, attributes, initialisers, shapes, types and names of sound graphs."""
    from onnx import ModelProto

    sound = []
    for model in (
        rnnbench.Model("gru", 2, 3, 1),
        rnnbench.Model("lstm", 1, 2, None, 2, True),
        rnnbench.Model("rnn-tanh", 2, 2, 2, readout="all", dtype="float64"),
    ):
        rnnbench.save_weights(folder / "a.onnx", model, model.init(0))
        sound.append((folder / "a.onnx").read_bytes())

    def trial(_: Path, random: Random) -> str:
        model = ModelProto.FromString(random.choice(sound))
        for _n in range(random.choice((1, 1, 2, 4))):
            _hurt(model, random)
        path = folder / "b.onnx"
        path.write_bytes(model.SerializeToString())
        return use_weights(path)

    return trial


def _messages(message: Any) -> Iterator[Any]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if field.is_repeated else (value,):
                yield from _messages(inner)


def _hurt(model: Any, random: Random) -> None:
    """Change one field of one message anywhere in a model, in a way that protobuf can still write."""
    message = random.choice(list(_messages(model)))
    declared = list(message.DESCRIPTOR.fields)
    used = [field for field, _ in message.ListFields()]
    field = random.choice(used if used and random.random() < 0.8 else declared)
    value = getattr(message, field.name)
    if field.is_repeated and len(value) and random.random() < 0.7:
        at, how = random.randrange(len(value)), random.choice(("remove", "again", "exchange", "change"))
        if how == "remove":
            del value[at]
        elif how == "again":
            value.extend([value[at]])
        elif how == "exchange":
            kept = list(value)
            random.shuffle(kept)
            del value[:]
            value.extend(kept)
        elif field.message_type is None:
            value[at] = _scalar(field, value[at], model, random)
        return
    with suppress(TypeError, ValueError, AttributeError):  # what this field does not hold
        if field.message_type is not None:
            if random.random() < 0.5:
                message.ClearField(field.name)
            elif field.is_repeated:
                value.add()
            else:
                value.SetInParent()
        elif field.is_repeated:
            value.append(_scalar(field, None, model, random))
        elif random.random() < 0.3:
            message.ClearField(field.name)
        else:
            setattr(message, field.name, _scalar(field, value, model, random))


def _scalar(field: Any, value: Any, model: Any, random: Random) -> Any:
    """Return a value of the field's own type: strange, or one that another message has."""
    if field.cpp_type == field.CPPTYPE_STRING:
        names = [name for node in model.graph.node for name in (*node.input, *node.output, node.op_type)]
        names += [
            "x",
            "",
            "GRU",
            "LSTM",
            "Loop",
            "If",
            "\x1b[31mred",
            "a\nb",
            "../x",
            "x" * 5000,
            "\u202e",
            "reverse",
            "Relu",
        ]
        chosen = random.choice(names)
        if field.type == field.TYPE_BYTES:
            return random.choice((chosen.encode(), b"\xff\x00", bytes(value or b"")[:-1], bytes(8), bytes(1000)))
        return chosen
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return random.choice((math.nan, math.inf, 0.0, -1.0, 1e30, 0.5))
    if field.cpp_type == field.CPPTYPE_ENUM:
        return random.choice([each.number for each in field.enum_type.values])
    return random.choice(
        (0, 1, -1, 2, 3, 7, 2**31 - 1, -(2**31), (value or 0) + 1, *((2**62,) if "64" in str(field.type) else ()))
    )
