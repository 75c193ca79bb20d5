"""Where a run's workers live: a private temporary folder, the processes, and their certain end."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import FrameType

import rnnbench
from rnnbench.backends.base import BackendInfo
from rnnbench.machine.environment import usable_cores
from rnnbench.registry import requests
from rnnbench.workers.reaper import end_all
from rnnbench.workers.serve import BackendLoader
from rnnbench.workers.worker import Worker, WorkerLimits

# Every library that sizes a pool of threads by its own variable, and none that only some other program reads.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)

# The signals that would end us; SIGINT, which Python turns into an exception, first.
ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
MEASURING = "rnnbench.comparison.actions:CaseActions"


class Sandbox:
    """A context: on leaving it, however that happens, no process and no file of the run is left."""

    def __init__(self, limits: WorkerLimits) -> None:
        self.limits = limits
        self.cores = usable_cores()  # before `parent_cores` leaves us fewer
        self._private = private_folder()
        self._workers: list[Worker] = []
        self._count = 0

    def __enter__(self) -> "Sandbox":
        self.folder = self._private.__enter__()
        self.marker = self.folder.name
        return self

    def __exit__(self, *_: object) -> None:
        with undisturbed():
            for worker in self._workers:
                worker.kill()
            self._private.__exit__(None, None, None)

    def start(
        self,
        backend: BackendInfo,
        threads: int,
        position: int = 0,
        work: str = MEASURING,
        plugins: Sequence[str] | None = None,
    ) -> Worker:
        """Return a worker that is loading `backend`; `receive` its `load` to know that it has.

        position: its number among those that load at the same time, each on cores of its own while there are enough;
        measured is on the same cores for all. work: import path of what turns a backend into a worker's actions.
        plugins: names of those that it imports; None for all.
        """
        worker = self.launch([sys.executable, "-P", "-m", "rnnbench.workers.serve"], _environment(), threads)
        loading, cores = worker_cores(self.cores, threads, position), worker_cores(self.cores, threads)
        needed = None if plugins is None else list(plugins)
        worker.send(BackendLoader.load, backend.factory, work, threads, loading, cores, list(requests()), needed)
        return worker

    def launch(self, command: Sequence[str], environment: Mapping[str, str], threads: int) -> Worker:
        """Start a process that answers requests, with its libraries' pools limited to so many threads."""
        self._count += 1
        worker = Worker(
            command,
            {**environment, **{name: str(threads) for name in THREAD_VARIABLES}},
            f"{self.marker}/{self._count}.",
            self.folder / f"{self._count}.log",
            self.limits,
        )
        self._workers.append(worker)
        return worker

    def dismiss(self, worker: Worker) -> None:
        """End one worker now."""
        self._workers.remove(worker)
        worker.kill()


@contextmanager
def private_folder() -> Iterator[Path]:
    """Yield a temporary folder that goes, with every process that its name marks, however we end: where we cannot see
    to it ourselves the reaper does, which no signal to our group or to every process of the terminal can end."""
    folder = Path(tempfile.gettempdir()) / f"rnnbench-{secrets.token_hex(8)}"
    with _blocked(*ENDING):  # for the reaper, which inherits it; we get what comes meanwhile a moment later
        reaper = subprocess.Popen(
            [sys.executable, "-P", "-m", "rnnbench.workers.reaper", folder.name, str(folder)],
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        with undisturbed():
            end_all(folder.name)
            shutil.rmtree(folder, ignore_errors=True)
            assert reaper.stdin is not None
            reaper.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                reaper.wait(timeout=10)


def worker_cores(usable: Sequence[int], threads: int, position: int = 0) -> list[int]:
    """Return the last `threads` cores, or those `position` places before, in turn: the first ones serve the system, and
    the parent. Empty where there are too few."""
    places = len(usable) // threads
    if not places:
        return []
    end = len(usable) - threads * (position % places)
    return list(usable[end - threads : end])


@contextmanager
def parent_cores(usable: Sequence[int], threads: int) -> Iterator[None]:
    """Keep this process off the workers' cores meanwhile, where there are others and the system can."""
    others = [core for core in usable if core not in worker_cores(usable, threads)]
    if not others:
        yield
        return
    os.sched_setaffinity(0, others)
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


def undisturbed() -> AbstractContextManager[None]:
    """Let signals that would end us wait until cleaning up is done; a second Ctrl-C is common."""
    return _handled(signal.SIG_IGN, *ENDING)


def termination_as_interrupt() -> AbstractContextManager[None]:
    """Make SIGTERM, and SIGHUP of a terminal that closes, raise KeyboardInterrupt meanwhile, as SIGINT does. What is
    ignored, as under nohup, stays so."""
    ignored = [number for number in ENDING if signal.getsignal(number) is signal.SIG_IGN]
    return _handled(signal.default_int_handler, *(n for n in ENDING[1:] if n not in ignored))


@contextmanager
def _blocked(*numbers: int) -> Iterator[None]:
    """Let these signals wait meanwhile, where the system can; a process begun now never gets them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], object] | signal.Handlers, *numbers: int) -> Iterator[None]:
    """Handle these signals so meanwhile, where that can be set: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, handled in zip(numbers, before, strict=True):
            if handled is not None:  # None: not set from Python, so not ours to restore
                signal.signal(number, handled)


def _environment() -> dict[str, str]:
    """Return ours, with our module search path: a worker must find what we found, and this `rnnbench` before any other,
    such as a folder of that name where the user stands."""
    home = str(Path(rnnbench.__file__).parent.parent)
    paths = [path or os.getcwd() for path in sys.path]
    others = [path for path in paths if path != home and (Path(path) / "rnnbench").exists()]
    first = [path for path in paths if path not in others]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys([*first, home, *others]))}
