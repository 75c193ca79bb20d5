"""How a call is divided between threads.

Threads take rows each, or, when rows are few, units: a part of the panels and of the weights each (see scan.py).
"""

from dataclasses import dataclass

import numpy as np

from rnnbench.kernels.layer import PackedLayer
from rnnbench.model import Array, Model

# Handing work to a thread costs some tens of microseconds; below this much of it one thread is faster.
OPERATIONS_WORTH_A_THREAD = 6_000_000
# What a tile does in the time that threads take at a barrier.
OPERATIONS_A_BARRIER = 15_000
# Threads that share units also wait for each other at every step, and read states that the others wrote ...
COST_OF_SHARING_UNITS = 0.05
# ... but those that share rows all read all weights, which costs that much where they are larger than this, in bytes.
COST_OF_READING_ALL, LARGE_WEIGHTS = 0.15, 16 << 20


@dataclass(frozen=True)
class Rows:
    """The rows a thread computes: order and length [N], by falling length, and active [T], how many still run."""

    order: Array
    length: Array
    active: Array

    @classmethod
    def split(cls, T: int, B: int, lengths: Array | None, parts: int) -> "list[Rows]":
        """Divide B rows of T steps into parts: every part takes each so-many-th of the order."""
        length = np.full(B, T, np.int64) if lengths is None else lengths
        order = np.argsort(-length, kind="stable").astype(np.int64)
        chosen = [np.ascontiguousarray(order[part::parts]) for part in range(parts)]
        steps = np.arange(T)[:, None]
        return [cls(rows, length[rows], (steps < length[rows]).sum(axis=1)) for rows in chosen]

    def copy_from(self, other: "Rows") -> None:
        """Take over the values of as many rows and steps."""
        for mine, theirs in ((self.order, other.order), (self.length, other.length), (self.active, other.active)):
            mine[...] = theirs


def partition(model: Model, side: PackedLayer, threads: int, T: int, B: int) -> tuple[int, int]:
    """Return into how many parts a layer's rows, and its units, are divided for T steps of B rows: one of them is 1.

    The one that costs less: the largest part of rows or of panels, and with units, waiting after every stage of every
    step; with rows, that each thread reads all weights.
    """
    spec, H, layout = model.spec, model.hidden_size, side.layout
    weights = H * (H * len(spec.r_accumulators) + side.inputs * len(spec.w_accumulators))
    a_step = 2 * B * weights
    threads = min(threads, max(1, T * a_step // OPERATIONS_WORTH_A_THREAD))
    panels, blocks = side.padded // layout.lanes, layout.padded_back(H) // (layout.lanes * layout.columns)
    by_rows, by_units = min(threads, B), min(threads, blocks)
    waiting = by_units * len(spec.stages) * OPERATIONS_A_BARRIER / a_step
    large = weights * layout.dtype.itemsize > LARGE_WEIGHTS
    cost_by_rows = -(-B // by_rows) / B + (COST_OF_READING_ALL / by_rows if large else 0)
    cost_by_units = -(-panels // by_units) / panels + (waiting + COST_OF_SHARING_UNITS) / by_units
    return (by_rows, 1) if cost_by_rows < cost_by_units else (1, by_units)
