"""Where everything lies: a cell's packed weights, the tape that training keeps, and the padded states.

Units are padded to a multiple of the lanes, Hp; a panel is one vector's worth of units. One layer and direction packs
into one flat array, stage after stage, each section in the order in which the tile streams it:

    b [panel, accumulator, lane]   W [panel, I, accumulators with W, lane]   R and U [panel, H, accumulators, lane]

R multiplies h, U the previous stage's result. For the backward pass the same R and U are packed the other way round,
[block of units, accumulator, Hp, lane], a block being `columns` vectors wide.

The tape is [T, B, slot, Hp], in order of time whatever the direction. A stage's slots hold what its forward saved;
backward, having read them, writes the gradients of its accumulators in their place.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rnnbench.cells.maths import Maths
from rnnbench.cells.spec import Backward, Cell, Forward, Operand
from rnnbench.kernels.gates import vector_maths
from rnnbench.kernels.target import DType, target
from rnnbench.kernels.vector import Vector, vector_type
from rnnbench.model import Array


@dataclass(frozen=True)
class StagePanels:
    """One stage: its operands (x, h, and the previous stage's result), how many accumulators it has and values it
    saves, its first slot on the tape and its first accumulator in the cell."""

    operands: tuple[Operand, Operand, Operand]
    accumulators: int
    saved: int
    slot: int
    first: int

    @property
    def masks(self) -> tuple[tuple[bool, ...], ...]:
        """Return of each operand which accumulators take its product."""
        return tuple(tuple(n in operand.places for n in range(self.accumulators)) for operand in self.operands)

    @property
    def slots(self) -> int:
        """Return how many slots of the tape the stage needs."""
        return max(self.saved, self.accumulators)

    @property
    def recurrent(self) -> int:
        """Return how many matrices of R the stage multiplies by."""
        return sum(len(operand.rows) for operand in self.operands[1:])


@dataclass(frozen=True)
class PanelLayout:
    """Everything about a cell and dtype that code and memory must agree on."""

    cell: Cell
    dtype: DType

    @cached_property
    def stages(self) -> tuple[StagePanels, ...]:
        found: list[StagePanels] = []
        slot = first = 0
        for stage, saved in zip(self.cell.stages, self.cell.saved_counts, strict=True):
            found.append(StagePanels(self.cell.operands(stage), len(stage.accumulators), saved, slot, first))
            slot, first = slot + found[-1].slots, first + len(stage.accumulators)
        return tuple(found)

    @cached_property
    def _maths(self) -> Maths:
        return vector_maths(self.dtype)  # type: ignore[no-any-return]

    @cached_property
    def pairs(self) -> tuple[tuple[Forward, Backward], ...]:
        """Make each stage's pair once: what is compiled is then what the cache's key was made of."""
        return tuple(stage.pair(self._maths) for stage in self.cell.stages)

    def made_of(self, scan: str) -> tuple[object, dict[int, str]]:
        """Return what decides the code of the forward or the backward scan, and by id what counts there by its name."""
        functions = tuple(pair[("forward", "backward").index(scan)] for pair in self.pairs)
        known = {id(value): name for name, value in (("m", self._maths), *vars(self._maths).items())}
        return (self.states, repr(self.stages), functions), known

    @property
    def slots(self) -> int:
        """Return how many slots of the tape a visit has."""
        return sum(stage.slots for stage in self.stages)

    @property
    def states(self) -> int:
        return len(self.cell.states)

    @cached_property
    def vector(self) -> Vector:
        """Return the vector of units. A cell of one accumulator gets one of two registers: else the tile would wait for
        its broadcasts."""
        widest = max(stage.accumulators for stage in self.stages)
        return vector_type(self.dtype.name, target().lanes(self.dtype) * (2 if widest == 1 else 1))

    @property
    def lanes(self) -> int:
        """Return the units of a panel."""
        return int(self.vector.lanes)

    @property
    def columns(self) -> int:
        """Return how many vectors of neighbouring units the backward tile computes side by side."""
        return 2 if self.lanes == target().lanes(self.dtype) else 1

    def padded(self, H: int) -> int:
        """Return Hp: H padded to whole panels."""
        return -(-H // self.lanes) * self.lanes

    def padded_back(self, H: int) -> int:
        """Return H padded to whole blocks of the backward tile."""
        block = self.lanes * self.columns
        return -(-H // block) * block

    def packed_size(self, I: int, H: int) -> int:
        """Return the elements of the weights packed for the forward scan."""
        a_unit = sum(s.accumulators + I * len(s.operands[0].rows) + H * s.recurrent for s in self.stages)
        return a_unit * self.padded(H)

    def transposed_size(self, H: int) -> int:
        """Return the elements of R packed for the backward scan."""
        return sum(stage.recurrent for stage in self.stages) * self.padded(H) * self.padded_back(H)


def aligned(size: int, dtype: DType) -> Array:
    """Return a zeroed flat array that begins at a cache line."""
    line = 64
    raw = np.zeros(size * dtype.itemsize + line, np.uint8)
    start = -raw.ctypes.data % line
    return raw[start : start + size * dtype.itemsize].view(dtype)
