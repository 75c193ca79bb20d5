"""Whether a backend computes what the float64 reference computes: errors, and the tolerances they are held to.

An error is max |Δ| / max |reference| per tensor, and the worst tensor's counts. For gradients the denominator is not
smaller than 1e-3 of the largest gradient in the model: a tensor whose gradient cancels almost to nothing has only
rounding to compare. An output's denominator has a floor too, for the same reason (see `reference.Outputs`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rnnbench.model import Array

# Rounding to float32 moves outputs by 1e-7 to 2e-6 of their size in torch, ONNX Runtime and our kernels (sums of up
# to a thousand products, polynomial approximations of tanh, hundreds of steps); 1e-5 leaves them room and is a
# thousandth of what a wrong formula, a swapped gate or an approximated tanh gives. float64 has the same room above
# its own rounding, seen from 2.2e-16.
FORWARD_TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
# A gradient sums over steps and rows once more, and its terms cancel.
GRADIENT_TOLERANCE = {"float32": 1e-4, "float64": 1e-8}
# Ten steps of Adam: where a gradient is near zero, m̂/√v̂ turns its rounding into a step of another size.
CURVE_TOLERANCE = {"float32": 1e-3, "float64": 1e-9}
SMALLEST_GRADIENT = 1e-3
# Some networks, once trained, magnify any rounding: a UGRNN that has learned to copy is off by 1.4e-5 in NumPy and by
# 7e-6 in our kernels. There a backend may be off four times as far as NumPy in the row's dtype is, whose sums and tanh
# round elsewhere; but never by more than a tenth of the 1e-2 that a wrong formula gives.
ROUNDINGS = 4
WIDEST = 1e-3


@dataclass(frozen=True)
class Deviation:
    """The largest error over some tensors, and whose it is."""

    error: float
    tensor: str

    def reason(self, what: str, tolerance: float) -> str:
        """Say it in words."""
        return (
            f"{what} differs from the float64 reference by {self.error:.1e} in {self.tensor} (allowed: {tolerance:g})"
        )


def error(value: Array, reference: Array, smallest: float = 0.0) -> float:
    """Return max |value - reference| / max |reference|, the latter not below `smallest`; absolute where both are 0."""
    if not reference.size:
        return 0.0
    difference = float(np.max(np.abs(value.astype(np.float64) - reference)))
    size = max(float(np.max(np.abs(reference))), smallest)
    return difference / size if size > 0 else difference


def deviation(
    values: Mapping[str, Array], references: Mapping[str, Array], scales: Mapping[str, float] | None = None
) -> Deviation:
    """Return the worst of all tensors of `references`, which must not be empty. scales: by tensor, what the denominator
    is not smaller than."""
    least = scales or {}
    errors = {name: error(values[name], value, least.get(name, 0.0)) for name, value in references.items()}
    worst = max(errors, key=lambda name: errors[name])
    return Deviation(errors[worst], worst)


def gradient_deviation(values: Mapping[str, Array], references: Mapping[str, Array]) -> Deviation:
    """Return the worst of all gradients, each against at least a thousandth of the largest."""
    largest = max(float(np.max(np.abs(reference))) for reference in references.values())
    return deviation(values, references, dict.fromkeys(references, SMALLEST_GRADIENT * largest))


def widened(tolerance: float, rounding: float) -> float:
    """Return the tolerance where rounding alone, by the same formulas, already moves the result by `rounding`."""
    return max(tolerance, min(ROUNDINGS * rounding, WIDEST))


def curve_error(losses: list[float], reference: list[float]) -> float:
    """Return how far a curve of losses is from the reference's."""
    return error(np.array(losses), np.array(reference))


def malformed(values: Mapping[str, Array], references: Mapping[str, Array], dtype: str) -> str | None:
    """Tell why `values` cannot be compared, or None: a missing tensor, a wrong shape or dtype, NaN or infinity."""
    if odd := sorted(values.keys() ^ references.keys()):
        return f"left out {odd[0]}" if odd[0] in references else f"gave {odd[0]}, which the model does not have"
    for name, reference in references.items():
        value = values[name]
        if value.shape != reference.shape or value.dtype != np.dtype(dtype):
            return f"gave {name} as {value.dtype} {value.shape}; it must be {dtype} {reference.shape}"
        if not np.isfinite(value).all():
            return f"gave NaN or infinity in {name}"
    return None
