"""The operators between recurrent layers, which move data and compute nothing, carried out by onnx's own reference."""

from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from rnnbench.errors import UsageError
from rnnbench.model import Array

if TYPE_CHECKING:
    from onnx import NodeProto

MOVES = frozenset((
    "Concat", "Constant", "ConstantOfShape", "Expand", "Flatten", "Gather", "Reshape", "Shape", "Slice", "Split",
    "Squeeze", "Transpose", "Unsqueeze",
))  # fmt: skip
ARITHMETIC = frozenset(("Add", "Cast", "Div", "Equal", "Mul", "Sub", "Where"))  # on constants: shapes are computed


def carry_out(
    onnx: ModuleType, opset: int, what: str, node: "NodeProto", values: Mapping[str, Array]
) -> dict[str, Array]:
    """Return the node's outputs by name. Raises UsageError where it does not fit its inputs."""
    from onnx.reference import ReferenceEvaluator

    names = [name for name in dict.fromkeys(node.input) if name]
    graph = onnx.helper.make_graph(
        [node],
        "one node",
        [onnx.ValueInfoProto(name=name) for name in names],
        [onnx.ValueInfoProto(name=name) for name in node.output],
    )
    try:
        results = ReferenceEvaluator(graph, opsets={"": opset}).run(None, {name: values[name] for name in names})
    except Exception as error:  # whatever a damaged node makes it raise
        lines = str(error).splitlines() or [type(error).__name__]
        raise UsageError(f"{what} cannot be carried out: {lines[0][:200]}") from None
    return {name: np.asarray(value) for name, value in zip(node.output, results, strict=True)}


def bound(op: str, taken: list[Array]) -> int:
    """Return how many elements an operator may make of these inputs, at most."""
    sizes = [int(value.size) for value in taken]
    if op == "ConstantOfShape":
        return _product(taken[0])
    if op == "Expand":
        return sizes[0] * _product(taken[1])
    if op == "Gather" or op in ARITHMETIC - {"Cast"}:
        return _product(np.array(sizes, dtype=object))
    return sum(sizes)


def _product(sizes: Array) -> int:
    """Multiply sizes that may be negative or too large for int64: neither must pass for few."""
    return int(np.prod([abs(int(size)) for size in sizes.reshape(-1)], dtype=object))
