"""A file itself, executed: by onnx's own reference in float64, and by ONNX Runtime where it is installed.

Only a file that was understood comes here: its operators are known, nothing in it is steered by its inputs, and the
work is bounded. What both leave out or may (`sequence_lens`, `activations`, `clip`, peepholes) the reader has refused.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnbench.errors import UsageError
from rnnbench.model import Array

if TYPE_CHECKING:
    from onnx import ModelProto

ROUNDING = 1e-3  # of the largest output: float32, and gates near saturation by another approximation
MARGIN = 16  # times what it costs the reference: orders of sums differ


class Interpreters:
    """Those that are there, ready to run one file with these initialisers."""

    def __init__(self, onnx: ModuleType, file: "ModelProto", initialisers: Mapping[str, Array]) -> None:
        from onnx.reference import ReferenceEvaluator

        self._wide = {name: _widened(value) for name, value in initialisers.items()}
        rnn, constant = _own_operators()
        try:
            self._reference = ReferenceEvaluator(file, new_ops=[rnn])
            self._exact = ReferenceEvaluator(file, new_ops=[rnn, constant])
        except Exception as error:  # whatever a damaged node makes it raise
            raise UsageError(f"onnx.reference cannot execute it: {_line(error)}") from None
        double = any(value.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE for value in file.graph.input)
        # ONNX Runtime has no recurrent kernels for float64.
        self._runtime: Any = None if double or find_spec("onnxruntime") is None else _runtime(file)

    def run(self, given: Mapping[str, Array], output: str) -> tuple[dict[str, Array], float]:
        """Return every value by name, computed in float64, and by how much the output moves in the file's own dtype.

        Raises UsageError where an interpreter fails, or where they differ.
        """
        wide = {name: _widened(value) for name, value in given.items()}
        values, rounded = _executed(self._exact, self._wide | wide), _executed(self._reference, given)
        y = values[output]
        with np.errstate(invalid="ignore"):
            noise = float(np.max(np.abs(rounded[output] - y), initial=0.0))
        if not np.isfinite(noise):
            raise UsageError(f"{output!r} is not finite on random inputs; check its weights")
        if self._runtime is not None:
            self._confirm(given, output, y, noise)
        return values, noise

    def _confirm(self, given: Mapping[str, Array], output: str, y: Array, noise: float) -> None:
        try:
            found = np.asarray(self._runtime.run([output], dict(given))[0])
        except Exception as error:  # its errors share no base class
            raise UsageError(f"ONNX Runtime cannot execute it: {_line(error)}") from None
        if found.shape != y.shape:
            raise UsageError(f"{output!r} has the shape {found.shape} by ONNX Runtime, {y.shape} by onnx.reference")
        with np.errstate(invalid="ignore"):
            apart = np.abs(found - y)
        if not np.max(apart, initial=0.0) <= MARGIN * noise + ROUNDING * np.max(np.abs(y), initial=0.0):
            raise UsageError(f"ONNX Runtime and onnx.reference give {output!r} {np.max(apart):.1e} apart")


def _executed(reference: Any, given: Mapping[str, Array]) -> dict[str, Array]:
    try:
        with np.errstate(all="ignore"):
            values = reference.run(None, dict(given), intermediate=True)
    except Exception as error:  # a shape that does not fit, whatever it makes NumPy raise
        raise UsageError(f"onnx.reference cannot execute it: {_line(error)}") from None
    return {name: np.asarray(value) for name, value in values.items() if value is not None}


def _widened(value: Array) -> Array:
    return value.astype("float64") if value.dtype.kind == "f" else value


def _own_operators() -> tuple[Any, Any]:
    """Return onnx's RNN with the one activation of ours that it lacks, and a Constant that is float64."""
    from onnx.reference.ops.op_constant import Constant_12
    from onnx.reference.ops.op_rnn import CommonRNN

    class RNN(CommonRNN):
        op_domain = ""

        def choose_act(self, name: str, alpha: float | None, beta: float | None) -> Any:
            chosen: Any = super().choose_act
            return (lambda x: np.maximum(x, 0)) if name.lower() == "relu" else chosen(name, alpha, beta)

    class Constant(Constant_12):
        op_domain = ""

        def _run(self, **attributes: Any) -> tuple[Array]:
            return (_widened(np.asarray(self.cst)),)

    return RNN, Constant


def _runtime(file: "ModelProto") -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(file.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no base class
        raise UsageError(f"ONNX Runtime refuses it: {_line(error)}") from None


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
