"""Threads and compile times of frameworks that more than one plugin drives.

Each function takes the framework's module, which the plugin has imported; nothing heavy is imported here.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from rnnbench.backends.base import CompileReport
from rnnbench.errors import UsageError

XLA_POOL = "tf_XLAEigen"  # what XLA calls the threads it computes with
JAX_COMPILING = "/jax/core/compile/"  # tracing, lowering and compiling each report seconds under it


def start_xla(jax: ModuleType, threads: int) -> None:
    """Start XLA for the CPU with so many threads in the whole process, in float64 too, calls waiting for their results.

    Raises UsageError for less than one thread, or where XLA has started with another number.
    """
    _at_least_one(threads)
    os.environ["NPROC"] = str(threads)  # XLA reads it when its client starts, which is below or has been already
    if threads == 1:
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_cpu_enable_async_dispatch", False)  # we wait anyway, and handing over costs 15 us of 90
    jax.devices("cpu")
    if (running := xla_threads()) not in (None, threads):
        raise UsageError(f"XLA has started {running} threads here, not {threads}; use a process of its own")


def xla_threads() -> int | None:
    """Count the threads XLA computes with in this process; None where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return None
    names = [entry.read_text().strip() for entry in Path("/proc/self/task").glob("*/comm")]
    return names.count(XLA_POOL)


def start_torch(torch: ModuleType, threads: int) -> None:
    """Give torch `threads` threads inside an operation and one between operations, in the whole process.

    Raises UsageError for less than one thread, or where torch runs another number.
    """
    _at_least_one(threads)
    torch.set_num_threads(threads)
    with suppress(RuntimeError):  # it may be set only once, and nothing here starts that pool
        torch.set_num_interop_threads(1)
    if torch.get_num_threads() != threads:
        raise UsageError(f"torch runs {torch.get_num_threads()} threads, not {threads}; set OMP_NUM_THREADS")


class JaxCompileLog:
    """Adds up what JAX says it spends on compiling from now on. Programs are kept in the process alone, so the cache
    is cold."""

    def __init__(self, jax: ModuleType) -> None:
        self._seconds = 0.0
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def report(self) -> CompileReport:
        return CompileReport(self._seconds, "cold")

    def _listen(self, event: str, seconds: float, **_: object) -> None:
        if event.startswith(JAX_COMPILING):
            self._seconds += seconds


def _at_least_one(threads: int) -> None:
    if threads < 1:
        raise UsageError(f"threads must be at least 1; got {threads}")
