"""Losses, Adam, and the training loop that is the same for every backend."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from rnnbench.errors import UsageError
from rnnbench.model import Array, Params

if TYPE_CHECKING:
    from rnnbench.backends.base import Session
    from rnnbench.tasks.spec import Split

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


DEFAULT_ADAM = Adam()


class AdamState:
    """The moments of one parameter set, in NumPy: what the other backends' optimisers are checked against."""

    def __init__(self, settings: Adam, params: Params) -> None:
        self.settings = settings
        self.steps = 0
        self.mean = {name: np.zeros_like(value) for name, value in params.items()}
        self.square = {name: np.zeros_like(value) for name, value in params.items()}

    def update(self, params: Params, gradients: Params) -> None:
        """Changes the arrays of `params` in place."""
        s = self.settings
        self.steps += 1
        scale = clip_scale(s, float(np.sqrt(sum(np.vdot(g, g) for g in gradients.values()))))
        for name, value in params.items():
            g = gradients[name] * value.dtype.type(scale)
            mean, square = self.mean[name], self.square[name]
            mean += (1 - s.beta1) * (g - mean)
            square += (1 - s.beta2) * (g * g - square)
            unbiased, spread = mean / (1 - s.beta1**self.steps), square / (1 - s.beta2**self.steps)
            value -= (s.learning_rate * unbiased / (np.sqrt(spread) + s.epsilon)).astype(value.dtype)


def clip_scale(settings: Adam, norm: float) -> float:
    """What every gradient is multiplied by, given their joint norm."""
    if settings.clip_norm is None or not norm > settings.clip_norm:
        return 1.0
    return settings.clip_norm / norm


def loss_and_gradient(loss: str, prediction: Array, target: Array, lengths: Array | None = None) -> tuple[float, Array]:
    """The loss and its derivative by `prediction`.

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
    return UsageError(f"loss must be one of {', '.join(LOSSES)}; got {loss!r}")


def squared_error_target(shape: tuple[int, ...], dtype: DTypeLike, target: Array) -> Array:
    """The target of "mse" in the dtype of a prediction of this shape; raises UsageError where its own is another."""
    if target.shape != shape:
        raise UsageError(f"the target of mse must have the prediction's shape {shape}; got {target.shape}")
    return target.astype(dtype, copy=False)


def class_target(shape: tuple[int, ...], dtype: DTypeLike, target: Array) -> Array:
    """The target of "cross-entropy" of a prediction of this shape, as int64; raises UsageError for a misfit or what is
    no integer."""
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


def batches(split: "Split", batch_size: int, seed: int) -> Iterator["Split"]:
    """Batches without end: every epoch visits each sequence once, in an order that only the seed decides."""
    rng = np.random.default_rng([seed, 1])
    count = split.x.shape[1]
    while True:
        order = rng.permutation(count)
        for start in range(0, count, batch_size):
            yield split.rows(order[start : start + batch_size])


@dataclass
class Progress:
    """What training has done so far. step_seconds hold the time inside `train_step` alone."""

    losses: list[float] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(self.step_seconds)


def train(
    session: "Session",
    data: Iterator["Split"],
    steps: int,
    progress: Progress,
    clock: Callable[[], float] = perf_counter,
) -> None:
    """Takes `steps` optimiser steps and adds them to `progress`; stops early at a loss that is not finite."""
    for _ in range(steps):
        batch = next(data)
        start = clock()
        loss = session.train_step(batch.x, batch.target, batch.lengths)
        progress.step_seconds.append(clock() - start)
        progress.losses.append(loss)
        if not np.isfinite(loss):
            return
