"""One layer and direction, and the head, as the kernels want them: where weights lie, packed or not, and what training
multiplies."""

from functools import cached_property

import numpy as np

from rnnbench.kernels.args import SectionArgs
from rnnbench.kernels.compiled import kernels
from rnnbench.kernels.dense import block_width
from rnnbench.kernels.layout import aligned
from rnnbench.kernels.pack import across_inputs, across_units, backward_sections, forward_sections
from rnnbench.model import Array, Model, Params

NO_ROW = -1


class PackedWeights:
    """What `DenseArgs` multiplies by: matrices [K, outputs], one for each run of a source's row, as they stand or
    `transposed` [outputs, K]; what the sums begin with; and where in a row the runs lie."""

    def __init__(
        self, matrices: list[Array], transposed: bool, begin: Array | None = None, run_at: Array | None = None
    ) -> None:
        dtype = matrices[0].dtype
        first, width = matrices[0], block_width(dtype)
        self.run_at: Array = np.zeros(1, np.int64) if run_at is None else np.asarray(run_at)
        self.outputs, self.K = first.shape if transposed else first.shape[::-1]
        padded = -(-self.outputs // width) * width
        self.memory: Array = aligned(padded * self.K * len(matrices), dtype)
        self.begin: Array = aligned(padded, dtype)
        if transposed:
            sections = [across_units(first, self.memory, 0, 1, width)]
        else:
            count = len(matrices)
            sections = [across_inputs(m, self.K, self.memory, n, count, width) for n, m in enumerate(matrices)]
        if begin is not None:
            sections.append(across_units(begin, self.begin, 0, 1, width))
        self.sections = sections


class PackedLayer:
    """One layer and direction. Parameters are views that the session updates in place; `packing` and `packing_back`
    put them where the scans read them."""

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
        # Of every accumulator, the slot where backward leaves its gradient.
        self.slots = np.array([s.slot + n for s in layout.stages for n in range(s.accumulators)], np.int64)
        self.operands = self._operands()

    @cached_property
    def packed_back(self) -> Array:
        """Return memory for R as the backward scan streams it."""
        return aligned(self.layout.transposed_size(self.H), self.layout.dtype)

    @cached_property
    def packing_back(self) -> list[SectionArgs]:
        """Return the sections that fill `packed_back`."""
        return list(backward_sections(self.layout, self.R, self.packed_back))

    @cached_property
    def to_inputs(self) -> PackedWeights:
        """Return what gives the gradient of the input from a visit on the tape: zeros where no accumulator sees x."""
        rows = self.operands.get(None)
        if rows is None:
            return PackedWeights([np.zeros((self.H, self.inputs), self.layout.dtype)], transposed=False)
        wanted = rows != NO_ROW
        matrices, run_at = [self.W[row] for row in rows[wanted]], self.slots[wanted] * self.padded
        return PackedWeights(matrices, transposed=False, run_at=run_at)

    @property
    def padded(self) -> int:
        return self.layout.padded(self.H)

    def _operands(self) -> dict[int | None, Array]:
        """Return what training multiplies the pre-activations' gradients by: the layer's input (None), or a kept array,
        by its number; and int64 [G], of each accumulator its row in W or R, or NO_ROW."""
        layout = self.layout
        rows: dict[int | None, Array] = {}
        for number, stage in enumerate(layout.stages):
            for kept, operand in zip((None, 0, layout.states + number - 1), stage.operands, strict=True):
                for place, row in zip(operand.places, operand.rows, strict=True):
                    rows.setdefault(kept, np.full(len(self.slots), NO_ROW))[stage.first + place] = row
        return rows


class PackedHead:
    """The linear head: outputs = features · Wᵀ + b."""

    def __init__(self, W: Array, b: Array) -> None:
        self.outputs, self.features = W.shape
        self.forward = PackedWeights([W], transposed=True, begin=b)
        self._W = W

    @cached_property
    def backward(self) -> PackedWeights:
        """Return the weights that give the gradient of the features from that of the outputs."""
        return PackedWeights([self._W], transposed=False)
