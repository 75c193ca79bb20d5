"""Keras on torch: eager, with torch's autograd."""

from collections.abc import Callable

import numpy as np
import torch

from rnnbench import Adam, Model
from rnnbench.backends.pools import start_torch
from rnnbench_keras.stack import Stack, adam, loss_of, masked
from rnnbench_keras.weights import second_bias_mask

Array = np.ndarray
State = tuple[Array, ...]
Tensor = torch.Tensor
VERSION = torch.__version__


class Engine:
    """One session's layers and moments."""

    def __init__(self, model: Model, weights: list[Array], loss: str, settings: Adam) -> None:
        self._stack, self._loss, self._settings = Stack(model), loss, settings
        for variable, value in zip(self._stack.trainable_variables, weights, strict=True):
            variable.assign(value)
        self._params = [variable.value for variable in self._stack.trainable_variables]
        self._masks = [None if mask is None else torch.from_numpy(mask) for mask in second_bias_mask(model)]
        self._moments = ([torch.zeros_like(p) for p in self._params], [torch.zeros_like(p) for p in self._params])

    def run(self, x: Array, lengths: Array | None, state: State | None) -> tuple[Array, State]:
        with torch.inference_mode():
            y, after = self._stack(tensor(x), *_optional(lengths, state))
            return y.contiguous().numpy(), tuple(value.numpy() for value in after)

    def gradients(
        self, x: Array, target: Array, count: int, lengths: Array | None, state: State | None
    ) -> tuple[float, list[Array]]:
        loss, found = self._differentiate(x, target, count, lengths, state)
        return loss, [value.numpy() for value in found]

    def train(self, rate: float, spread: float, x: Array, target: Array, count: int, lengths: Array | None) -> float:
        loss, found = self._differentiate(x, target, count, lengths, None)
        with torch.no_grad():
            after, self._moments = adam(self._settings, self._params, self._moments, found, rate, spread)
            for param, value in zip(self._params, after, strict=True):
                param.copy_(value)
        return loss

    def weights(self) -> list[Array]:
        return [param.detach().numpy() for param in self._params]

    def _differentiate(
        self, x: Array, target: Array, count: int, lengths: Array | None, state: State | None
    ) -> tuple[float, list[Tensor]]:
        prediction, _ = self._stack(tensor(x), *_optional(lengths, state))
        loss = loss_of(self._loss, prediction, tensor(target), count)
        found = torch.autograd.grad(loss, self._params)
        return loss.item(), masked(found, self._masks)


def start(threads: int) -> Callable[[], None]:
    """Set torch's threads, and return what reports that nothing is compiled."""
    start_torch(torch, threads)
    return lambda: None


def tensor(array: Array) -> Tensor:
    """Share the array's memory; torch has no read-only tensors, so a read-only array is copied."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _optional(lengths: Array | None, state: State | None) -> tuple[Tensor | None, tuple[Tensor, ...] | None]:
    start = None if state is None else tuple(tensor(value) for value in state)
    return (None if lengths is None else tensor(lengths)), start
