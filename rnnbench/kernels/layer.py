"""One layer and direction over the compiled kernels: its packed weights, its tape, and training's large products."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rnnbench.kernels.layout import aligned
from rnnbench.kernels.library import across_inputs, across_units, kernels, products
from rnnbench.kernels.pack import backward_packing, forward_packing
from rnnbench.kernels.products import scratch_size
from rnnbench.model import Array, Model, Params

NO_SOURCE = -1


@dataclass(frozen=True)
class Share:
    """Accumulators whose gradients come from one product: of x (kept: None), of a kept array, or of nothing but ones.

    rows: (accumulator, row in W or R) of each; slots: where their gradients lie on the tape, int64.
    """

    kept: int | None
    rows: list[tuple[int, int]]
    slots: Array


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
        self._shares = self._plan_products(model)
        self._scratch: dict[int, tuple[Array, Array]] = {}

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
        return [
            Share(kept, pairs, np.array([layout.slot_of(number) for number, _ in pairs], np.int64))
            for kept, pairs in by_source.items()
        ]

    def products(self, x: Array, gradients: Params, dx: Array | None) -> None:
        """From the pre-activations' gradients on the tape: this layer's share of `gradients`, written into its arrays,
        and of dx [T, B, I], added."""
        visits, H = x.shape[0] * x.shape[1], self.H
        db = gradients[self.prefix + "b"]
        for share in self._shares:
            if share.kept is None:
                source, inputs, kind = x.reshape(visits, -1), self.inputs, "W"
            else:
                source, kind = self.before[max(share.kept, 0)].reshape(visits, -1), "R"
                inputs = H if share.kept != NO_SOURCE else 0
            out = self._multiply(source, inputs, share.slots, visits)
            for (number, row), product in zip(share.rows, out, strict=True):
                db[number] = product[inputs, :H]
                if inputs:
                    gradients[self.prefix + kind][row] = product[:inputs, :H].T
        if dx is not None:
            tape: Array = self.tape.reshape(visits, self.layout.slots, -1)
            for number, row in self._shares[0].rows if self._shares[0].kept is None else ():
                dx += (tape[:, self.layout.slot_of(number), :H] @ self.W[row]).reshape(dx.shape)

    def _multiply(self, source: Array, inputs: int, slots: Array, visits: int) -> Array:
        """[slot, inputs + 1, Hp]: the products of products.py, in memory that the next call uses again."""
        layout = self.layout
        Hp = layout.padded(self.H)
        out = np.empty((len(slots), inputs + 1, Hp), layout.dtype)
        if inputs not in self._scratch:
            scratch = aligned(scratch_size(inputs, layout.lanes), layout.dtype)
            self._scratch[inputs] = (scratch, np.zeros(inputs + 1, np.int64))
        stride = layout.slots * Hp
        kernel = products(self._dtype)
        kernel(source, source.shape[1], inputs, self.tape, stride, slots, Hp, visits, out, *self._scratch[inputs])
        return out
