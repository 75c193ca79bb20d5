"""How many cores a call wants at a time, on however busy a machine."""

from collections.abc import Callable
from time import perf_counter, process_time

from rnnbench.machine.threads import thread_times

SECONDS = 0.2


def cores_wanted(call: Callable[[], object], seconds: float = SECONDS) -> float:
    """Return the mean number of this process's threads that ran, or waited for a core, while `call` was repeated.

    Waiting counts (where the system tells, which is Linux): two threads that take turns on the one core that others
    leave them would seem to be one.
    """
    before, used = _demand(), process_time()
    start = perf_counter()
    while perf_counter() - start < seconds:
        call()
    elapsed = perf_counter() - start
    after = _demand()
    wanted = sum(value - before.get(thread, 0) for thread, value in after.items()) / 1e9
    return max(wanted, process_time() - used) / elapsed


def _demand() -> dict[str, int]:
    """Return the nanoseconds each thread has run or waited for a core so far; empty where the system does not tell."""
    return {thread: ran + waited for thread, (ran, waited) in (thread_times() or {}).items()}
