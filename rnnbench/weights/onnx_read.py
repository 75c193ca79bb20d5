"""A model from an ONNX file: what torch, tf2onnx and rnnbench itself export. Nothing in the file is executed.

What is refused, in one line that names it: external data, functions, control flow, operators that are neither a
recurrent layer nor a linear head nor a way from one to the other, and tensors larger than what the file holds.
"""

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from rnnbench.errors import UsageError
from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array
from rnnbench.weights.onnx_trace import Trace
from rnnbench.weights.onnx_write import onnx_module, write
from rnnbench.weights.spec import Converter, Trained

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

FLOATS = ("float32", "float64")


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
        return _trained(onnx, file)
    except UsageError as error:
        raise UsageError(f"{str(path)!r} cannot be taken as a model: {error}") from None


def _trained(onnx: ModuleType, file: "ModelProto") -> Trained:
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
            for tensor in (attribute.t, *attribute.tensors):
                if attribute.type in (kinds.TENSOR, kinds.TENSORS):
                    _array(onnx, tensor, f"a constant of {node.name!r}")
    version = next((entry.version for entry in file.opset_import if entry.domain in ("", "ai.onnx")), None)
    if version is None:
        raise UsageError("it does not say which version of ONNX's operators it uses")
    try:
        onnx.checker.check_model(file)
    except Exception as error:  # the checker's errors share no base class
        raise UsageError(f"it breaks a rule of ONNX: {_line(error)}") from None
    return Trace(onnx, graph, version).trained(initialisers)


def _array(onnx: ModuleType, tensor: "TensorProto", what: str) -> Array:
    """Return a tensor of the file itself. Raises UsageError where it lies elsewhere or is not what it declares."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise UsageError(
            f"the data of {what} lie in another file, which is not opened; save the model in one file "
            "(torch.onnx.export: external_data=False)"
        )
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
    return [Converter("onnx", ".onnx", "ONNX: recurrent layers and a linear head", read, write)]
