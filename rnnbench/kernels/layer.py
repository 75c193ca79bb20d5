"""One layer and direction over the compiled kernels: its packed weights, its tape, and training's large products."""

from functools import cached_property

import numpy as np

from rnnbench.kernels.layout import aligned
from rnnbench.kernels.library import across_inputs, across_units, kernels
from rnnbench.kernels.pack import backward_packing, forward_packing
from rnnbench.model import Array, Model, Params


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
        self._packed = aligned(layout.packed_size(self.inputs, self.H), layout.dtype)
        self._packing = forward_packing(layout, self.W, self.R, params[prefix + "b"], self._packed)
        self._is_packed = self._is_transposed = False
        self.tape, self.before = np.empty((0, 0, 0, 0), layout.dtype), np.empty((0, 0, 0, 0), layout.dtype)
        accumulators = model.spec.accumulators
        w_rows = iter(range(len(model.spec.w_accumulators)))
        r_rows = iter(range(len(model.spec.r_accumulators)))
        # Of each accumulator: its gradient's slot, its rows in W and R, and which kept array R multiplied.
        self._sources = [
            (
                layout.slot_of(index),
                next(w_rows) if a.sees_x else None,
                next(r_rows) if a.operand is not None else None,
                layout.operand_of(index),
            )
            for index, a in enumerate(accumulators)
        ]

    def changed(self) -> None:
        """The parameters have been updated in place."""
        self._is_packed = self._is_transposed = False

    @property
    def packed(self) -> Array:
        """The weights as the forward scan streams them."""
        if not self._is_packed:
            pack = across_units(self._dtype)
            for call in self._packing:
                pack(*call)
            self._is_packed = True
        return self._packed

    @cached_property
    def _transposed(self) -> Array:
        return aligned(self.layout.transposed_size(self.H), self.layout.dtype)

    @cached_property
    def _packing_transposed(self) -> list[tuple[object, ...]]:
        calls: list[tuple[object, ...]] = backward_packing(self.layout, self.R, self._transposed)
        return calls

    @property
    def transposed(self) -> Array:
        """R as the backward scan streams it."""
        if not self._is_transposed:
            pack = across_inputs(self._dtype)
            for call in self._packing_transposed:
                pack(*call)
            self._is_transposed = True
        return self._transposed

    def keep(self, T: int, B: int) -> None:
        """Makes room for the tape of T steps of B rows; a tape of that size is used again."""
        layout = self.layout
        Hp = layout.padded(self.H)
        if self.tape.shape != (T, B, layout.slots, Hp):
            self.tape = np.empty((T, B, layout.slots, Hp), layout.dtype)
            self.before = np.empty((layout.states + len(layout.stages) - 1, T, B, Hp), layout.dtype)

    def products(self, x: Array, gradients: Params, dx: Array | None) -> None:
        """From the pre-activations' gradients on the tape: this layer's share of `gradients`, written into its arrays,
        and of dx [T, B, I], added."""
        visits, H = x.shape[0] * x.shape[1], self.H
        tape: Array = self.tape.reshape(visits, self.layout.slots, -1)
        before: Array = self.before.reshape(len(self.before), visits, -1)
        flat_x, ones = x.reshape(visits, -1), np.ones(visits, x.dtype)
        dW, dR = gradients.get(self.prefix + "W"), gradients.get(self.prefix + "R")
        db = gradients[self.prefix + "b"]
        for number, (slot, w, r, operand) in enumerate(self._sources):
            dpre = tape[:, slot, :H]
            np.dot(ones, dpre, out=db[number])
            if w is not None and dW is not None:
                np.dot(dpre.T, flat_x, out=dW[w])
                if dx is not None:
                    dx += (dpre @ self.W[w]).reshape(dx.shape)
            if r is not None and dR is not None:
                np.dot(dpre.T, before[operand, :, :H], out=dR[r])
