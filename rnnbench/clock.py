"""Timing: how many calls make a sample, what goes before one untimed, and who is timed when.

The one rule, whatever is timed: `calibrated`, then rounds of samples, `interleaved` with those of the others. This file
needs the standard library alone: a process that imports another commit's `rnnbench` loads it by its path.
"""

import gc
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from time import perf_counter, perf_counter_ns
from typing import TypeAlias, TypeVar

SAMPLE_SECONDS = 0.005  # a thousand times the resolution and cost of any clock we use
LONG_SAMPLE = 0.05  # seconds
# Six is the fewest whose median has a 95 % interval; an odd number makes the median one of the samples. The more there
# are, the less a neighbour's bursts count, so short samples are taken more often: 25 of them leave a process's ratio a
# spread of 2 %, 51 of 1.5 % and 201 of 1 %. Shorter samples are no cure: more of each is spent on filling caches anew.
FEWEST, MOST, ROUND_SECONDS = 7, 51, 0.4
MOST_CALLS = 1 << 20

T = TypeVar("T")
G = TypeVar("G")
S = TypeVar("S")
Key = TypeVar("Key", bound=Hashable)
Call: TypeAlias = Callable[[], T]
Clock: TypeAlias = Callable[[], float]


@dataclass(frozen=True)
class Calibration:
    """How many calls make a sample, and the seconds that such a sample takes."""

    calls: int
    seconds: float


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep Python's garbage collector off meanwhile: it would run at a moment of its own choosing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def timed(call: Call[T], calls: int, clock: Clock = perf_counter) -> tuple[float, T]:
    """Return the seconds that `calls` calls take together, and what the last one returned."""
    repeats = range(calls)
    result: T | None = None
    with no_collection():
        start = clock()
        for _ in repeats:
            result = None  # a result that is kept would put the next one where the caches have nothing
            result = call()
        return clock() - start, result  # type: ignore[return-value]  # there is at least one call


def timed_on(call: Callable[[G], T], given: Iterable[G], clock: Clock = perf_counter) -> tuple[float, T]:
    """Return the seconds that a call on each of `given` takes, all together, and what the last one returned."""
    result: T | None = None
    with no_collection():
        start = clock()
        for each in given:
            result = None
            result = call(each)
        return clock() - start, result  # type: ignore[return-value]  # there is at least one call


def timed_steps(
    step: Callable[[G, S | None], tuple[T, S]],
    given: Iterable[G],
    keep: Callable[[T], None],
    clock: Callable[[], int] = perf_counter_ns,
) -> list[int]:
    """Return the nanoseconds of each step, which takes the state of the one before. keep: is given each output, while
    the clock stands."""
    taken: list[int] = []
    state: S | None = None
    for each in given:
        start = clock()
        output, state = step(each, state)
        taken.append(clock() - start)
        keep(output)
    return taken


def calibrated(call: Call[object], target: float = SAMPLE_SECONDS, clock: Clock = perf_counter) -> Calibration:
    """Call once, untimed, for what only a first call does; find how many calls last `target` seconds or longer; time a
    sample of as many."""
    call()
    return calibrated_by(lambda calls: timed(call, calls, clock)[0], target)


def calibrated_by(seconds_of: Callable[[int], float], target: float = SAMPLE_SECONDS) -> Calibration:
    """Find how many calls last `target` seconds or longer, where `seconds_of` times any number of them; time as many
    again."""
    calls = 1
    while calls < MOST_CALLS:
        seconds = seconds_of(calls)
        if seconds >= target:
            break
        wanted = target / seconds * calls if seconds > 0 else 10 * calls
        calls = min(MOST_CALLS, max(calls + 1, min(int(1.1 * wanted) + 1, 10 * calls)))
    return Calibration(calls, seconds_of(calls))


def warm_up(call: Call[object], calibration: Calibration) -> None:
    """Call once before a sample, untimed, unless the sample is so long that it does not matter: others have had the
    caches meanwhile, and a call of 6 ms took 4 to 9 % longer than the next."""
    if calibration.seconds < LONG_SAMPLE:
        call()


def sample(call: Call[object], calibration: Calibration, clock: Clock = perf_counter) -> float:
    """Return the seconds of a call: one sample, warmed up."""
    warm_up(call, calibration)
    return timed(call, calibration.calls, clock)[0] / calibration.calls


def count(sample_seconds: float, seconds: float = ROUND_SECONDS, fewest: int = FEWEST) -> int:
    """Return how many rounds last `seconds`, where the longest sample of a round takes so long; at least `fewest`."""
    wanted = int(seconds / sample_seconds) if sample_seconds > 0 else MOST
    return min(MOST, max(fewest, wanted | 1))


def interleaved(names: Sequence[T], rounds: int, random: Random) -> Iterator[T]:
    """Yield everybody once a round, each round in an order of its own: drift and neighbours hit all alike."""
    for _ in range(rounds):
        order = list(names)
        random.shuffle(order)
        yield from order


def samples(calls: Mapping[Key, Call[object]], random: Random) -> dict[Key, list[float]]:
    """Return the seconds of each call of this process, a value a round, all of them interleaved."""
    calibrations = {name: calibrated(call) for name, call in calls.items()}
    rounds = count(max(calibration.seconds for calibration in calibrations.values()))
    found: dict[Key, list[float]] = {name: [] for name in calls}
    for name in interleaved(list(calls), rounds, random):
        found[name].append(sample(calls[name], calibrations[name]))
    return found
