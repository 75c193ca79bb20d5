"""Timing by turns: how many calls make a sample, and who is timed when."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from time import perf_counter
from typing import Any

SAMPLE_SECONDS = 0.005  # a thousand times the resolution and cost of any clock we use
# Six is the fewest whose median has a 95 % interval; an odd number makes the median one of the samples. The more there
# are, the less a neighbour's bursts count, so short samples are taken more often: 25 of them leave a process's ratio a
# spread of 2 %, 51 of 1.5 % and 201 of 1 %. Shorter samples are no cure: more of each is spent on filling caches anew.
FEWEST, MOST, ROUND_SECONDS = 7, 51, 0.4
MOST_CALLS = 1 << 20

Call = Callable[[], Any]
Clock = Callable[[], float]


@contextmanager
def no_collection() -> Iterator[None]:
    """Python's garbage collector would run at a moment of its own choosing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def timed(call: Call, calls: int, clock: Clock = perf_counter) -> tuple[float, Any]:
    """(seconds that `calls` calls take together, what the last one returned)."""
    repeats = range(calls)
    result: Any = None
    with no_collection():
        start = clock()
        for _ in repeats:
            result = None  # a result that is kept would put the next one where the caches have nothing
            result = call()
        return clock() - start, result


def calibrated(call: Call, target: float = SAMPLE_SECONDS, clock: Clock = perf_counter) -> int:
    """How many calls last `target` seconds or longer."""
    calls = 1
    while calls < MOST_CALLS:
        seconds, _ = timed(call, calls, clock)
        if seconds >= target:
            break
        wanted = target / seconds * calls if seconds > 0 else 10 * calls
        calls = min(MOST_CALLS, max(calls + 1, min(int(1.1 * wanted) + 1, 10 * calls)))
    return calls


def count(sample_seconds: float) -> int:
    """How many rounds, where the longest sample of a round takes so long: as many as last `ROUND_SECONDS`."""
    wanted = int(ROUND_SECONDS / sample_seconds) if sample_seconds > 0 else MOST
    return min(MOST, max(FEWEST, wanted | 1))


def turns(names: Sequence[str], rounds: int, random: Random) -> Iterator[tuple[int, str]]:
    """(round, name): everybody once a round, in an order of its own, so that drift and neighbours hit all alike."""
    for number in range(rounds):
        order = list(names)
        random.shuffle(order)
        for name in order:
            yield number, name
