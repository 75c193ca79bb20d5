"""Canonical parameters <-> the list that `keras.Model.get_weights()` gives, bit for bit; Keras is not imported.

The list holds kernel [I, n*H], recurrent kernel [H, n*H] and bias of each layer, forward before backward in a
`Bidirectional`, and then the kernel [features, O] and bias of a `Dense`. Keras's LSTM has our order of gates (its
i f c o); its GRU has z before r. A GRU that resets after has two biases, [2, 3*H]; only the candidate needs both, and
the others' second is written as zero and read as part of the sum.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from rnnbench import Model, UsageError

Array = np.ndarray
GRU_ORDER = [1, 0, 2]  # r z n <-> z r n: its own inverse


def to_weights_list(model: Model, params: Mapping[str, Array]) -> list[Array]:
    """Return what `set_weights` takes, of the model's dtype. Raises UsageError for parameters that do not fit it."""
    checked = model.check_params(params)
    order, H = _order(model), model.hidden_size
    found: list[Array] = []
    for _, _, prefix in model.prefixes():
        W, R, b = (checked[prefix + kind] for kind in "WRb")
        bias = b[: len(W)][order].ravel()
        if model.cell == "gru":
            second = np.zeros((len(W), H), b.dtype)
            second[-1] = b[-1]
            bias = np.stack([bias, second.ravel()])
        found += [W[order].reshape(-1, W.shape[-1]).T, R[order].reshape(-1, H).T, bias]
    if model.output_size is not None:
        found += [checked["head.W"].T, checked["head.b"]]
    return [np.ascontiguousarray(value) for value in found]


def from_weights_list(model: Model, weights: Sequence[Array]) -> dict[str, Array]:
    """Return canonical parameters of the model's dtype. Raises UsageError where number or shapes are another's."""
    shapes = [value.shape for value in _example(model)]
    if len(weights) != len(shapes):
        raise UsageError(f"this model has {len(shapes)} arrays in Keras, biases among them; got {len(weights)}")
    for number, (value, shape) in enumerate(zip(weights, shapes, strict=True)):
        if np.shape(value) != shape:
            raise UsageError(f"array {number} must be {shape} for this model; got {np.shape(value)}")
    return model.check_params(canonical(model, weights))


def canonical(model: Model, weights: Sequence[Array]) -> dict[str, Array]:
    """Turn arrays in the order and shapes of the weights list (gradients, too) into canonical ones of their own."""
    order, H = _order(model), model.hidden_size
    gates = len(order)
    waiting: Iterator[Array] = iter(weights)
    params: dict[str, Array] = {}
    for _, _, prefix in model.prefixes():
        kernel, recurrent, bias = (np.asarray(next(waiting)) for _ in "WRb")
        params[prefix + "W"] = kernel.T.reshape(gates, H, -1)[order]
        params[prefix + "R"] = recurrent.T.reshape(gates, H, H)[order]
        first, *others = bias.reshape(-1, gates, H)[:, order]
        b = [first]
        if others:
            second = others[0]
            # Not where the second is zero: -0.0 + 0.0 is 0.0, another bit pattern.
            np.add(first[:-1], second[:-1], out=first[:-1], where=second[:-1] != 0)
            b.append(second[-1:])
        params[prefix + "b"] = np.concatenate(b)
    if model.output_size is not None:
        params |= {"head.W": np.asarray(next(waiting)).T.copy(), "head.b": np.array(next(waiting))}
    return params


def second_bias_mask(model: Model) -> list[Array | None]:
    """Return, per array of the list, what its gradient is multiplied by so that a redundant bias stays at zero."""
    masks: list[Array | None] = [None] * len(_example(model))
    if model.cell == "gru":
        mask = np.ones((2, 3 * model.hidden_size), model.dtype)
        mask[1, : 2 * model.hidden_size] = 0
        for side in range(len(model.prefixes())):
            masks[3 * side + 2] = mask
    return masks


def _order(model: Model) -> list[int]:
    gates = len(model.spec.w_accumulators)
    return GRU_ORDER if model.cell in ("gru", "gru-before") else list(range(gates))


def _example(model: Model) -> list[Array]:
    return to_weights_list(model, {name: np.zeros(shape) for name, shape in model.parameter_shapes().items()})
