"""One layer and direction on the device: its scan in each direction of time, and the large products around it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, groupby
from typing import NamedTuple

import numpy as np

from rnnbench.kernels.cuda import compiled
from rnnbench.kernels.cuda.backward import CudaBackwardArgs
from rnnbench.kernels.cuda.large import ADD, WRITE, Matrix
from rnnbench.kernels.cuda.launches import Products
from rnnbench.kernels.cuda.layout import CudaLayout
from rnnbench.kernels.cuda.plan import ScanPlan
from rnnbench.kernels.cuda.scan import CudaForwardArgs, CudaScanArgs
from rnnbench.kernels.cuda.target import DeviceMemory, Kernel, zeros
from rnnbench.kernels.cuda.types import DeviceArray, IntegerArray
from rnnbench.model import Array, Model


class CudaWeights(NamedTuple):
    """A layer's parameters in flat memory, and the offsets of its W, R and b there."""

    memory: DeviceArray
    W: int
    R: int
    b: int


class DeviceBatch(NamedTuple):
    """The rows of one call: lengths int64 [B], each at most T."""

    lengths: IntegerArray
    T: int
    B: int


class OutputGradient(NamedTuple):
    """dy [T * B, D*H] with `every`, else the final h's [B, D*H]."""

    memory: DeviceArray
    every: bool


@dataclass(frozen=True)
class AccumulatorGroup:
    """Neighbouring accumulators whose rows in W (or in R) are neighbours too, and what their R multiplied."""

    first: int
    row: int
    count: int
    kept: int = 0

    @classmethod
    def of(cls, found: Sequence[tuple[int, int, int]]) -> "list[AccumulatorGroup]":
        """Group what was found: (accumulator, row, kept array) of each, in order."""
        counter = count()
        groups = []
        for _, group in groupby(found, key=lambda each: (each[0] - next(counter), each[2])):
            members = list(group)
            groups.append(cls(members[0][0], members[0][1], len(members), members[0][2]))
        return groups


@dataclass
class CudaScan:
    """The kernels of a plan, and the counters at which their blocks wait for each other (`barrier.py`)."""

    plan: ScanPlan
    kernels: tuple[Kernel, ...]
    counters: IntegerArray
    goal: int = 0

    def launch(self, args: CudaScanArgs, own: CudaForwardArgs | CudaBackwardArgs) -> None:
        """Launch the whole sequence, backwards from its end."""
        steps = [(0, args.T)] if self.plan.looped else [(step, step + 1) for step in range(args.T)]
        if isinstance(own, CudaBackwardArgs):
            steps = [(last, first) for first, last in reversed(steps)]
        for first, last in steps:
            for kernel in self.kernels:
                kernel.launch(self.plan.grid, self.goal, first, last, *args, *own)
                self.goal += abs(last - first) * self.plan.barriers * self.plan.barrier_blocks


class CudaLayer:
    """number: among the model's layers and directions. After `forward` with keep, and until the next, `backward` may be
    called."""

    def __init__(
        self, model: Model, number: int, layer: int, reverse: bool, weights: CudaWeights, products: Products
    ) -> None:
        self.model, self.number, self.reverse, self.weights, self.products = model, number, reverse, weights, products
        self.layout = CudaLayout(model.spec)
        self.H, self.inputs = model.hidden_size, model.features if layer else model.input_size
        self.column, self.dtype = self.H if reverse else 0, np.dtype(model.dtype)
        self.memory = DeviceMemory(self.dtype)
        self._scans: dict[tuple[int, bool], CudaScan] = {}
        seeing = (n for n, a in enumerate(model.spec.accumulators) if a.sees_x)
        self._w_groups = AccumulatorGroup.of([(n, row, 0) for row, n in enumerate(seeing)])
        found: list[tuple[int, int, int]] = []
        for number in range(len(self.layout.stages)):  # kept: of `before`, the array that R multiplied
            kept = 0 if number == len(self.layout.stages) - 1 else self.layout.states + number
            found += ((n, row, kept) for n, row in zip(*self.layout.users(number), strict=True))
        self._r_groups = AccumulatorGroup.of(sorted(found))
        self._start_is_zero: int | None = None

    def scan(self, batch: int, backward: bool) -> CudaScan:
        if (batch, backward) not in self._scans:
            cell, dtype = self.model.spec, self.model.dtype
            plan = compiled.plan(cell, dtype, self.H, batch, backward)
            kernels = compiled.scan(cell, dtype, plan, backward)
            self._scans[batch, backward] = CudaScan(plan, kernels, zeros(plan.row_blocks, np.int64))
        return self._scans[batch, backward]

    @property
    def workspace(self) -> DeviceArray:
        return self.memory["workspace"]

    def final_at(self, B: int) -> int:
        """Return where in `workspace` the final h [B, H] lies; the other states after it."""
        return self.layout.final_array * B * self.H

    def set_state(self, start: Array | None, B: int) -> None:
        """Set the initial states [state, B, H]; zeros for None."""
        self.memory.buffer("workspace", (self.layout.final_array + self.layout.states) * B * self.H)
        if start is not None:
            self.memory.fill("workspace", start)
        elif self._start_is_zero != B:
            self.memory.fill("workspace", np.zeros((self.layout.states, B, self.H), self.dtype))
        self._start_is_zero = B if start is None else None

    def _w(self, memory: DeviceArray, group: AccumulatorGroup) -> Matrix:
        """Return the group's W [units of all, I], or its gradient, in flat memory."""
        return Matrix(memory, self.weights.W + group.row * self.H * self.inputs, self.inputs, 1)

    def forward(self, x: DeviceArray, y: DeviceArray | None, batch: DeviceBatch, keep: bool) -> None:
        """Launch inference. x [T * B, I]; y: what a layer hands on, [T, B, D*H], or None where nobody wants it. keep:
        whether `backward` will follow."""
        layout, H, visits = self.layout, self.H, batch.T * batch.B
        pre = self.memory.buffer("pre", visits * layout.accumulators * H)
        self.memory.buffer("saved", visits * layout.saved * H if keep else 1)
        self.memory.buffer("before", layout.kept * visits * H if keep else 1)
        for group in self._w_groups:
            out = Matrix(pre, group.first * H, layout.accumulators * H, 1)
            sizes = visits, group.count * H, self.inputs
            self.products.multiply(Matrix(x, 0, self.inputs, 1), self._w(self.weights.memory, group), out, sizes)
        y, y_stride = (self.workspace, 0) if y is None else (y, self.model.features)
        self._launch_scan(batch, CudaForwardArgs(self.workspace, y, self.weights.b, y_stride, int(keep)))

    def _launch_scan(self, batch: DeviceBatch, own: CudaForwardArgs | CudaBackwardArgs) -> None:
        (lengths, T, B), memory, theta = batch, self.memory, self.weights.memory
        scan = self.scan(B, isinstance(own, CudaBackwardArgs))
        args = CudaScanArgs(
            scan.counters, memory["pre"], theta, memory["saved"], memory["before"], lengths,
            self.weights.R, T, B, self.H, self.column, int(self.reverse),
        )  # fmt: skip
        scan.launch(args, own)

    def backward(
        self, x: DeviceArray, dy: OutputGradient, batch: DeviceBatch, gradient: DeviceArray, dx: DeviceArray | None,
        add: bool,
    ) -> None:  # fmt: skip
        """Write this layer's part of `gradient`, and dx [T * B, I] unless it is None, added to what is there with
        `add`."""
        H, memory, visits = self.H, self.memory, batch.T * batch.B
        width, pre = self.layout.accumulators * H, memory["pre"]
        carry = memory.buffer("carry", self.layout.states * batch.B * H)
        self._launch_scan(batch, CudaBackwardArgs(dy.memory, carry, self.model.features, int(dy.every)))
        for group in self._w_groups:
            dW, dpre = self._w(gradient, group), Matrix(pre, group.first * H, 1, width)
            self.products.multiply(dpre, Matrix(x, 0, 1, self.inputs), dW, (group.count * H, self.inputs, visits))
            if dx is not None:
                W, sizes = self._w(self.weights.memory, group).transposed, (visits, self.inputs, group.count * H)
                mode = ADD if add or group is not self._w_groups[0] else WRITE
                self.products.multiply(dpre.transposed, W, Matrix(dx, 0, self.inputs, 1), sizes, mode)
        for group in self._r_groups:
            dR = Matrix(gradient, self.weights.R + group.row * H * H, H, 1)
            dpre = Matrix(pre, group.first * H, 1, width)
            operand = Matrix(memory["before"], group.kept * visits * H, 1, H)
            self.products.multiply(dpre, operand, dR, (group.count * H, H, visits))
        self.products.sum_rows(pre, visits, width, gradient, self.weights.b)
