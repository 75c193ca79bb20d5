"""The peak resident memory of this process, per case where the system lets the mark be reset."""

import sys
from pathlib import Path

_RESET = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def reset_peak() -> bool:
    """Set the high-water mark to what is held now. False where the system cannot: the peak is the process's then."""
    try:
        _RESET.write_text("5")
    except OSError:
        return False
    return True


def peak_bytes() -> int:
    """Return the largest resident size in bytes since the last reset."""
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024  # kilobytes everywhere but there
