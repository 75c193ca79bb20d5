"""What the kernels need to know of one layer and direction, and of the head: where weights lie, packed or not, and
training's large products."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rnnbench.kernels.dense import block_width
from rnnbench.kernels.layout import aligned
from rnnbench.kernels.library import kernels
from rnnbench.kernels.pack import across_inputs, across_units, backward_sections, forward_sections
from rnnbench.model import Array, Model, Params

NOT_FED = -1


@dataclass(frozen=True)
class Source:
    """What training multiplies the pre-activations' gradients by: the layer's input (kept: None), or a kept array, by
    its number. rows int64 [G]: of each accumulator its row in W or R, or NOT_FED. inputs: the source's length."""

    kept: int | None
    rows: Array
    inputs: int


class Weights:
    """What `call.DENSE` multiplies by: matrices [K, outputs], one for each run of a source's row, as they stand or
    `turned` [outputs, K]; and what the sums begin with."""

    def __init__(self, matrices: list[Array], turned: bool, begin: Array | None = None) -> None:
        dtype = matrices[0].dtype
        first, width = matrices[0], block_width(dtype)
        self.outputs, self.K = first.shape if turned else first.shape[::-1]
        padded = -(-self.outputs // width) * width
        self.memory: Array = aligned(padded * self.K * len(matrices), dtype)
        self.begin: Array = aligned(padded, dtype)
        if turned:
            sections = [across_units(first, self.outputs, self.K, self.memory, 0, 1, width)]
        else:
            count = len(matrices)
            sections = [across_inputs(m, self.K, self.memory, n, count, width) for n, m in enumerate(matrices)]
        if begin is not None:
            sections.append(across_units(begin, self.outputs, 1, self.begin, 0, 1, width))
        self.sections = sections


class Layer:
    """Parameters are views that the session updates in place; `packing` and `packing_back`: how kernels want them."""

    def __init__(self, model: Model, number: int, layer: int, reverse: bool, prefix: str, params: Params) -> None:
        self.kernels = kernels(model.spec, model.dtype)
        self.number, self.layer, self.reverse, self.prefix = number, layer, reverse, prefix
        self.inputs, self.H = model.features if layer else model.input_size, model.hidden_size
        self.column = self.H if reverse else 0
        layout = self.layout = self.kernels.layout
        self.W = params.get(prefix + "W", np.zeros((0, self.H, self.inputs), model.dtype))
        self.R = params.get(prefix + "R", np.zeros((0, self.H, self.H), model.dtype))
        self.packed = aligned(layout.packed_size(self.inputs, self.H), layout.dtype)
        self.packing = list(forward_sections(layout, self.W, self.R, params[prefix + "b"], self.packed))
        accumulators = range(len(model.spec.accumulators))
        self.slots = np.array([layout.slot_of(number) for number in accumulators], np.int64)
        self.sources = self._sources(model)

    @cached_property
    def packed_back(self) -> Array:
        """R, as the backward scan streams it."""
        return aligned(self.layout.transposed_size(self.H), self.layout.dtype)

    @cached_property
    def packing_back(self) -> list[dict[str, Any]]:
        return list(backward_sections(self.layout, self.R, self.packed_back))

    @cached_property
    def to_inputs(self) -> tuple[Weights, Array]:
        """What gives the gradient of the input from the tape: the weights, and where their runs lie in a visit. Zeros
        where no accumulator sees x."""
        for source in self.sources:
            if source.kept is None:
                fed = source.rows != NOT_FED
                return Weights([self.W[row] for row in source.rows[fed]], turned=False), self.slots[fed] * self.padded
        return Weights([np.zeros((self.H, self.inputs), self.layout.dtype)], turned=False), np.zeros(1, np.int64)

    @property
    def padded(self) -> int:
        return self.layout.padded(self.H)

    def tape_shape(self, T: int, B: int) -> tuple[int, ...]:
        return T, B, self.layout.slots, self.padded

    def before_shape(self, T: int, B: int) -> tuple[int, ...]:
        return self.layout.states + len(self.layout.stages) - 1, T, B, self.padded

    def _sources(self, model: Model) -> list[Source]:
        """x for the accumulators with a W, h or a stage's result for those whose R met it."""
        cell, layout = model.spec, self.layout
        w, r = (iter(range(len(some))) for some in (cell.w_accumulators, cell.r_accumulators))
        rows: dict[int | None, Array] = {}
        for number, accumulator in enumerate(cell.accumulators):
            if accumulator.sees_x:
                rows.setdefault(None, np.full(len(cell.accumulators), NOT_FED))[number] = next(w)
            if accumulator.operand is not None:
                kept = layout.operand_of(number)
                rows.setdefault(kept, np.full(len(cell.accumulators), NOT_FED))[number] = next(r)
        return [Source(kept, fed, self.inputs if kept is None else self.H) for kept, fed in rows.items()]


class Head:
    """The linear head: outputs = features · Wᵀ + b."""

    def __init__(self, W: Array, b: Array) -> None:
        self.outputs, self.features = W.shape
        self.forward = Weights([W], turned=True, begin=b)
        self._W = W
        self.slots = np.zeros(1, np.int64)
        self.source = Source(None, np.zeros(1, np.int64), self.features)

    @cached_property
    def backward(self) -> Weights:
        """The gradient of the features from that of the outputs."""
        return Weights([self._W], turned=False)
