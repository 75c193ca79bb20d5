"""The model as a Keras layer of Keras layers, its loss, and Adam, all in `keras.ops`: the same on JAX and torch."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from rnnbench import Adam, Model
from rnnbench_keras import LAYERS

Tensor = Any  # a jax.Array or a torch.Tensor
State = tuple[Tensor, ...]


class Stack(keras.Layer):
    """Time-major outside, though Keras's layers are batch-major: the transpositions are views or compiled away."""

    def __init__(self, model: Model) -> None:
        super().__init__(dtype=model.dtype)
        self.model = model
        name, options = LAYERS[model.cell]
        self.sides = []
        for layer, reverse, _ in model.prefixes():
            side = getattr(keras.layers, name)(
                model.hidden_size,
                return_sequences=True,
                return_state=True,
                go_backwards=reverse,
                dtype=model.dtype,
                **options,
            )
            side.build((None, None, model.features if layer else model.input_size))
            self.sides.append(side)
        self.head = None
        if model.output_size is not None:
            self.head = keras.layers.Dense(model.output_size, dtype=model.dtype)
            self.head.build((None, model.features))
        self.built = True

    def call(self, x: Tensor, lengths: Tensor | None = None, state: State | None = None) -> tuple[Tensor, State]:
        """Run the stack: x [T, B, I], lengths [B], state of [L*D, B, H] each -> (prediction, final state)."""
        model, T = self.model, x.shape[0]
        mask = None if lengths is None else ops.arange(T, dtype="int64")[None, :] < lengths[:, None]
        y, finals = ops.transpose(x, (1, 0, 2)), []
        for layer in range(model.layers):
            outputs = []
            for _, reverse, _ in (p for p in model.prefixes() if p[0] == layer):
                number = len(finals)
                start = None if state is None else [s[number] for s in state]
                out, *final = self.sides[number](y, initial_state=start, mask=mask)
                outputs.append(ops.flip(out, axis=1) if reverse else out)  # Keras gives them in order of visit
                finals.append(final)
            y = outputs[0] if model.directions == 1 else ops.concatenate(outputs, axis=-1)
            if mask is not None:  # past a row's length Keras repeats its last output
                y = ops.where(mask[..., None], y, ops.zeros_like(y))
        state = tuple(ops.stack(s) for s in zip(*finals, strict=True))
        if model.readout == "last":
            y = ops.concatenate([final[0] for final in finals[-model.directions :]], axis=-1)
            return (y if self.head is None else self.head(y)), state
        if self.head is not None:
            y = self.head(y)
            if mask is not None:
                y = ops.where(mask[..., None], y, ops.zeros_like(y))
        return ops.transpose(y, (1, 0, 2)), state


def loss_of(loss: str, prediction: Tensor, target: Tensor, count: int) -> Tensor:
    """Return the loss; target and count as `inputs.targets` gives them."""
    if loss == "mse":
        return ops.sum(ops.square(prediction - target)) / count
    # A class index that is to be ignored is negative, and has no 1 in its row.
    chosen = ops.one_hot(target, prediction.shape[-1], dtype=prediction.dtype)
    return -ops.sum(chosen * ops.log_softmax(prediction)) / count


def masked(gradients: Sequence[Tensor], masks: Sequence[Tensor | None]) -> list[Tensor]:
    return [g if mask is None else g * mask for g, mask in zip(gradients, masks, strict=True)]


def adam(
    settings: Adam,
    params: Sequence[Tensor],
    moments: tuple[Sequence[Tensor], Sequence[Tensor]],
    gradients: Sequence[Tensor],
    rate: float,
    spread: float,
) -> tuple[list[Tensor], tuple[list[Tensor], list[Tensor]]]:
    """Take a step; rate and spread are `Adam.scales`."""
    if settings.clip_norm is not None:
        norm = ops.sqrt(sum(ops.sum(ops.square(g)) for g in gradients))
        scale = ops.where(norm > settings.clip_norm, settings.clip_norm / norm, ops.ones_like(norm))
        gradients = [g * scale for g in gradients]
    mean = [m + (1 - settings.beta1) * (g - m) for m, g in zip(moments[0], gradients, strict=True)]
    square = [v + (1 - settings.beta2) * (g * g - v) for v, g in zip(moments[1], gradients, strict=True)]
    after = [
        value - rate * m / (ops.sqrt(v * spread) + settings.epsilon)
        for value, m, v in zip(params, mean, square, strict=True)
    ]
    return after, (mean, square)
