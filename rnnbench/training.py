"""Losses with their gradients, and Adam: its settings, its state in NumPy, and how gradients are clipped."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from rnnbench.errors import UsageError
from rnnbench.model import Array, Params, plain

LOSSES = ("mse", "cross-entropy")
_SETTINGS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "learning_rate": ("the learning rate must be a positive number", lambda value: 0 < value < math.inf),
    "beta1": ("beta1 must be a number in 0..1, and not 1", lambda value: 0 <= value < 1),
    "beta2": ("beta2 must be a number in 0..1, and not 1", lambda value: 0 <= value < 1),
    "epsilon": ("epsilon must be a positive number", lambda value: 0 < value < math.inf),
    "clip_norm": ("the clipping norm must be a positive number", lambda value: value > 0),
}


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
        for name, (words, right) in _SETTINGS.items():
            value = getattr(self, name)
            if value is None and name == "clip_norm":
                continue
            number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
            if not number or not right(value):
                raise UsageError(f"{words}; got {value!r}")
            object.__setattr__(self, name, float(value))

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
        """Put new arrays into `params`, and in the state: all of them, or none where anything goes wrong."""
        s = self.settings
        rate, spread = s.scales(self.steps + 1)
        scale = s.clip_scale(float(np.sqrt(sum(np.vdot(g, g) for g in gradients.values()))))
        means, squares, after = {}, {}, {}
        for name, value in params.items():
            g = gradients[name] * value.dtype.type(scale)
            mean = means[name] = self.mean[name] + (1 - s.beta1) * (g - self.mean[name])
            square = squares[name] = self.square[name] + (1 - s.beta2) * (g * g - self.square[name])
            after[name] = value - (rate * mean / (np.sqrt(spread * square) + s.epsilon)).astype(value.dtype)
        self.steps, self.mean, self.square = self.steps + 1, means, squares  # an interrupt comes after the next line
        params.update(after)


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


def fitting_target(loss: str, shape: tuple[int, ...], dtype: DTypeLike, target: Array) -> Array:
    """Return the target of a prediction of this shape, C-contiguous: for "mse" in its dtype, for "cross-entropy" a copy
    as int64, so that what is checked is what is used. Raises UsageError for a loss that is none, or a misfit."""
    given = target if type(target) is np.ndarray else plain("target", target)
    if loss == "mse":
        if given.shape == shape and given.dtype.kind in "fiu":
            return np.ascontiguousarray(given, dtype)
        wanted = f"real numbers {shape}"
    elif loss == "cross-entropy":
        if given.shape == shape[:-1] and given.dtype.kind in "iu":
            return given.astype(np.int64, order="C")
        wanted = f"class indices {shape[:-1]}"
    else:
        raise unknown_loss(loss)
    raise UsageError(f"the target of {loss} must be {wanted}; got {given.dtype} {given.shape}")


def _mean_squared_error(prediction: Array, target: Array, valid: Array | None) -> tuple[float, Array]:
    error = prediction - fitting_target("mse", prediction.shape, prediction.dtype, target)
    count = error.size
    if valid is not None:
        error = np.where(valid[..., None], error, error.dtype.type(0))
        count = int(valid.sum()) * error.shape[-1]
    return float(np.vdot(error, error)) / count, error * error.dtype.type(2 / count)


def _cross_entropy(prediction: Array, target: Array, valid: Array | None) -> tuple[float, Array]:
    target, classes = fitting_target("cross-entropy", prediction.shape, np.int64, target), prediction.shape[-1]
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
