"""What XLA compiles: a cell's own `forward` under `lax.scan`, the stack, the loss, and a step of Adam.

Functions here are pure and take their parameters as a dictionary, canonical (``layers.0.forward.W``, what training
differentiates) or packed (what inference multiplies).
"""

from collections.abc import Mapping
from types import ModuleType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnbench import Adam, Cell, Model, Stage
from rnnbench.cells.maths import Maths
from rnnbench.cells.spec import H_STATE, STAGE_RESULT

Value = jax.Array
State = tuple[Value, ...]


class Side(NamedTuple):
    """One layer and direction as its products take it.

    W [I, Gw*H], all that multiplies x; R per stage and operand [H, n*H], all that multiplies it; b [G, H].
    """

    W: Value
    R: tuple[dict[str, Value], ...]
    b: Value


class Packed(NamedTuple):
    """A model's parameters; head is (W [D*H, O], b [O]) or empty."""

    sides: tuple[Side, ...]
    head: tuple[Value, ...]


def jax_maths(dtype: np.dtype) -> Maths:
    zero, one = dtype.type(0), dtype.type(1)
    return Maths(
        sigmoid=jax.nn.sigmoid,
        tanh=jnp.tanh,
        relu=jax.nn.relu,  # its derivative at 0 is 0, as the reference's is
        d_sigmoid=lambda s: s * (one - s),
        d_tanh=lambda t: one - t * t,
        d_relu=lambda y: jnp.where(y > zero, one, zero),
        zero=zero,
        one=one,
    )


def pack(model: Model, params: Mapping[str, Value], arrays: ModuleType = jnp) -> Packed:
    """Stack what is multiplied together. arrays: numpy where compiling would take longer than a thousand such calls."""
    cell, H = model.spec, model.hidden_size
    row_of = {a.name: row for row, a in enumerate(cell.r_accumulators)}
    sides = []
    for layer, _, prefix in model.prefixes():
        inputs = model.features if layer else model.input_size
        W = params.get(prefix + "W", arrays.zeros((0, H, inputs), model.dtype))
        products: list[dict[str, Value]] = []
        for stage in cell.stages:
            rows = {operand: [row_of[name] for name in names] for operand, names in multiplying(stage).items()}
            # Rows of a list, not an array of them: a gather's gradient would be a scatter.
            products.append(
                {
                    operand: arrays.concatenate([params[prefix + "R"][row] for row in which]).T
                    for operand, which in rows.items()
                }
            )
        sides.append(Side(W.reshape(-1, inputs).T, tuple(products), params[prefix + "b"]))
    head = (params["head.W"].T, params["head.b"]) if model.output_size is not None else ()
    return Packed(tuple(sides), head)


def multiplying(stage: Stage) -> dict[str, list[str]]:
    """Return the accumulators whose R multiplies it, by operand."""
    operands = {a.operand for a in stage.accumulators if a.operand is not None}
    return {o: [a.name for a in stage.accumulators if a.operand == o] for o in sorted(operands)}


def blocks(product: Value, names: list[str]) -> dict[str, Value]:
    """Split [..., n*H] into one [..., H] per accumulator."""
    return dict(zip(names, jnp.split(product, len(names), axis=-1), strict=True)) if names else {}


def scan(cell: Cell, side: Side, x: Value, state: State, valid: Value | None, reverse: bool) -> tuple[Value, State]:
    """Scan x [T, B, I], state of [B, H] each, valid bool [T, B, 1] -> (y [T, B, H], the state after).

    In reverse the rows of a ragged batch need no re-ordering: past its length, where the visits begin, a row keeps
    its initial state.
    """
    T, B, I = x.shape
    forwards = [stage.pair(jax_maths(x.dtype))[0] for stage in cell.stages]
    seen = (x.reshape(T * B, I) @ side.W).reshape(T, B, -1)
    bias = {a.name: side.b[row] for row, a in enumerate(cell.accumulators)}

    def visit(state: State, now: tuple[Value, Value | None]) -> tuple[State, Value]:
        parts = blocks(now[0], [a.name for a in cell.w_accumulators])
        operand = {H_STATE: state[0]}
        for stage, R, forward in zip(cell.stages, side.R, forwards, strict=True):
            recurrent: dict[str, Value] = {}
            for name, accumulators in multiplying(stage).items():
                recurrent |= blocks(operand[name] @ R[name], accumulators)
            pre = []
            for a in stage.accumulators:
                terms = [part[a.name] for part in (parts, recurrent) if a.name in part]
                pre.append(sum(terms, start=jnp.broadcast_to(bias[a.name], state[0].shape)))
            result, _ = forward(tuple(pre), state)
            operand = {H_STATE: state[0], STAGE_RESULT: result[0]}
        y = result[0]
        if now[1] is not None:
            result = tuple(jnp.where(now[1], new, old) for new, old in zip(result, state, strict=True))
            y = jnp.where(now[1], y, 0)
        return result, y

    after, y = jax.lax.scan(visit, state, (seen, valid), reverse=reverse)
    return y, after


def run(model: Model, packed: Packed, x: Value, lengths: Value | None, state: State) -> tuple[Value, State]:
    """Run the stack and its head. x [T, B, I], lengths [B], state of [L*D, B, H] each -> (prediction, final state)."""
    valid = None if lengths is None else (jnp.arange(len(x))[:, None] < lengths)[..., None]
    finals: list[State] = []
    for layer in range(model.layers):
        outputs = []
        for _, reverse, _ in (p for p in model.prefixes() if p[0] == layer):
            start = tuple(s[len(finals)] for s in state)
            y, after = scan(model.spec, packed.sides[len(finals)], x, start, valid, reverse)
            outputs.append(y)
            finals.append(after)
        x = outputs[0] if model.directions == 1 else jnp.concatenate(outputs, axis=-1)
    every_step = model.readout == "all"
    y = x if every_step else jnp.concatenate([final[0] for final in finals[-model.directions :]], axis=-1)
    if packed.head:
        W, b = packed.head
        y = y @ W + b
        if every_step and valid is not None:
            y = jnp.where(valid, y, 0)
    return y, tuple(jnp.stack(s) for s in zip(*finals, strict=True))


def loss_of(
    model: Model,
    loss: str,
    params: Mapping[str, Value],
    x: Value,
    target: Value,
    count: int,
    lengths: Value | None,
    state: State,
) -> Value:
    """Return the loss; target and count as `inputs.targets` gives them."""
    prediction, _ = run(model, pack(model, params), x, lengths, state)
    if loss == "mse":
        return jnp.sum((prediction - target) ** 2) / count
    # A class index that is to be ignored is negative, and has no 1 in its row.
    chosen = jax.nn.one_hot(target, prediction.shape[-1], dtype=prediction.dtype)
    return -jnp.sum(chosen * jax.nn.log_softmax(prediction)) / count


class Moments(NamedTuple):
    """Adam's running means of the gradients and of their squares."""

    mean: dict[str, Value]
    square: dict[str, Value]


def adam(
    settings: Adam,
    params: dict[str, Value],
    moments: Moments,
    gradients: dict[str, Value],
    rate: Value,
    spread: Value,
) -> tuple[dict[str, Value], Moments]:
    """Take a step; rate and spread are `Adam.scales`."""
    if settings.clip_norm is not None:
        norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in gradients.values()))
        scale = jnp.where(norm > settings.clip_norm, settings.clip_norm / norm, 1)
        gradients = {name: g * scale for name, g in gradients.items()}
    mean = {name: m + (1 - settings.beta1) * (gradients[name] - m) for name, m in moments.mean.items()}
    square = {name: v + (1 - settings.beta2) * (gradients[name] ** 2 - v) for name, v in moments.square.items()}
    after = {
        name: value - rate * mean[name] / (jnp.sqrt(square[name] * spread) + settings.epsilon)
        for name, value in params.items()
    }
    return after, Moments(mean, square)
