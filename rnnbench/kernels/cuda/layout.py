"""What a cell's kernels and the memory they share agree on.

    pre     [T, B, G, H]      x · W of each accumulator that sees x; after backward, the gradient of every accumulator
    saved   [T, B, slot, H]   what the stages' forwards saved
    before  [kept, T, B, H]   the states before each step, then each earlier stage's result
    workspace [arrays, B, H]  the initial states, h twice (one is read while the other is written), each earlier stage's
                              result, and the final states

All flat, in order of time whatever the direction of the scan. Every access is guarded by the real H, so nothing is
padded in the GPU's main memory.
"""

from dataclasses import dataclass
from functools import cached_property

from rnnbench.cells.spec import H_STATE, STAGE_RESULT, Cell
from rnnbench.errors import Unsupported

DIGIT_BITS = 4
MOST_ACCUMULATORS = 15  # fifteen digits of four bits fit a signed 64-bit integer


def too_many_accumulators(cell: Cell) -> str | None:
    """Return why the kernels do not take the cell, or None."""
    most = MOST_ACCUMULATORS
    return f"the CUDA kernels take cells of at most {most} accumulators" if len(cell.accumulators) > most else None


@dataclass(frozen=True)
class StageLayout:
    """One stage. first: its first accumulator in the cell. h, u: its accumulators (counted from `first`) whose R
    multiplies h or the earlier stage's result, and h_rows, u_rows their rows in R. slot: its first saved value's."""

    first: int
    sees_x: tuple[bool, ...]
    h: tuple[int, ...]
    u: tuple[int, ...]
    h_rows: tuple[int, ...]
    u_rows: tuple[int, ...]
    saved: int
    slot: int

    @property
    def accumulators(self) -> int:
        return len(self.sees_x)


@dataclass(frozen=True)
class CudaLayout:
    """A cell's stages, and how much is kept a visit. Raises Unsupported for more accumulators than the kernels take."""

    cell: Cell

    def __post_init__(self) -> None:
        if reason := too_many_accumulators(self.cell):
            raise Unsupported(reason)

    @cached_property
    def stages(self) -> tuple[StageLayout, ...]:
        row_of = {a: row for row, a in enumerate(self.cell.r_accumulators)}
        stages: list[StageLayout] = []
        first = slot = 0
        for stage, saved in zip(self.cell.stages, self.cell.saved_counts, strict=True):
            found = stage.accumulators
            h, u = (tuple(n for n, a in enumerate(found) if a.operand == o) for o in (H_STATE, STAGE_RESULT))
            h_rows, u_rows = (tuple(row_of[found[n]] for n in numbers) for numbers in (h, u))
            stages.append(StageLayout(first, tuple(a.sees_x for a in found), h, u, h_rows, u_rows, saved, slot))
            first, slot = first + len(found), slot + saved
        return tuple(stages)

    @property
    def states(self) -> int:
        return len(self.cell.states)

    @property
    def accumulators(self) -> int:
        return len(self.cell.accumulators)

    @property
    def saved(self) -> int:
        return sum(stage.saved for stage in self.stages)

    @property
    def kept(self) -> int:
        """Count the arrays of `before`."""
        return self.states + len(self.stages) - 1

    @property
    def final_array(self) -> int:
        """Return the index in `workspace` of the first final state."""
        return self.kept + 2

    def users(self, number: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the accumulators, by index in the cell, that stage `number`'s result is an operand of (the last
        stage's is h), and their rows in R."""
        if number == len(self.stages) - 1:
            rows = tuple(row for stage in self.stages for row in stage.h_rows)
            return tuple(stage.first + n for stage in self.stages for n in stage.h), rows
        following = self.stages[number + 1]
        return tuple(following.first + n for n in following.u), following.u_rows


def digits(values: tuple[int, ...]) -> int:
    """Pack small numbers into one integer: a kernel looks one up by arithmetic, and no array is in local memory."""
    return sum(value << (DIGIT_BITS * place) for place, value in enumerate(values))
