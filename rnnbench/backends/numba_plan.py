"""How a call of the `numba` backend is divided between threads, and the memory it uses.

Threads take rows each, or, when rows are few, units: a share of the panels and of the weights each (see scan.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnbench.model import Array, Model

if TYPE_CHECKING:
    from rnnbench.kernels.layer import Layer

PLANS_KEPT = 16  # sizes of call whose plans and scratch memory stay
# Handing work to a thread costs some tens of microseconds; below this much of it one thread is faster.
OPERATIONS_WORTH_A_THREAD = 4_000_000
# With fewer rows than this for each thread, the tile is poorly filled, and the threads share the units instead.
ROWS_WORTH_A_THREAD = 6
# Inputs this wide are multiplied by W for many steps at once when a batch alone would not fill the tile.
WIDE_INPUT, VISITS_AT_ONCE = 16, 24


@dataclass(frozen=True)
class Rows:
    """The rows a call computes: order and length [N], by falling length, and active [T], how many still run."""

    order: Array
    length: Array
    active: Array

    @classmethod
    def split(cls, T: int, B: int, lengths: Array | None, parts: int) -> "list[Rows]":
        length = np.full(B, T, np.int64) if lengths is None else lengths
        order = np.argsort(-length, kind="stable").astype(np.int64)
        shares = [np.ascontiguousarray(order[part::parts]) for part in range(parts)]
        steps = np.arange(T)[:, None]
        return [cls(share, length[share], (steps < length[share]).sum(axis=1)) for share in shares]


@dataclass(frozen=True)
class Plan:
    """The last arguments of the scans, by layer and direction, and for each thread: records of kernels/call.py.

    barriers: where threads that share units meet; 0 before each scan. kept: the memory that the records point at.
    """

    forward: list[list[Array]]
    backward: list[list[Array]]
    barriers: Array
    kept: list[Any]


class Planner:
    """Plans of one session; what stays the same from one call of a size to the next is made once."""

    def __init__(self, model: Model, layers: "Sequence[Layer]", threads: int) -> None:
        self.model, self.layers, self.threads = model, layers, threads
        self._plans: dict[tuple[int, int], Plan] = {}
        self._memory: dict[tuple[Any, ...], Array] = {}

    def plan(self, T: int, B: int, lengths: Array | None) -> Plan:
        if lengths is None and (T, B) in self._plans:
            return self._plans[T, B]
        by_rows, by_units = self.shares(T, B)
        rows, barriers = Rows.split(T, B, lengths, by_rows), np.zeros(1, np.int64)
        plan = Plan([], [], barriers, [rows])
        parts = [(share, unit) for share in range(by_rows) for unit in range(by_units)]
        for side in self.layers:
            for purpose, calls in (("forward", plan.forward), ("backward", plan.backward)):
                calls.append(
                    [self._call(plan, purpose, side, T, B, rows, share, unit, by_units) for share, unit in parts]
                )
        if lengths is None:
            if len(self._plans) >= PLANS_KEPT:
                self._plans.clear()
            self._plans[T, B] = plan
        return plan

    def shares(self, T: int, B: int) -> tuple[int, int]:
        """Into how many parts the rows, and the units, are divided: one of them is 1."""
        side = self.layers[-1]
        spec, H = self.model.spec, self.model.hidden_size
        operations = 2 * T * B * H * (H * len(spec.r_accumulators) + side.inputs * len(spec.w_accumulators))
        threads = min(self.threads, max(1, operations // OPERATIONS_WORTH_A_THREAD))
        if ROWS_WORTH_A_THREAD * threads <= B:
            return threads, 1
        layout = side.layout
        blocks = layout.padded_back(H) // (layout.lanes * layout.columns)
        return 1, min(threads, blocks)

    def _call(
        self,
        plan: Plan,
        purpose: str,
        side: "Layer",
        T: int,
        B: int,
        rows: list[Rows],
        share: int,
        unit: int,
        units: int,
    ) -> Array:
        from rnnbench.kernels.call import BACKWARD, FORWARD

        model, H, r = self.model, side.H, rows[share]
        N = len(r.order)
        record = np.zeros(1, FORWARD if purpose == "forward" else BACKWARD)
        sizes = {
            "N": N,
            "part": unit,
            "parts": units,
            "reverse": side.reverse,
            "T": T,
            "B": B,
            "I": side.inputs,
            "H": H,
        }
        arrays = {"order": r.order, "length": r.length, "active": r.active, "barrier": plan.barriers}
        last = side.number >= len(self.layers) - model.directions
        if purpose == "forward":
            narrow = self._tile_rows > N and side.inputs >= WIDE_INPUT and T > 1
            chunk = min(T, VISITS_AT_ONCE // N) if narrow else 0
            work, scratch, index = side.kernels.forward_workspace(N, H, chunk)
            sizes |= {"chunk": chunk, "state_stride": len(self.layers) * B * H, "state_at": side.number * B * H}
            sizes |= {"y_stride": 0 if last and model.readout == "last" else model.features, "y_at": side.column}
            arrays["packed"] = side.packed_memory
        else:
            work, scratch, index = side.kernels.backward_workspace(N, H)
            given = "dfinal" if last and model.readout == "last" else "dy"
            sizes |= {f"{given}_stride": model.features, f"{given}_at": side.column}
            arrays["packed"] = side.transposed_memory
        arrays["work"] = self._space((purpose, "work", share), work)
        arrays["scratch"] = self._space((purpose, "scratch", share, unit), scratch)
        arrays["index"] = self._space((purpose, "index", share, unit), index, np.int64)
        for name, size in sizes.items():
            record[name] = size
        for name, array in arrays.items():
            record[name] = array.ctypes.data
        plan.kept.append(arrays)
        return record

    def _space(self, key: tuple[Any, ...], size: int, dtype: Any = None) -> Array:
        """Memory of at least `size` elements, shared by all calls with this key: they run one after the other."""
        from rnnbench.kernels.layout import aligned

        have = self._memory.get(key)
        if have is None or have.size < size:
            have = self._memory[key] = aligned(size, np.dtype(dtype or self.model.dtype))
        return have

    @cached_property
    def _tile_rows(self) -> int:
        """Rows that fill the registers of the tile of the cell's widest stage."""
        from rnnbench.kernels.tile import tile_rows

        layout = self.layers[0].layout
        return tile_rows(layout.vector, max(stage.accumulators for stage in layout.stages))[0]
