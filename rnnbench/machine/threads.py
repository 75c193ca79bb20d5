"""How many threads of this process want to run: what cannot be hidden by pinning them all onto one core.

Processor time over wall time never exceeds the cores we are pinned to, however many threads share them. The time that
threads spend running *or waiting for a core* does; and a neighbour that takes the core away does not change it, since
a thread waits then instead of running.
"""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

IDLE = 0.1  # of the running time of the thread that ran most
_TASKS = Path("/proc/self/task")
Times = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class ThreadReading:
    """At one moment: wall and processor seconds, and nanoseconds run and waited by thread; threads is None where the
    system does not tell."""

    wall: float
    processor: float
    threads: Times | None

    @classmethod
    def now(cls) -> "ThreadReading":
        """Read all of it at this moment."""
        return cls(perf_counter(), process_time(), thread_times())


def runnable(before: ThreadReading, after: ThreadReading) -> float:
    """Return the mean number of threads that ran or waited for a core; where that is not known, of those that ran.

    A thread that did next to nothing does not count, however long it had to wait for that: all of a paused worker's
    threads have to be woken, the idle ones too. And none counts more than once, though its wait may have begun before.
    """
    wall, ran = after.wall - before.wall, after.processor - before.processor
    if before.threads is None or after.threads is None:
        return ran / wall
    spent = {}
    for thread, (run, wait) in after.threads.items():
        run_before, wait_before = before.threads.get(thread, (0, 0))
        spent[thread] = (run - run_before) / 1e9, (wait - wait_before) / 1e9
    most = max(run for run, _ in spent.values())
    wanted = sum(min(run + wait, wall) for run, wait in spent.values() if run > IDLE * most)
    ended = max(0.0, ran - sum(run for run, _ in spent.values()))  # threads that came and went leave only this
    return (wanted + ended) / wall


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
