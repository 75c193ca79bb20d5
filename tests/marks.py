"""Who is still there: the processes below a worker, found by the marker in their environment."""

import psutil

from rnnbench.workers.reaper import MARKER


def children() -> list[psutil.Process]:
    """Return everything that this process has started and that still runs."""
    return [child for child in psutil.Process().children(recursive=True) if child.is_running()]


def marked(marker: str) -> list[psutil.Process]:
    """Return those whose marker starts so; a process that has ended and was not waited for does not count."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER, "").startswith(marker) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found
