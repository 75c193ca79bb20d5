"""Threads that run a program together.

They wait for each other inside the kernels and after each of them (see kernels/program.py), the last time when all is
written that the caller will read. So the caller joins no one, and handing work over costs one queue and one thread's
waking.
"""

import contextlib
import ctypes
import os
import threading
import weakref
from dataclasses import dataclass
from queue import SimpleQueue

import numpy as np

from rnnbench.kernels.args import TeamShare
from rnnbench.kernels.compiled import run
from rnnbench.kernels.layout import aligned
from rnnbench.model import Array

RELEASED = 1 << 62  # more arrivals than there will ever be: every barrier opens
_LIBC = ctypes.PyDLL(None) if os.name == "posix" else None
LINE = 8  # int64s in a cache line: what threads write often lies on lines of its own


@dataclass(frozen=True)
class Program:
    """Kernels one after the other: for each thread the address of its record `RunArgs`. kept: the records
    and what they point at; who sees the others' last arrival late still reads it when the caller has let the session
    go."""

    addresses: tuple[int, ...]
    kept: tuple[object, ...]


def _core() -> int | None:
    """Return the core that this thread runs on; None where the system does not say, or threads cannot be kept off
    one."""
    ask = getattr(_LIBC, "sched_getcpu", None) if hasattr(os, "sched_setaffinity") else None
    return None if ask is None else int(ask())


Jobs = SimpleQueue[tuple[Program, int] | None]


def _serve(jobs: Jobs) -> None:
    carry_out = run()
    while (job := jobs.get()) is not None:
        carry_out(job[1])


def _stop(queues: list[Jobs]) -> None:
    for jobs in queues:
        jobs.put(None)


class ThreadTeam:
    """A caller and `threads - 1` threads beside it. One program at a time.

    arrivals int64 and expected int64 [threads, LINE], each one's own: see barrier.py; stop int64 [2]: see `RunArgs`.
    Records point at them.
    """

    def __init__(self, threads: int) -> None:
        self._run = run()
        self.arrivals: Array = aligned(LINE, np.dtype(np.int64))
        self.expected: Array = aligned(threads * LINE, np.dtype(np.int64)).reshape(threads, LINE)
        self.stop: Array = aligned(LINE, np.dtype(np.int64))
        self._queues: list[Jobs] = [SimpleQueue() for _ in range(threads - 1)]
        self._threads: list[threading.Thread] = []
        self._process = 0  # that the threads are of: a child of fork has none of them
        self._releasing = False  # a second interrupt may come before that is done
        self._number = 0  # of this run
        self._here: int | None = None  # the caller's core when the others were last kept off it
        weakref.finalize(self, _stop, self._queues)

    def share(self, part: int, parts: int, thread: int) -> TeamShare:
        """Return the share of a thread that waits for the others at the team's barrier."""
        return TeamShare(part=part, parts=parts, arrivals=self.arrivals, expected=self.expected[thread])

    def run(self, program: Program) -> None:
        """Run every thread's share at once, the first in this thread (programs release the GIL)."""
        if self._releasing:
            self._release()
        self._number += 1
        self.stop[1] = self._number
        if len(program.addresses) == 1:
            self._run(program.addresses[0])
            return
        if self._process != os.getpid():
            self._start()
        self._keep_off_caller()
        self.expected[:, 0] = self.arrivals[0]
        try:
            for jobs, address in zip(self._queues, program.addresses[1:], strict=False):
                jobs.put((program, address))
            self._run(program.addresses[0])
        except BaseException:  # an interrupt, say: the others must not wait for a call that never comes
            self._release()
            raise

    def _keep_off_caller(self) -> None:
        """Keep the others off the caller's core. After a pause of 20 ms Linux may wake a thread where its waker runs,
        and on a machine of two cores leave both there while the other core idles: as slow as one thread, and slower."""
        here = _core()
        if here is not None and here != self._here:
            others = os.sched_getaffinity(0) - {here}
            with contextlib.suppress(OSError):  # where that is forbidden, they stay where they are
                for thread in self._threads if others else ():
                    os.sched_setaffinity(thread.native_id or 0, others)
            self._here = here

    def _start(self) -> None:
        _stop(self._queues)  # of threads that were started when one could not be
        self._queues[:] = [SimpleQueue() for _ in self._queues]  # the finalizer holds the list
        threads = [threading.Thread(target=_serve, args=(jobs,), daemon=True) for jobs in self._queues]
        for thread in threads:
            thread.start()
        self._threads, self._process, self._here = threads, os.getpid(), None

    def _release(self) -> None:
        self._releasing, self._process = True, 0
        self.stop[0] = self.arrivals[0] = RELEASED  # a training step ends before it changes what it must not
        _stop(self._queues)
        for thread in self._threads:
            thread.join()
        self._threads = []
        self.stop[0] = self.arrivals[0] = 0
        self._releasing = False
