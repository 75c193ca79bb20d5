"""How many threads of this process want to run: what cannot be hidden by pinning them all onto one core.

Processor time over wall time never exceeds the cores we are pinned to, however many threads share them. The time that
threads spend running *or waiting for a core* does; and a neighbour that takes the core away does not change it, since
a thread waits then instead of running.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

_TASKS = Path("/proc/self/task")
Times = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class ThreadReading:
    """At one moment: wall and processor seconds, and nanoseconds run and waited by thread; threads is None where the
    system does not tell. cores: those that any thread may run on."""

    wall: float
    processor: float
    threads: Times | None
    cores: frozenset[int] = frozenset({0})

    @classmethod
    def now(cls) -> "ThreadReading":
        """Read all of it at this moment."""
        return cls(perf_counter(), process_time(), thread_times(), thread_cores())


@dataclass(frozen=True)
class ThreadUse:
    """threads: how many ran or waited for a core, on average. waiting: the share of the time that the one which ran
    most had to wait."""

    threads: float
    waiting: float


def thread_use(before: ThreadReading, after: ThreadReading) -> ThreadUse:
    """Return the use between two moments; where the system does not tell of waiting, of those that ran.

    The thread that ran most tells for how long there was work, its waits included, though never more than all the time:
    a wait may have begun before. Another counts by how much it ran beside that one. How long it waited says nothing of
    it: a neighbour's program makes the idlest wait, and a paused worker's threads all have to be woken.
    """
    wall, ran = after.wall - before.wall, after.processor - before.processor
    if before.threads is None or after.threads is None:
        return ThreadUse(ran / wall, 0.0)
    spent = {}
    for thread, (run, wait) in after.threads.items():
        run_before, wait_before = before.threads.get(thread, (0, 0))
        spent[thread] = (run - run_before) / 1e9, (wait - wait_before) / 1e9
    most, waited = max(spent.values())
    running = sum(run for run, _ in spent.values())
    ended = max(0.0, ran - running)  # threads that came and went leave only this
    together = min(most + waited, wall) * running / most if most > 0 else 0.0
    return ThreadUse((together + ended) / wall, min(1.0, waited / wall))


def thread_times() -> Times | None:
    """Return the nanoseconds that each thread has run and waited for a core; None where the system does not tell."""
    if not _TASKS.is_dir():
        return None
    found: Times = {}
    for task in _TASKS.iterdir():
        try:
            run, wait, _ = (task / "schedstat").read_text().split()
        except (FileNotFoundError, ProcessLookupError):  # it has just ended, or the kernel lacks these figures
            continue
        except (OSError, ValueError):
            return None
        found[task.name] = int(run), int(wait)
    return found or None


def thread_cores() -> frozenset[int]:
    """Return the cores that any of our threads may run on; none of them where the system does not tell."""
    found: set[int] = set()
    if hasattr(os, "sched_getaffinity"):
        for thread in [int(task.name) for task in _TASKS.iterdir()] if _TASKS.is_dir() else [0]:
            with suppress(OSError):  # it has just ended
                found |= os.sched_getaffinity(thread)
    return frozenset(found)
