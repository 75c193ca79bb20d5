"""One layer and direction on the device: its scan in each direction of time, and the large products around it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, groupby
from typing import Any

import numpy as np

from rnnbench.cells.spec import STAGE_RESULT
from rnnbench.kernels.cuda import library
from rnnbench.kernels.cuda.large import ADD, WRITE
from rnnbench.kernels.cuda.layout import Layout
from rnnbench.kernels.cuda.matrix import Matrix, Products
from rnnbench.kernels.cuda.memory import Memory
from rnnbench.kernels.cuda.plan import Plan
from rnnbench.kernels.cuda.scan import final_block, work_blocks
from rnnbench.kernels.cuda.target import Kernel, zeros
from rnnbench.model import Array, Model


@dataclass(frozen=True)
class Run:
    """Neighbouring accumulators whose rows in W (or in R) are neighbours too, and what their R multiplied."""

    first: int
    row: int
    count: int
    kept: int = 0

    @classmethod
    def of(cls, found: Sequence[tuple[int, int, int]]) -> "list[Run]":
        """found: (accumulator, row, kept array) of each, in order."""
        counter = count()
        runs = []
        for _, group in groupby(found, key=lambda each: (each[0] - next(counter), each[2])):
            members = list(group)
            runs.append(cls(members[0][0], members[0][1], len(members), members[0][2]))
        return runs


@dataclass
class Scan:
    """The kernels of a plan, and the counters at which their blocks meet (`barrier.py`)."""

    plan: Plan
    kernels: tuple[Kernel, ...]
    counters: Any
    goal: int = 0

    @classmethod
    def of(cls, model: Model, batch: int, backward: bool) -> "Scan":
        plan = library.plan(model.spec, model.dtype, model.hidden_size, batch, backward)
        kernels = library.scan(model.spec, model.dtype, plan, backward)
        return cls(plan, kernels, zeros(plan.row_blocks, np.int64))

    def launch(self, arrays: tuple[Any, ...], ats: tuple[int, ...], T: int, rest: tuple[int, ...], back: bool) -> None:
        """The whole sequence; `back`: from its end."""
        steps = [(0, T)] if self.plan.looped else [(step, step + 1) for step in range(T)]
        for first, last in ([(last, first) for first, last in reversed(steps)]) if back else steps:
            for kernel in self.kernels:
                kernel.launch(self.plan.grid, *arrays, self.counters, *ats, self.goal, first, last, T, *rest)
                self.goal += abs(last - first) * self.plan.meetings * self.plan.meeting_blocks


class Layer:
    """at: where this layer's W, R and b begin in the flat parameters, and in their gradient, by letter.

    After `forward` with keep, and until the next, `backward` may be called.
    """

    def __init__(
        self, model: Model, number: int, layer: int, reverse: bool, at: dict[str, int], products: Products
    ) -> None:
        self.model, self.number, self.reverse, self.at, self.products = model, number, reverse, at, products
        self.layout = Layout(model.spec)
        self.H, self.inputs = model.hidden_size, model.features if layer else model.input_size
        self.column, self.dtype = self.H if reverse else 0, np.dtype(model.dtype)
        self.memory = Memory(self.dtype)
        self._scans: dict[tuple[int, bool], Scan] = {}
        accumulators = model.spec.accumulators
        w, r = count(), count()
        self._w_runs = Run.of([(n, next(w), 0) for n, a in enumerate(accumulators) if a.sees_x])
        self._r_runs = Run.of(
            [(n, next(r), self._kept(n)) for n, a in enumerate(accumulators) if a.operand is not None]
        )
        self._start_is_zero: int | None = None

    def _kept(self, accumulator: int) -> int:
        """The array of `before` that its R multiplied."""
        if self.model.spec.accumulators[accumulator].operand != STAGE_RESULT:
            return 0
        number = next(n for n, s in enumerate(self.layout.stages) if accumulator < s.first + s.accumulators)
        return self.layout.states + number - 1

    def scan(self, batch: int, backward: bool) -> Scan:
        if (batch, backward) not in self._scans:
            self._scans[batch, backward] = Scan.of(self.model, batch, backward)
        return self._scans[batch, backward]

    @property
    def work(self) -> Any:
        return self.memory["work"]

    def final_at(self, B: int) -> int:
        """Where in `work` the final h [B, H] lies; the other states after it."""
        return final_block(self.layout) * B * self.H

    def begin(self, start: Array | None, B: int) -> None:
        """The initial states [state, B, H]; zeros for None."""
        self.memory.need("work", work_blocks(self.layout) * B * self.H)
        if start is not None:
            self.memory.fill("work", start)
        elif self._start_is_zero != B:
            self.memory.fill("work", np.zeros((self.layout.states, B, self.H), self.dtype))
        self._start_is_zero = B if start is None else None

    def forward(self, theta: Any, x: Any, y: Any, lengths: Any, T: int, B: int, keep: bool) -> None:
        """x [T * B, I]; y: what a layer hands on, [T, B, D*H], or None where nobody wants it."""
        layout, H, visits = self.layout, self.H, T * B
        pre = self.memory.need("pre", visits * layout.accumulators * H)
        saved = self.memory.need("saved", visits * layout.saved * H if keep else 1)
        before = self.memory.need("before", layout.kept * visits * H if keep else 1)
        for run in self._w_runs:
            W = Matrix(theta, self.at["W"] + run.row * H * self.inputs, self.inputs, 1)
            out = Matrix(pre, run.first * H, layout.accumulators * H, 1)
            self.products.multiply(Matrix(x, 0, self.inputs, 1), W, out, visits, run.count * H, self.inputs)
        given = (pre, theta, self.work, self.work if y is None else y, saved, before, lengths)
        ats = (self.at["R"], self.at["b"])
        rest = (B, H, 0 if y is None else self.model.features, self.column, int(self.reverse), int(keep))
        self.scan(B, False).launch(given, ats, T, rest, back=False)

    def backward(
        self, theta: Any, x: Any, dy: Any, every: bool, lengths: Any, T: int, B: int, gradient: Any, dx: Any, add: bool
    ) -> None:
        """dy [T * B, D*H] with `every`, else the final h's [B, D*H]. Writes this layer's share of `gradient`, and dx
        [T * B, I] unless it is None, added to what is there with `add`."""
        layout, H, visits, memory = self.layout, self.H, T * B, self.memory
        G, pre = layout.accumulators, memory["pre"]
        carry = memory.need("carry", layout.states * B * H)
        given = (pre, theta, memory["saved"], memory["before"], dy, carry, lengths)
        rest = (B, H, self.model.features, self.column, int(every), int(self.reverse))
        self.scan(B, True).launch(given, (self.at["R"],), T, rest, back=True)
        for run in self._w_runs:
            into = Matrix(gradient, self.at["W"] + run.row * H * self.inputs, self.inputs, 1)
            along = Matrix(pre, run.first * H, 1, G * H)
            self.products.multiply(along, Matrix(x, 0, 1, self.inputs), into, run.count * H, self.inputs, visits)
            if dx is not None:
                W = Matrix(theta, self.at["W"] + run.row * H * self.inputs, 1, self.inputs)
                mode = ADD if add or run is not self._w_runs[0] else WRITE
                along = Matrix(pre, run.first * H, G * H, 1)
                self.products.multiply(
                    along, W, Matrix(dx, 0, self.inputs, 1), visits, self.inputs, run.count * H, mode
                )
        for run in self._r_runs:
            into = Matrix(gradient, self.at["R"] + run.row * H * H, H, 1)
            operand = Matrix(memory["before"], run.kept * visits * H, 1, H)
            self.products.multiply(Matrix(pre, run.first * H, 1, G * H), operand, into, run.count * H, H, visits)
        self.products.sum_rows(pre, visits, G * H, gradient, self.at["b"])
