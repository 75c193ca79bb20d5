"""Calls that a benchmark never makes and its users do: on inputs next to zero. In the worker."""

from collections.abc import Callable
from time import monotonic, perf_counter

import numpy as np

from rnnbench.clock import Clock, no_collection
from rnnbench.comparison.messages import ProbeSeconds
from rnnbench.model import Array

PAIRS = 7
SECONDS = 0.5  # no more pairs are begun after it
SUBNORMAL = {"float32": 1e-40, "float64": 1e-310}  # between 0 and the smallest number of full precision


def probe(
    call: Callable[[Array], object], x: Array, clock: Clock = perf_counter, pairs: int = PAIRS, seconds: float = SECONDS
) -> ProbeSeconds:
    """Time single calls, interleaved: `fresh`, on numbers and in memory that no call has had; `subnormal`, on such.

    call: takes x, [T, B, I], which is not changed.
    """
    found = ProbeSeconds([], [])
    end = monotonic() + seconds
    with no_collection():
        call(x)
        for number in range(1, pairs + 1):
            if found.fresh and monotonic() > end:
                break
            factor = x.dtype.type(1 - number / 256)
            tiny = np.full_like(x, SUBNORMAL[x.dtype.name]) * factor
            for taken, value in ((found.fresh, x * factor), (found.subnormal, tiny)):
                start = clock()
                call(value)
                taken.append(clock() - start)
    return found
