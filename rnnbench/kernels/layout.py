"""Where everything lies: a cell's packed weights, the tape that training keeps, and the padded states.

Units are padded to a multiple of the lanes, Hp; a panel is one vector's worth of units. One layer and direction packs
into one flat array, stage after stage, each section in the order in which the tile streams it:

    b [panel, accumulator, lane]   W [panel, I, accumulators with W, lane]   R and U [panel, H, accumulators, lane]

R multiplies h, U the previous stage's result. For the backward pass the same R and U are packed the other way round,
[block of units, accumulator, Hp, lane], a block being `columns` vectors wide.

The tape is [T, B, slot, Hp], in order of time whatever the direction. A stage's slots hold what its forward saved;
backward, having read them, writes the gradients of its accumulators in their place.
"""

import uuid
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rnnbench.cells.spec import H_STATE, STAGE_RESULT, Cell
from rnnbench.kernels.cache import cell_fingerprint
from rnnbench.kernels.target import PASTED, jit, target
from rnnbench.kernels.vector import vector_type
from rnnbench.model import Array

DType = np.dtype[Any]


@dataclass(frozen=True)
class StagePlan:
    """One stage: masks over its accumulators, how many values it saves, its first slot and first accumulator."""

    w: tuple[bool, ...]
    r: tuple[bool, ...]
    u: tuple[bool, ...]
    saved: int
    slot: int
    first: int

    @property
    def accumulators(self) -> int:
        return len(self.w)

    @property
    def slots(self) -> int:
        return max(self.saved, self.accumulators)

    def packed_size(self, I: int, H: int, panels: int, lanes: int) -> int:
        per_panel = self.accumulators + I * sum(self.w) + H * (sum(self.r) + sum(self.u))
        return per_panel * panels * lanes


@dataclass(frozen=True)
class Layout:
    """Everything about a cell and dtype that code and memory must agree on."""

    cell: Cell
    dtype: DType

    @cached_property
    def stages(self) -> tuple[StagePlan, ...]:
        plans: list[StagePlan] = []
        slot = first = 0
        for stage, saved in zip(self.cell.stages, self.cell.saved_counts, strict=True):
            a = stage.accumulators
            plan = StagePlan(
                w=tuple(x.sees_x for x in a),
                r=tuple(x.operand == H_STATE for x in a),
                u=tuple(x.operand == STAGE_RESULT for x in a),
                saved=saved,
                slot=slot,
                first=first,
            )
            plans.append(plan)
            slot, first = slot + plan.slots, first + len(a)
        return tuple(plans)

    @cached_property
    def _tag(self) -> str:
        fingerprint = cell_fingerprint(self.cell) or uuid.uuid4().hex
        return f"{fingerprint[:16]}.{self.dtype.name}"

    def jit(self, function: Any) -> Any:
        """Compiles a helper or kernel of this layout."""
        return jit(function, self._tag)

    def paste(self, function: Any) -> Any:
        """The same for a helper that is pasted into its caller (see target.py)."""
        return jit(function, self._tag, **PASTED)

    @property
    def slots(self) -> int:
        return sum(stage.slots for stage in self.stages)

    @property
    def states(self) -> int:
        return len(self.cell.states)

    @cached_property
    def vector(self) -> Any:
        """A cell of one accumulator gets vectors of two registers: else the tile would wait for its broadcasts."""
        widest = max(stage.accumulators for stage in self.stages)
        return vector_type(self.dtype.name, target().lanes(self.dtype) * (2 if widest == 1 else 1))

    @property
    def lanes(self) -> int:
        return int(self.vector.lanes)

    @property
    def columns(self) -> int:
        """Vectors of neighbouring units that the backward tile computes side by side."""
        return 2 if self.lanes == target().lanes(self.dtype) else 1

    def padded(self, H: int) -> int:
        return -(-H // self.lanes) * self.lanes

    def padded_back(self, H: int) -> int:
        block = self.lanes * self.columns
        return -(-H // block) * block

    def packed_size(self, I: int, H: int) -> int:
        panels = self.padded(H) // self.lanes
        return sum(stage.packed_size(I, H, panels, self.lanes) for stage in self.stages)

    def transposed_size(self, H: int) -> int:
        return sum(sum(stage.r) + sum(stage.u) for stage in self.stages) * self.padded(H) * self.padded_back(H)

    def slot_of(self, accumulator: int) -> int:
        """Where the gradient of an accumulator (by its index in the cell) lies after backward."""
        for stage in self.stages:
            if stage.first <= accumulator < stage.first + stage.accumulators:
                return stage.slot + accumulator - stage.first
        raise IndexError(accumulator)

    def operand_of(self, accumulator: int) -> int:
        """Which of the kept arrays [T, B, Hp] the R of an accumulator multiplied: h, or an earlier stage's result."""
        for number, stage in enumerate(self.stages):
            if stage.first <= accumulator < stage.first + stage.accumulators:
                return 0 if self.cell.accumulators[accumulator].operand == H_STATE else self.states + number - 1
        raise IndexError(accumulator)


def aligned(size: int, dtype: DType) -> Array:
    """A zeroed flat array that begins at a cache line."""
    line = 64
    raw = np.zeros(size * dtype.itemsize + line, np.uint8)
    start = -raw.ctypes.data % line
    return raw[start : start + size * dtype.itemsize].view(dtype)
