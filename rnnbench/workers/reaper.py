"""A small process that waits for the parent's end, and leaves nothing behind even if that is killed outright.

Every process below a worker carries a marker in its environment; when the pipe from the parent closes, for whatever
reason, the reaper ends those that are left and removes the run's temporary folder.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

MARKER = "RNNBENCH_WORKER"
SWEEPS = 5  # a process may start another while we look; five rounds without end would be a fork bomb


def marked(marker: str) -> "Iterator[tuple[str, psutil.Process]]":
    """Yield every process whose environment holds a marker that starts so, except this one, each with its marker."""
    import psutil

    with suppress(OSError):  # no list of processes at all, without /proc
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                own = process.environ().get(MARKER, "")
                if process.pid != os.getpid() and own.startswith(marker):
                    yield own, process


def end_all(marker: str) -> None:
    """Kill every process whose environment holds a marker that starts so, except this one."""
    import psutil

    for _ in range(SWEEPS):
        found = False
        for _, process in marked(marker):
            with suppress(psutil.Error, OSError):
                process.kill()
                found = found or process.status() != psutil.STATUS_ZOMBIE
        if not found:
            return


def main() -> None:
    """Wait for the end of standard input, a pipe from the parent; arguments: the marker and the folder."""
    marker, folder = sys.argv[1], Path(sys.argv[2])
    sys.stdin.buffer.read()
    end_all(marker)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
