"""Losses with their gradients, and Adam: its settings, its state in NumPy, and how gradients are clipped."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from rnnbench.errors import UsageError
from rnnbench.model import Array, Params

LOSSES = ("mse", "cross-entropy")


@dataclass(frozen=True)
class Adam:
    """Adam, Algorithm 1 of Kingma and Ba 2015: θ ← θ − lr · m̂ / (√v̂ + ε), after clipping by the global norm.

    clip_norm: gradients whose joint Euclidean norm exceeds it are scaled down to it; None leaves them alone.
    """

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise UsageError(f"the learning rate must be positive; got {self.learning_rate}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise UsageError(f"the clipping norm must be positive; got {self.clip_norm}")

    def scales(self, step: int) -> tuple[float, float]:
        """Return lr / (1 - β1^t) and 1 / (1 - β2^t) at step t = 1, 2, ...: what turns the moments m and v into
        lr · m̂ and v̂."""
        return self.learning_rate / (1 - self.beta1**step), 1 / (1 - self.beta2**step)

    def clip_scale(self, norm: float) -> float:
        """Return what every gradient is multiplied by, given their joint norm."""
        return 1.0 if self.clip_norm is None or not norm > self.clip_norm else self.clip_norm / norm


DEFAULT_ADAM = Adam()


class AdamState:
    """The moments of one parameter set, in NumPy: what the other backends' optimisers are checked against."""

    def __init__(self, settings: Adam, params: Params) -> None:
        self.settings = settings
        self.steps = 0
        self.mean = {name: np.zeros_like(value) for name, value in params.items()}
        self.square = {name: np.zeros_like(value) for name, value in params.items()}

    def update(self, params: Params, gradients: Params) -> None:
        """Change the arrays of `params` in place."""
        s = self.settings
        self.steps += 1
        rate, spread = s.scales(self.steps)
        scale = s.clip_scale(float(np.sqrt(sum(np.vdot(g, g) for g in gradients.values()))))
        for name, value in params.items():
            g = gradients[name] * value.dtype.type(scale)
            mean, square = self.mean[name], self.square[name]
            mean += (1 - s.beta1) * (g - mean)
            square += (1 - s.beta2) * (g * g - square)
            value -= (rate * mean / (np.sqrt(spread * square) + s.epsilon)).astype(value.dtype)


def loss_and_gradient(loss: str, prediction: Array, target: Array, lengths: Array | None = None) -> tuple[float, Array]:
    """Return the loss and its derivative by `prediction`.

    prediction [B, O] or [T, B, O]; target of the same shape for "mse", of class indices [B] or [T, B] for
    "cross-entropy". With lengths, steps past a row's length count for nothing: the loss is the sum over valid
    elements divided by their number. Raises UsageError for a target that does not fit.
    """
    valid: Array | None = None
    if lengths is not None and prediction.ndim == 3:
        valid = np.arange(prediction.shape[0])[:, None] < lengths[None, :]
    if loss == "mse":
        return _mean_squared_error(prediction, target, valid)
    if loss == "cross-entropy":
        return _cross_entropy(prediction, target, valid)
    raise unknown_loss(loss)


def unknown_loss(loss: str) -> UsageError:
    """Make the error for a loss that is none."""
    return UsageError(f"loss must be one of {', '.join(LOSSES)}; got {loss!r}")


def squared_error_target(shape: tuple[int, ...], dtype: DTypeLike, target: Array) -> Array:
    """Return the target of "mse" in a prediction's dtype. Raises UsageError where its shape is not the prediction's."""
    if target.shape != shape:
        raise UsageError(f"the target of mse must have the prediction's shape {shape}; got {target.shape}")
    return target.astype(dtype, copy=False)


def class_target(shape: tuple[int, ...], dtype: DTypeLike, target: Array) -> Array:
    """Return the target of "cross-entropy" as int64. Raises UsageError where it is no integer, or does not fit a
    prediction of this shape."""
    if target.shape != shape[:-1] or target.dtype.kind not in "iu":
        raise UsageError(
            f"the target of cross-entropy must be class indices {shape[:-1]}; got {target.dtype} {target.shape}"
        )
    return target.astype(np.int64, copy=False)


def _mean_squared_error(prediction: Array, target: Array, valid: Array | None) -> tuple[float, Array]:
    error = prediction - squared_error_target(prediction.shape, prediction.dtype, target)
    count = error.size
    if valid is not None:
        error = np.where(valid[..., None], error, error.dtype.type(0))
        count = int(valid.sum()) * error.shape[-1]
    return float(np.vdot(error, error)) / count, error * error.dtype.type(2 / count)


def _cross_entropy(prediction: Array, target: Array, valid: Array | None) -> tuple[float, Array]:
    target, classes = class_target(prediction.shape, prediction.dtype, target), prediction.shape[-1]
    chosen = target if valid is None else np.where(valid, target, 0)
    if chosen.size and not (chosen.min() >= 0 and chosen.max() < classes):
        raise UsageError(
            f"the target of cross-entropy must lie in 0..{classes - 1}; got {chosen.min()}..{chosen.max()}"
        )
    shifted = prediction - prediction.max(axis=-1, keepdims=True)
    exponent = np.exp(shifted)
    total = exponent.sum(axis=-1, keepdims=True)
    picked = chosen[..., None]
    surprise = np.log(total[..., 0]) - np.take_along_axis(shifted, picked, axis=-1)[..., 0]
    gradient = exponent / total
    np.put_along_axis(gradient, picked, np.take_along_axis(gradient, picked, axis=-1) - 1, axis=-1)
    count = surprise.size
    if valid is not None:
        surprise, gradient = np.where(valid, surprise, 0), np.where(valid[..., None], gradient, gradient.dtype.type(0))
        count = int(valid.sum())
    return float(surprise.sum(dtype=np.float64)) / count, gradient * gradient.dtype.type(1 / count)
