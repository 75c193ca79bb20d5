"""A model from an ONNX file: what torch, tf2onnx and rnnbench itself export.

What is refused, in one line that names it: functions, control flow, operators that are neither a recurrent layer nor a
linear head nor a way from one to the other, and tensors larger than what the file holds. What is left is followed
(`onnx_trace.py`) and then executed (`onnx_run.py`), at two sizes where its axes are free.
"""

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from rnnbench.errors import UsageError
from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array, Model
from rnnbench.records.fields import made
from rnnbench.weights.onnx_layout import DEFAULTS
from rnnbench.weights.onnx_probe import probe
from rnnbench.weights.onnx_run import Interpreters
from rnnbench.weights.onnx_trace import FREE_SIZES, Trace
from rnnbench.weights.onnx_write import LARGEST_FILE, MODEL_KEY, build, onnx_module, write
from rnnbench.weights.spec import ATTACHED, Converter, Probe, Trained

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

OWN_STEPS_AND_ROWS = (5, 3)  # of the random inputs that a file of ours is executed on
FLOATS = ("float32", "float64")
OLDEST = (
    7  # version of the operators; before it they broadcast and drop out by other rules, and no interpreter runs them
)
UNROLLED = (
    f"it holds no recurrent operator ({', '.join(sorted(DEFAULTS))}): its steps were unrolled, or are single calls of "
    "a cell (nn.LSTMCell). Whole they are kept, nn.RNN, nn.GRU and nn.LSTM, by torch.onnx.export(dynamo=False), and "
    "Keras's layers by tf2onnx"
)


def read(path: Path, cell: str | None = None) -> Trained:
    """Read a model; the file itself says its cell. Raises UsageError naming what is not understood."""
    onnx = onnx_module()
    try:
        file = onnx.load_model(path, load_external_data=False)
    except OSError:
        raise
    except Exception as error:  # protobuf's errors are its own
        raise UsageError(f"{str(path)!r} is not an ONNX file that can be read: {_line(error)}") from None
    try:
        _read_in(onnx, path.parent, file)
        return _trained(onnx, file)
    except UsageError as error:
        raise UsageError(f"{str(path)!r} cannot be taken as a model: {error}") from None


def _trained(onnx: ModuleType, file: "ModelProto") -> Trained:
    said = {entry.key: entry.value for entry in file.metadata_props}
    trained = _own(onnx, file, said[MODEL_KEY]) if MODEL_KEY in said else _followed(onnx, file)
    return replace(trained, attached=said.get(ATTACHED, ""))


def _own(onnx: ModuleType, file: "ModelProto", said: str) -> Trained:
    """Read a file that holds a `Scan`, which is not followed: it must be, to the byte, what is written for the model
    that its metadata says and the canonical weights that it holds."""
    initialisers = {tensor.name: _array(onnx, tensor, repr(tensor.name)) for tensor in file.graph.initializer}
    try:
        model = made(Model, json.loads(said))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the model in its metadata is none: {_line(error)}") from None
    if model.layers > len(initialisers):  # before anything is made for every layer that a stranger claims
        raise UsageError(f"its metadata says it has {model.layers} layers; it holds {len(initialisers)} tensors")
    params = {name: initialisers[name] for name in model.parameter_shapes() if name in initialisers}
    params |= {name: value.T for name, value in params.items() if name == "head.W"}  # as `MatMul` takes it
    if odd := [name for name, value in params.items() if value.dtype != model.dtype]:
        raise UsageError(f"it holds {odd[0]!r} as {params[odd[0]].dtype}; its metadata says {model.dtype}")
    params = model.check_params(params)
    written = build(model, params)
    if _content(written) != _content(file):
        raise UsageError("its graph is not the one that is written for its model and weights; write it anew")
    x = np.random.default_rng(0).standard_normal((*OWN_STEPS_AND_ROWS, model.input_size)).astype(model.dtype)
    values, noise = Interpreters(onnx, file, initialisers).run({"x": x}, "y")
    states = (model.layers * model.directions, x.shape[1], model.hidden_size)
    zeros = tuple(np.zeros(states) for _ in model.spec.states)
    return Trained(model, params, probes=(Probe(x.astype("float64"), zeros, values["y"], (), noise),))


def _content(file: "ModelProto") -> tuple[bytes, list[tuple[str, int]]]:
    """Return all that decides what a file computes."""
    used = [(entry.domain, entry.version) for entry in file.opset_import]
    return file.graph.SerializeToString(deterministic=True), used


def _followed(onnx: ModuleType, file: "ModelProto") -> Trained:
    graph, kinds = file.graph, onnx.AttributeProto
    if file.functions:
        raise UsageError(f"it defines functions ({file.functions[0].name!r}); export it with them inlined")
    if graph.sparse_initializer:
        raise UsageError("it holds sparse tensors, which are not understood")
    initialisers = {tensor.name: _array(onnx, tensor, repr(tensor.name)) for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type in (kinds.GRAPH, kinds.GRAPHS, kinds.SPARSE_TENSOR, kinds.SPARSE_TENSORS):
                raise UsageError(f"{node.op_type} {node.name!r} holds a graph or a sparse tensor of its own")
            if attribute.ref_attr_name:
                raise UsageError(
                    f"{node.op_type} {node.name!r} takes {attribute.name!r:.60} from a function, which is not there"
                )
            for tensor in (attribute.t, *attribute.tensors):
                if attribute.type in (kinds.TENSOR, kinds.TENSORS):
                    _array(onnx, tensor, f"a constant of {node.name!r}")
    version = next((entry.version for entry in file.opset_import if entry.domain in ("", "ai.onnx")), None)
    if version is None:
        raise UsageError("it does not say which version of ONNX's operators it uses")
    if version < OLDEST:
        raise UsageError(f"it uses version {version} of ONNX's operators; {OLDEST} and later are understood")
    if not any(node.op_type in DEFAULTS for node in graph.node):
        raise UsageError(UNROLLED)
    try:
        onnx.checker.check_model(file)
    except Exception as error:  # the checker's errors share no base class
        raise UsageError(f"it breaks a rule of ONNX: {_line(error)}") from None
    traces = [Trace(onnx, graph, version, free) for free in FREE_SIZES]
    trained = traces[0].trained(initialisers)
    if not traces[0].free:
        traces = traces[:1]
    elif traces[1].trained(initialisers).model != trained.model:
        raise UsageError("it is another model when its free axes have other sizes")
    interpreters = Interpreters(onnx, file, initialisers)
    return replace(trained, probes=tuple(probe(trace, interpreters) for trace in traces))


def _read_in(onnx: ModuleType, folder: Path, file: "ModelProto") -> None:
    """Take in the weights that lie in a file beside it, as torch's exporter writes them, and nothing else: a file must
    not be able to name any other of this machine. That no link is followed onnx sees to."""
    total = 0
    for tensor in file.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            said = {entry.key: entry.value for entry in tensor.external_data}
            where, length = said.get("location", ""), said.get("length", "")
            if set("/\\") & set(where) or not said.keys() <= {"location", "offset", "length", "checksum"}:
                raise UsageError(f"{tensor.name!r} lies in {where!r}; only a file in the same folder is opened")
            try:
                width = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
                size = int(np.prod([abs(dim) for dim in tensor.dims], dtype=object)) * width
                if length != str(size) or (total := total + size) > LARGEST_FILE:
                    raise UsageError(f"it takes {size} bytes, and is said to have {length or 'all'}")
                onnx.external_data_helper.load_external_data_for_tensor(tensor, str(folder))
            except Exception as error:  # onnx's errors share no base class
                raise UsageError(f"{tensor.name!r} cannot be read from {where!r} beside it: {_line(error)}") from None


def _array(onnx: ModuleType, tensor: "TensorProto", what: str) -> Array:
    """Return a tensor of the file itself. Raises UsageError where it lies elsewhere or is not what it declares."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise UsageError(f"the data of {what} lie in another file, which is opened for stored weights only")
    try:
        value: Array = onnx.numpy_helper.to_array(tensor)
    except Exception as error:  # whatever a damaged tensor makes it raise
        raise UsageError(f"{what} is not the tensor it declares to be: {_line(error)}") from None
    if value.dtype.kind == "f" and value.dtype.name not in FLOATS:
        raise UsageError(f"{what} is {value.dtype.name}; {' and '.join(FLOATS)} are understood")
    return np.ascontiguousarray(value) if value.ndim else value


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


@hookimpl
def rnnbench_converters() -> list[Converter]:
    return [Converter("onnx", ".onnx", "ONNX: recurrent layers and a linear head", read, write, reread=True)]
