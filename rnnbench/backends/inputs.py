"""What every backend does with its inputs before computing: check, convert, and clear the padding once."""

from collections.abc import Sequence

import numpy as np

from rnnbench.backends.base import WHOLE_SEQUENCE
from rnnbench.errors import Unsupported, UsageError
from rnnbench.model import Array, Model, State, plain
from rnnbench.training import fitting_target

IGNORED = -1  # a class index that no loss counts


def sequence(model: Model, x: Array, lengths: Array | None = None) -> tuple[Array, Array | None]:
    """Return x [T, B, I] as C-contiguous of the model's dtype, and lengths as int64 [B].

    Steps past a row's length may hold anything, NaN too: they are zeroed in a copy. Raises UsageError for a wrong
    shape, an empty axis, a dtype that is not a number's, or a length outside 1..T.
    """
    x = (x if type(x) is np.ndarray else plain("x", x))[...]  # a view of our own, whose shape no other thread changes
    if x.ndim != 3 or x.shape[2] != model.input_size:
        raise UsageError(f"x must be [T, B, {model.input_size}]; got shape {x.shape}")
    if 0 in x.shape[:2]:
        raise UsageError(f"x needs at least one step and one row; got shape {x.shape}")
    _real("x", x)
    checked = None if lengths is None else valid_lengths(lengths, *x.shape[:2])
    if checked is not None and (checked < x.shape[0]).any():
        past = np.arange(x.shape[0])[:, None] >= checked
        x = x.copy()
        x[past] = 0  # before converting: what lies there need not fit the model's dtype
    return np.ascontiguousarray(x, dtype=model.dtype), checked


def _real(name: str, value: Array) -> None:
    if value.dtype.kind not in "fiu":
        raise UsageError(f"{name} must hold real numbers; got dtype {value.dtype}")


def valid_lengths(lengths: Array, T: int, B: int) -> Array:
    """Return a copy of lengths as int64 [B]. Raises UsageError unless each lies in 1..T."""
    given = plain("lengths", lengths).copy()  # before looking: what is checked is what is used
    if given.shape != (B,) or given.dtype.kind not in "iu":
        raise UsageError(f"lengths must be {B} whole numbers; got {given.dtype} {given.shape}")
    if given.min() < 1 or given.max() > T:
        raise UsageError(f"lengths must lie in 1..{T}; got {given.min()}..{given.max()}")
    return given.astype(np.int64, copy=False)


def targets(model: Model, loss: str, target: Array, T: int, B: int, lengths: Array | None = None) -> tuple[Array, int]:
    """Return what a framework's own loss takes: the target, and the number of elements that divides the sum of losses.

    For "mse" the target [B, O] or [T, B, O] is of the model's dtype, zero past a row's length, where predictions are
    zero too; for "cross-entropy" it is int64 [B] or [T, B], `IGNORED` there. Raises UsageError for a misfit.
    """
    outputs = model.output_size or model.features
    steps = (T, B) if model.readout == "all" else (B,)
    given = fitting_target(loss, (*steps, outputs), model.dtype, target)
    valid = np.ones(steps, bool)
    if lengths is not None and model.readout == "all":
        valid = np.arange(T)[:, None] < lengths
    if loss == "mse":
        cleared = given if valid.all() else np.where(valid[..., None], given, given.dtype.type(0))
        return cleared, int(valid.sum()) * outputs
    chosen = given[valid]
    if chosen.min() < 0 or chosen.max() >= outputs:
        raise UsageError(
            f"the target of cross-entropy must lie in 0..{outputs - 1}; got {chosen.min()}..{chosen.max()}"
        )
    return np.where(valid, given, IGNORED), int(valid.sum())


def states(model: Model, state: Sequence[Array] | None, B: int) -> State:
    """Return initial states, each [L*D, B, H] of the model's dtype; zeros for None. Raises UsageError for a misfit."""
    names = model.spec.states
    shape = (model.layers * model.directions, B, model.hidden_size)
    if state is None:
        return tuple(np.zeros(shape, model.dtype) for _ in names)
    if not isinstance(state, Sequence | np.ndarray) or len(state) != len(names):
        got = f"{len(state)} arrays" if isinstance(state, Sequence) else type(state).__name__
        raise UsageError(f"state must hold {', '.join(names)}; got {got}")
    given = [plain(f"state {name}", value)[...] for name, value in zip(names, state, strict=True)]
    for name, value in zip(names, given, strict=True):
        if value.shape != shape:
            raise UsageError(f"state {name} must be {shape}; got {value.shape}")
        _real(f"state {name}", value)
    return tuple(np.ascontiguousarray(value, dtype=model.dtype) for value in given)


def one_step(model: Model, x_t: Array) -> Array:
    """Return x_t [B, I] as C-contiguous of the model's dtype.

    Raises UsageError for a misfit, and Unsupported for a bidirectional model, which has no single steps.
    """
    if model.bidirectional:
        raise Unsupported(WHOLE_SEQUENCE)
    if type(x_t) is not np.ndarray:  # looked at here already: a call is a fortieth of a short step
        x_t = plain("x_t", x_t)
    if x_t.ndim != 2 or x_t.shape[1] != model.input_size or not len(x_t):
        raise UsageError(f"x_t must be [B, {model.input_size}]; got shape {x_t.shape}")
    _real("x_t", x_t)
    return np.ascontiguousarray(x_t, dtype=model.dtype)
