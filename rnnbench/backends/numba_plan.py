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
OPERATIONS_WORTH_A_THREAD = 6_000_000
# What a tile does in the time that threads need to meet.
OPERATIONS_A_MEETING = 15_000
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
    """The kernels' last arguments, by layer and direction and for each thread: records of kernels/call.py. Products
    have them for each share of the layer (see kernels/layer.py).

    rows: of each share of the rows. kept: the memory that the records point at.
    """

    rows: list[Rows]
    forward: list[list[Array]]
    backward: list[list[Array]]
    products: list[list[list[Array]]]
    kept: list[Any]

    def over(self, rows: list[Rows]) -> "Plan":
        """The same for rows of other lengths."""
        forward, backward = ([_over(rows, calls) for calls in scans] for scans in (self.forward, self.backward))
        return Plan(rows, forward, backward, self.products, [self])


class Planner:
    """Plans of one session, whose threads meet at `barrier`. What stays the same from one call of a size to the next is
    made once."""

    def __init__(self, model: Model, layers: "Sequence[Layer]", threads: int, barrier: Array) -> None:
        self.model, self.layers, self.threads, self.barrier = model, layers, threads, barrier
        self._plans: dict[tuple[int, int], Plan] = {}
        self._memory: dict[tuple[Any, ...], Array] = {}

    def plan(self, T: int, B: int, lengths: Array | None) -> Plan:
        if (T, B) not in self._plans:
            if len(self._plans) >= PLANS_KEPT:
                self._plans.clear()
            self._plans[T, B] = self._new(T, B)
        plan = self._plans[T, B]
        return plan if lengths is None else plan.over(Rows.split(T, B, lengths, len(plan.rows)))

    def _new(self, T: int, B: int) -> Plan:
        by_rows, by_units = self.shares(T, B)
        rows = Rows.split(T, B, None, by_rows)
        plan = Plan(rows, [], [], [], [])
        parts = [(share, unit) for share in range(by_rows) for unit in range(by_units)]
        for side in self.layers:
            for purpose, calls in (("forward", plan.forward), ("backward", plan.backward)):
                calls.append([self._call(plan, purpose, side, T, B, *part, by_units) for part in parts])
            plan.products.append([self._products(plan, side, n, T * B, len(parts)) for n in range(len(side.shares))])
        return plan

    def shares(self, T: int, B: int) -> tuple[int, int]:
        """Into how many parts the rows, and the units, are divided: one of them is 1.

        The one that leaves the threads idle for less of the time: shares of rows are whole tiles, those of units whole
        panels, and after every stage of every step who shares units waits for the others.
        """
        side, spec, H = self.layers[-1], self.model.spec, self.model.hidden_size
        a_step = 2 * B * H * (H * len(spec.r_accumulators) + side.inputs * len(spec.w_accumulators))
        threads = min(self.threads, max(1, T * a_step // OPERATIONS_WORTH_A_THREAD))
        blocks = side.layout.padded_back(H) // (side.layout.lanes * side.layout.columns)
        panels = side.layout.padded(H) // side.layout.lanes
        by_rows, by_units = min(threads, B), min(threads, blocks)
        meeting = by_units * len(spec.stages) * OPERATIONS_A_MEETING / a_step
        idle_by_rows = _whole(B, by_rows, self._tile_rows) * by_rows / B * threads / by_rows
        idle_by_units = (_whole(panels, by_units, 1) * by_units / panels + meeting) * threads / by_units
        return (by_rows, 1) if idle_by_rows < idle_by_units else (1, by_units)

    def _call(
        self, plan: Plan, purpose: str, side: "Layer", T: int, B: int, share: int, unit: int, units: int
    ) -> Array:
        from rnnbench.kernels.call import BACKWARD, FORWARD

        model, H, r = self.model, side.H, plan.rows[share]
        N = len(r.order)
        values: dict[str, Any] = {"N": N, "T": T, "B": B, "I": side.inputs, "H": H, "reverse": side.reverse}
        values |= {"part": unit, "parts": units, "crew": len(plan.rows) * units, "met": 0, "barrier": self.barrier}
        values |= {"order": r.order, "length": r.length, "active": r.active}
        last = side.number >= len(self.layers) - model.directions and model.readout == "last"
        if purpose == "forward":
            kind = FORWARD
            narrow = self._tile_rows > N and side.inputs >= WIDE_INPUT and T > 1
            chunk = min(T, VISITS_AT_ONCE // N) if narrow else 0
            work, scratch, index = side.kernels.forward_workspace(N, H, chunk)
            values |= {"chunk": chunk, "state_stride": len(self.layers) * B * H, "state_at": side.number * B * H}
            values |= {"y_stride": 0 if last else model.features, "y_at": side.column, "packed": side.packed_memory}
        else:
            kind = BACKWARD
            work, scratch, index = side.kernels.backward_workspace(N, H)
            values |= {"dy_stride": 0 if last else model.features, "dy_at": side.column}
            values |= {"dfinal_stride": model.features if last else 0, "dfinal_at": side.column}
            values["packed"] = side.transposed_memory
        values["work"] = self._space((purpose, "work", share), work)
        values["scratch"] = self._space((purpose, "scratch", share, unit), scratch)
        values["index"] = self._space((purpose, "index", share, unit), index, np.int64)
        return _record(plan, kind, values)

    def _products(self, plan: Plan, side: "Layer", number: int, visits: int, parts: int) -> list[Array]:
        from rnnbench.kernels.call import PRODUCTS
        from rnnbench.kernels.products import products_workspace

        share, layout, records = side.shares[number], side.layout, []
        Hp, count = layout.padded(side.H), len(share.slots)
        source_stride = side.inputs if share.kept is None else Hp
        scratch, index = products_workspace(share.inputs, side.H, count, layout.dtype)
        for part in range(parts):
            values: dict[str, Any] = {"count": count, "part": part, "parts": parts, "crew": parts, "met": 0}
            values |= {"inputs": share.inputs, "source_stride": source_stride, "tape_stride": layout.slots * Hp}
            values |= {"visits": visits, "Hp": Hp, "H": side.H, "barrier": self.barrier}
            values |= {"slots": share.slots, "rows": share.rows, "accumulators": share.accumulators}
            values["scratch"] = self._space(("products", "scratch", part), scratch)
            values["index"] = self._space(("products", "index", part), index, np.int64)
            records.append(_record(plan, PRODUCTS, values))
        return records

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
        from rnnbench.kernels.tile import full_rows

        layout = self.layers[0].layout
        widest = max(layout.stages, key=lambda stage: stage.accumulators)
        return full_rows(layout.vector, widest.w, widest.r, widest.u)


def _whole(count: int, parts: int, unit: int) -> int:
    """The largest of `parts` shares of `count`, in whole units."""
    share = -(-count // parts)
    return -(-share // unit) * unit


def _record(plan: Plan, kind: Any, values: dict[str, Any]) -> Array:
    """A record with every field from `values`; of an array its address, and the plan keeps it."""
    plan.kept.append(values)
    fields = (values[name] for name in kind.names)
    return np.array([tuple(v.ctypes.data if isinstance(v, np.ndarray) else v for v in fields)], kind)


def _over(rows: list[Rows], calls: list[Array]) -> list[Array]:
    """Copies of one scan's records for other rows: its calls are by share of the rows, then of the units."""
    units, copies = len(calls) // len(rows), []
    for share, r in enumerate(rows):
        addresses = {name: getattr(r, name).ctypes.data for name in ("order", "length", "active")}
        for call in calls[share * units : (share + 1) * units]:
            copies.append(call.copy())
            for name, address in addresses.items():
                copies[-1][name] = address
    return copies
