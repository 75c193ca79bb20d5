"""Chooses a scan's plan: every way that fits the GPU is costed by the model of `plan.py`, and the cheapest is taken."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rnnbench.kernels.cuda.plan import Device, Phases, ScanPlan, Tile, power_below

# (unit, row) pairs of one thread, whose states it keeps in registers, by the element's size: the most with which no
# tested plan's kernel spilled. With 8 float32 did, with 4 float64.
MOST_PAIRS = {4: 4, 8: 2}
STREAM_DEPTH = 32  # how much of R's inner dimension lies in shared memory at a time when it is streamed
STEP_COLUMNS, STEP_ROWS = 64, 64  # a block of a stepped scan


@dataclass(frozen=True)
class ScanPlanner:
    """Plans a scan in one direction of time."""

    phases: Phases
    hidden: int
    batch: int
    itemsize: int
    device: Device

    def plan(self, units: int, rows: int, resident: bool, looped: bool) -> ScanPlan | None:
        """Return the plan with these blocks; None where they do not fit the device."""
        device = self.device
        tiles = tuple(
            tuple(Tile.over(rows, units * product.columns, self.hidden, device.threads) for product in products)
            for products in self.phases
        )
        every = [tile for some in tiles for tile in some]
        if any(tile.slices == 0 for tile in every):
            return None
        plan = ScanPlan(self.hidden, self.batch, units, rows, device.threads, resident, looped, self.phases, tiles, 1)
        multiple = max((tile.depth_multiple for tile in every), default=1)
        alive = plan.unit_blocks * plan.row_blocks
        if plan.pairs > MOST_PAIRS[self.itemsize] or (looped and alive > device.multiprocessors and any(self.phases)):
            return None
        for chunk in self._chunks(multiple, resident):
            fitted = replace(plan, chunk=chunk)
            if fitted.elements * self.itemsize <= device.shared_bytes:
                return fitted
        return None

    def _chunks(self, multiple: int, resident: bool) -> Iterator[int]:
        """Yield lengths of the inner dimension to keep at a time, longest first: multiples of what a tile steps by."""
        if not resident:
            yield max(STREAM_DEPTH // multiple, 1) * multiple
            return
        parts, chunk = 1, 0
        while chunk != multiple:
            chunk = -(-self.hidden // (parts * multiple)) * multiple
            yield chunk
            parts *= 2

    def best(self) -> ScanPlan:
        """Return the cheapest plan, by the model."""
        if not any(self.phases):
            return self._without_products()
        looped = [plan for resident in (True, False) for plan in self._looped(resident)]
        stepped = self._stepped()
        return min([*looped, stepped], key=lambda plan: plan.clocks(self.itemsize) * self._waves(plan))

    def _without_products(self) -> ScanPlan:
        """Plan cells whose gates do not see h: every (unit, row) pair has a thread of its own, and nobody waits."""
        units = min(self.hidden, self.device.warp)
        plan = self.plan(units, min(self.batch, max(1, self.device.threads // units)), True, True)
        assert plan is not None, "without products there is nothing that could be too large"
        return plan

    def _waves(self, plan: ScanPlan) -> int:
        """Count how often the device has to be filled to run all blocks."""
        return -(-plan.unit_blocks * plan.row_blocks // self.device.multiprocessors)

    def _looped(self, resident: bool) -> Iterator[ScanPlan]:
        for wanted in _halves(self.device.multiprocessors):
            units = -(-self.hidden // wanted)
            for row_blocks in _halves(max(1, self.device.multiprocessors // -(-self.hidden // units))):
                plan = self.plan(units, -(-self.batch // row_blocks), resident, True)
                if plan is not None:
                    yield plan

    def _stepped(self) -> ScanPlan:
        columns = max((product.columns for products in self.phases for product in products), default=1)
        most = self.device.threads * MOST_PAIRS[self.itemsize]
        rows = min(self.batch, STEP_ROWS, most)
        units = max(1, min(self.hidden, STEP_COLUMNS // columns, most // rows))
        while (plan := self.plan(units, rows, False, False)) is None:
            if units == rows == 1:
                raise ValueError(f"not even one unit of one row fits {self.device}")
            units, rows = (-(-units // 2), rows) if units >= rows else (units, -(-rows // 2))
        return plan


def _halves(most: int) -> Iterator[int]:
    """Yield most, and the powers of two below it, down to 1."""
    yield most
    power = power_below(most - 1)
    while power:
        yield power
        power //= 2
