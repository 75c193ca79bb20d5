"""How fast a case can be at best on this machine: its operations against the multiply-add peak, its weights against
the read bandwidth of the caches that can hold them (Williams, Waterman and Patterson 2009, with weights for data).

Every step needs all of R, for all rows at once, since it multiplies what the step before has just made. W is needed
once a sequence: the inputs are known beforehand, so one pass over W can serve all steps. Weights lie in the caches as
well as they possibly can: as much as fits in the first level, then in the next. So a limit holds for every program that
computes the same products in the same dtype; states, inputs and outputs, which are small beside weights, are left out.
"""

from collections import defaultdict
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from rnnbench.machine.caches import caches
from rnnbench.machine.environment import usable_cores
from rnnbench.model import Model
from rnnbench.verify.flops import layer_weights

ARITHMETIC = "arithmetic"
MEMORY = "memory"
BEYOND_CACHES = 2  # times the last cache: reading that much in turn finds none of it there
SMALLEST_SWEEP, LARGEST_SWEEP = 2**26, 2**30  # bytes read to measure memory


@dataclass(frozen=True)
class Level:
    """A place that weights are read from. size: bytes that all threads keep there together, None for memory;
    bandwidth: bytes/s that they read together; measured_over: bytes that this was measured with."""

    name: str
    size: int | None
    bandwidth: float
    measured_over: int


@dataclass(frozen=True)
class MachineLimits:
    """What the machine can do. flops_peak: floating-point operations/s of all threads together, a multiply-add being
    two; levels: nearest first, memory last; sizes_known: whether the system told the caches' sizes."""

    dtype: str
    threads: int
    flops_peak: float
    levels: tuple[Level, ...]
    sizes_known: bool = True

    def reading(self, start: int, end: int) -> dict[str, float]:
        """Return the seconds by level to read the bytes from `start` to `end` once, where byte 0 lies nearest."""
        seconds, below = {}, 0.0
        for level in self.levels:
            above = inf if level.size is None else max(below, level.size)
            share = min(end, above) - max(start, below)
            if share > 0:
                seconds[level.name] = share / level.bandwidth
            below = above
        return seconds


@dataclass(frozen=True)
class Part:
    """One layer and direction, or the head. flops of the whole sequence; each_step: bytes of weights that every one of
    `steps` steps reads; once: bytes that the sequence reads once."""

    flops: int
    steps: int
    each_step: int
    once: int

    @property
    def bytes_read(self) -> int:
        """Count the bytes of the whole sequence."""
        return self.steps * self.each_step + self.once


def limits(dtype: str = "float32", threads: int = 1) -> MachineLimits:
    """Measure this machine; a second or two. Each cache is read over the geometric mean of its size and that of the
    level below it: too much for the one and comfortable in the other."""
    from rnnbench.kernels.peak import measure_flops_peak, measure_read_bandwidth

    found, known = caches(usable_cores() or [0])
    levels, below = [], 0
    for cache in found:
        size = cache.held(threads)
        over = int(sqrt(below * size)) if below else size // 2
        levels.append(Level(cache.name, size, measure_read_bandwidth(dtype, over, threads), over))
        below = size
    over = min(max(BEYOND_CACHES * below, SMALLEST_SWEEP), LARGEST_SWEEP)
    levels.append(Level(MEMORY, None, measure_read_bandwidth(dtype, over, threads), over))
    return MachineLimits(dtype, threads, measure_flops_peak(dtype, threads), tuple(levels), known)


def parts(model: Model, batch_size: int, seq_len: int) -> list[Part]:
    """Return what inference on `batch_size` rows of `seq_len` steps computes, one after the other."""
    B, T, itemsize = batch_size, seq_len, np.dtype(model.dtype).itemsize
    found = [Part(2 * B * T * (W + R), T, R * itemsize, W * itemsize) for W, R in layer_weights(model)]
    if model.output_size is not None:
        head, visits = model.output_size * model.features, T if model.readout == "all" else 1
        found.append(Part(2 * B * visits * head, 0, 0, head * itemsize))
    return found


def case_limit(limits: MachineLimits, model: Model, batch_size: int, seq_len: int) -> tuple[float, str]:
    """Return the fewest seconds that inference can take, and what sets them: "arithmetic", "L2 bandwidth" and the like.

    Each part takes as long as its operations or its reading, whichever is longer. What sets the limit is what most of
    these seconds are spent on.
    """
    spent: defaultdict[str, float] = defaultdict(float)
    for part in parts(model, batch_size, seq_len):
        operations = part.flops / limits.flops_peak
        reads = {name: part.steps * seconds for name, seconds in limits.reading(0, part.each_step).items()}
        for name, seconds in limits.reading(part.each_step, part.each_step + part.once).items():
            reads[name] = reads.get(name, 0.0) + seconds
        if operations >= sum(reads.values()):
            spent[ARITHMETIC] += operations
        else:
            for name, seconds in reads.items():
                spent[f"{name} bandwidth"] += seconds
    return sum(spent.values()), max(spent, key=spent.__getitem__)
