"""One layer and direction over the compiled kernels: its packed weights, its tape, and training's large products."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rnnbench.kernels.layout import aligned
from rnnbench.kernels.library import across_inputs, across_units, kernels
from rnnbench.kernels.pack import backward_packing, forward_packing
from rnnbench.model import Array, Model, Params

NO_SOURCE = -1


@dataclass(frozen=True)
class Share:
    """Accumulators whose gradients come from one product: of x (kept: None), of a kept array, or of nothing but ones.

    accumulators: their indices in the cell; rows: theirs in W or R; slots: where their gradients lie on the tape; all
    int64. inputs: the length of what the product takes.
    """

    kept: int | None
    accumulators: Array
    rows: Array
    slots: Array
    inputs: int


class Layer:
    """Parameters are views that the session updates in place; `changed` says so, and they are packed when next used.

    tape [T, B, slot, Hp] and before [state or stage result, T, B, Hp]: what the last forward pass with `keep` left.
    """

    def __init__(self, model: Model, number: int, layer: int, reverse: bool, prefix: str, params: Params) -> None:
        self.kernels = kernels(model.spec, model.dtype)
        self.number, self.reverse, self.prefix = number, reverse, prefix
        self.inputs, self.H = model.features if layer else model.input_size, model.hidden_size
        self.column, self._dtype = self.H if reverse else 0, model.dtype
        layout = self.layout = self.kernels.layout
        self.W = params.get(prefix + "W", np.zeros((0, self.H, self.inputs), model.dtype))
        self.R = params.get(prefix + "R", np.zeros((0, self.H, self.H), model.dtype))
        self.packed_memory = aligned(layout.packed_size(self.inputs, self.H), layout.dtype)
        self._packing = forward_packing(layout, self.W, self.R, params[prefix + "b"], self.packed_memory)
        self._is_packed = self._is_transposed = False
        self.tape, self.before = np.empty((0, 0, 0, 0), layout.dtype), np.empty((0, 0, 0, 0), layout.dtype)
        self.shares = self._plan_products(model)

    def changed(self) -> None:
        """The parameters have been updated in place."""
        self._is_packed = self._is_transposed = False

    def pack(self) -> None:
        """Puts the weights into `packed_memory`, as the forward scan streams them, unless they are there."""
        if not self._is_packed:
            pack = across_units(self._dtype)
            for call in self._packing:
                pack(*call)
            self._is_packed = True

    @cached_property
    def transposed_memory(self) -> Array:
        """Where `pack_transposed` puts R, as the backward scan streams it."""
        return aligned(self.layout.transposed_size(self.H), self.layout.dtype)

    @cached_property
    def _packing_transposed(self) -> list[tuple[object, ...]]:
        calls: list[tuple[object, ...]] = backward_packing(self.layout, self.R, self.transposed_memory)
        return calls

    def pack_transposed(self) -> None:
        """Puts R into `transposed_memory`, unless it is there."""
        if not self._is_transposed:
            pack = across_inputs(self._dtype)
            for call in self._packing_transposed:
                pack(*call)
            self._is_transposed = True

    def keep(self, T: int, B: int) -> None:
        """Makes room for the tape of T steps of B rows; a tape of that size is used again."""
        layout = self.layout
        Hp = layout.padded(self.H)
        if self.tape.shape != (T, B, layout.slots, Hp):
            self.tape = np.empty((T, B, layout.slots, Hp), layout.dtype)
            self.before = np.empty((layout.states + len(layout.stages) - 1, T, B, Hp), layout.dtype)

    def _plan_products(self, model: Model) -> list[Share]:
        """One product per source: x for the accumulators with a W, h or a stage's result for those whose R met it."""
        cell, layout = model.spec, self.layout
        w_rows, r_rows = iter(range(len(cell.w_accumulators))), iter(range(len(cell.r_accumulators)))
        by_source: dict[int | None, list[tuple[int, int]]] = {}
        for number, accumulator in enumerate(cell.accumulators):
            if accumulator.sees_x:
                by_source.setdefault(None, []).append((number, next(w_rows)))
            if accumulator.operand is not None:
                by_source.setdefault(layout.operand_of(number), []).append((number, next(r_rows)))
            if not accumulator.sees_x and accumulator.operand is None:
                by_source.setdefault(NO_SOURCE, []).append((number, 0))
        inputs = {None: self.inputs, NO_SOURCE: 0}
        return [
            Share(
                kept,
                np.array([number for number, _ in pairs], np.int64),
                np.array([row for _, row in pairs], np.int64),
                np.array([layout.slot_of(number) for number, _ in pairs], np.int64),
                inputs.get(kept, self.H),
            )
            for kept, pairs in by_source.items()
        ]

    def product(self, share: Share, x: Array, gradients: Params) -> tuple[Array, Array, Array, Array]:
        """What the kernel of products.py takes for a share: the source, the tape, and the arrays of `gradients` that it
        writes."""
        source = x if share.kept is None else self.before[max(share.kept, 0)]
        db = gradients[self.prefix + "b"]
        kind = self.prefix + ("W" if share.kept is None else "R")
        return source, self.tape, gradients[kind] if share.inputs else db[None], db

    def add_input_gradient(self, dx: Array) -> None:
        """dx [T, B, I] += what this layer's pre-activations' gradients, on the tape, give its input."""
        visits, H = dx.shape[0] * dx.shape[1], self.H
        tape: Array = self.tape.reshape(visits, self.layout.slots, -1)
        for share in self.shares:
            if share.kept is None:
                for slot, row in zip(share.slots, share.rows, strict=True):
                    dx += (tape[:, slot, :H] @ self.W[row]).reshape(dx.shape)
