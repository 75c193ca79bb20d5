"""What lies in the folder of the kernel cache. A link, a folder and every other name is foreign, and left alone."""

import re
import stat
from dataclasses import dataclass
from pathlib import Path

from rnnbench.errors import UsageError

DIGEST = "[0-9a-f]{64}"  # kernels are named by their key


@dataclass(frozen=True)
class KernelFile:
    """size in bytes; changed: when it was last written, in nanoseconds since the epoch."""

    path: Path
    size: int
    changed: int


def contents(folder: Path) -> tuple[list[KernelFile], int]:
    """Return (the kernels in `folder`, how many entries are not ours); none where there is no folder. Raises UsageError
    where it cannot be read."""
    from rnnbench.kernels.cache import SUFFIX

    name = re.compile(DIGEST + re.escape(SUFFIX))
    kernels, foreign = [], 0
    try:
        for path in sorted(folder.iterdir()):
            status = path.lstat()
            if name.fullmatch(path.name) and stat.S_ISREG(status.st_mode):
                kernels.append(KernelFile(path, status.st_size, status.st_mtime_ns))
            else:
                foreign += 1
    except FileNotFoundError:
        if folder.exists():  # another process has just removed one of its files
            return contents(folder)
    except OSError as error:
        raise UsageError(f"cannot read {str(folder)!r}: {error.strerror}; set RNNBENCH_CACHE_DIR") from None
    return kernels, foreign
