"""The folder of the kernel cache: where it is, whether it is this user's alone, and what lies in it.

A kernel's file ends in a pickle, so it is read only where nobody else can have written: a regular file, opened without
following a link, of this user, that nobody else may write, in a folder of which the same holds, below folders in which
nobody else can put another one in its place. What is used last stays: beyond `MOST_BYTES` the others are removed.
"""

import os
import re
import stat
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rnnbench import atomic
from rnnbench.errors import UsageError

SUFFIX = ".kernel"
NAME = re.compile("[0-9a-f]{64}" + re.escape(SUFFIX))  # kernels are named by their key
STALE_SECONDS = 60  # a writer that still lives has long renamed its file
MOST_BYTES = 512 << 20
MOST_BYTES_EACH = 64 << 20
OTHERS_WRITE, OTHERS_ENTER = stat.S_IWGRP | stat.S_IWOTH, stat.S_IXGRP | stat.S_IXOTH
# Where there is no such flag (Windows) there are no such files either. A pipe must not be waited for.
FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def directory() -> Path:
    """Return where kernels are kept: $RNNBENCH_CACHE_DIR, else the platform's cache folder."""
    if asked := os.environ.get("RNNBENCH_CACHE_DIR"):
        return Path(asked)
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "rnnbench" / "kernels"


def safe_directory() -> tuple[Path | None, str | None]:
    """Return (directory, why nothing new is kept there or None) once it exists and is this user's alone, else (None,
    why not)."""
    path = directory()
    try:
        for missing in [folder for folder in (*reversed(path.parents), path) if not folder.exists()]:
            missing.mkdir(mode=0o700, exist_ok=True)
        reason = _not_ours(path) if hasattr(os, "getuid") else None
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        reason = f"{path}: {getattr(error, 'strerror', error)}; set RNNBENCH_CACHE_DIR"
    if reason:
        return None, f"kernels are not cached: {reason}"
    if not os.access(path, os.W_OK):
        return path, f"new kernels are not cached: {path} cannot be written; set RNNBENCH_CACHE_DIR"
    return path, None


def _not_ours(path: Path) -> str | None:
    """Return how somebody else could put files into `path`, or None."""
    own = path.stat()
    if own.st_uid != os.getuid():
        return f"{path} belongs to another user; set RNNBENCH_CACHE_DIR"
    if own.st_mode & OTHERS_WRITE:
        return f"others may write to {path}; run: chmod 700 {path}"
    # Whom we cannot but trust: in a container the owner of / is root, by whatever number.
    trusted = (os.getuid(), Path("/").stat().st_uid)
    for route in (path.absolute(), path.resolve(strict=True)):
        for folder in (*reversed(route.parents), route):
            status = folder.stat()
            if not {folder.lstat().st_uid, status.st_uid} <= {*trusted}:
                return f"{folder} belongs to another user; set RNNBENCH_CACHE_DIR"
            if _others_write(status) and not status.st_mode & stat.S_ISVTX:
                return f"others may write to {folder}; set RNNBENCH_CACHE_DIR, or run: chmod go-w {folder}"
            if not status.st_mode & OTHERS_ENTER:
                break
    return None


def _others_write(status: os.stat_result) -> bool:
    """Tell whether others may write to a folder. Its group is no other where it is the user's own, of the same name and
    without another member: under the umask of many systems, 002, every folder is open to that."""
    if not status.st_mode & stat.S_IWGRP:
        return bool(status.st_mode & stat.S_IWOTH)
    with suppress(ImportError, KeyError):
        import grp
        import pwd

        user, group = pwd.getpwuid(os.getuid()), grp.getgrgid(status.st_gid)
        own = user.pw_gid == group.gr_gid and group.gr_name == user.pw_name and {*group.gr_mem} <= {user.pw_name}
        return not own or bool(status.st_mode & stat.S_IWOTH)
    return True


def read(path: Path) -> bytes | None:
    """Return a kernel file's bytes and mark it as used, or None where it is not there or could be another's."""
    try:
        descriptor = os.open(path, FLAGS)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES_EACH:
                return None
            if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & OTHERS_WRITE):
                return None
            content = file.read(MOST_BYTES_EACH)
    except OSError:
        return None
    with suppress(OSError):  # a cache that may only be read
        os.utime(path, ns=(time.time_ns(), status.st_mtime_ns), follow_symlinks=False)
    return content


def write(path: Path, content: bytes) -> bool:
    """Keep a kernel, and of the others what there is room for. Return False where it could not be written: a full disk
    costs the cache, not the run."""
    with suppress(OSError):
        atomic.replace(path, content, mode=0o600, durable=False)
        tidy(path.parent)
        return True
    return False


def tidy(folder: Path) -> None:
    """Remove what killed writers have left, and where kernels take too much those not used for longest. What fails is
    left to the next."""
    left = MOST_BYTES
    with suppress(OSError, UsageError):
        for kernel in sorted(contents(folder)[0], key=lambda kernel: kernel.used, reverse=True):
            left -= kernel.size
            if left < 0:
                kernel.path.unlink(missing_ok=True)
        for path in filter(lambda path: atomic.TEMPORARY.fullmatch(path.name), folder.iterdir()):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and time.time() - status.st_mtime > STALE_SECONDS:
                path.unlink(missing_ok=True)


@dataclass(frozen=True)
class KernelFile:
    """size in bytes; changed, used: when it was last written and read, in nanoseconds since the epoch."""

    path: Path
    size: int
    changed: int
    used: int


def contents(folder: Path) -> tuple[list[KernelFile], int]:
    """Return (the kernels in `folder`, how many entries are not ours); none where there is no folder. A link, a folder
    and every other name is not ours. Raises UsageError where it cannot be read."""
    kernels, foreign = [], 0
    try:
        for path in sorted(folder.iterdir()):
            status = path.lstat()
            if NAME.fullmatch(path.name) and stat.S_ISREG(status.st_mode):
                kernels.append(KernelFile(path, status.st_size, status.st_mtime_ns, status.st_atime_ns))
            else:
                foreign += 1
    except FileNotFoundError:
        if folder.exists():  # another process has just removed one of its files
            return contents(folder)
    except OSError as error:
        raise UsageError(f"cannot read {str(folder)!r}: {error.strerror}; set RNNBENCH_CACHE_DIR") from None
    return kernels, foreign
