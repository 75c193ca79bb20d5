"""Files that are either whole or not there: written beside their place, where possible without a name, then renamed.

What a writer that was killed has left under a temporary name is removed by the next that writes into the folder.
"""

import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp(\.\w+)?")
STALE_SECONDS = 3600.0  # no write takes that long: whoever began it is dead


def write(path: Path, content: str | bytes) -> None:
    """Write a file that somebody has named: the old one or the new one, never a part. Text becomes UTF-8.

    Of a link, what it points to is replaced; an existing file keeps its mode; a device or a pipe is written as it is.
    Raises OSError where the system refuses.
    """
    data = content.encode() if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        path.write_bytes(data)
    else:
        replace(path.resolve(), data, _mode(path))


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Yield where to write, instead, a file that somebody has named, for a writer that wants a path; its suffix is the
    same. Once written it is put in place, as by `write`; after an error nothing has changed."""
    if path.exists() and not path.is_file():
        yield path
        return
    target, mode = path.resolve(), _mode(path)
    temporary = _temporary(target, path.suffix)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            if mode is not None:
                temporary.chmod(mode)
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _mode(path: Path) -> int | None:
    """Return the mode of an existing file, None where there is none. Raises PermissionError for one that may not be
    written, though its folder would let us replace it."""
    if not path.exists():
        return None
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return stat.S_IMODE(path.stat().st_mode)


def _temporary(path: Path, suffix: str = "") -> Path:
    """Return a name beside a file for what is to replace it, having removed those that are left of dead writers."""
    with suppress(OSError):
        for left in path.parent.glob(".*.tmp*"):
            if TEMPORARY.fullmatch(left.name) and time.time() - left.lstat().st_mtime > STALE_SECONDS:
                left.unlink()
    return path.with_name(f".{secrets.token_hex(8)}.tmp{suffix}")


def replace(path: Path, content: bytes, mode: int | None = None, durable: bool = True) -> None:
    """Put a file in the place of `path`, be it a link, so that a reader sees the old one or the new one and never a
    part, whenever we are stopped.

    mode: of the new file; None for what new files have in this process. durable: return once it is on the disk. Raises
    OSError where the system refuses.
    """
    temporary = _temporary(path)
    created = 0o666 if mode is None else mode
    unnamed = _unnamed(path.parent, created)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, created) if unnamed is None else unnamed
    try:
        with os.fdopen(descriptor, "wb") as file:
            if mode is not None:
                with suppress(OSError, AttributeError):  # a file system without modes, or Windows
                    os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            if durable:
                os.fsync(descriptor)
            if unnamed is not None:
                _name(unnamed, temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)


def _unnamed(folder: Path, mode: int) -> int | None:
    """Open a file in `folder` that has no name yet: killed before it is whole, we leave nothing behind. None where the
    system has no such files."""
    if not hasattr(os, "O_TMPFILE") or not Path("/proc/self/fd").is_dir():
        return None
    try:
        return os.open(folder, os.O_TMPFILE | os.O_WRONLY, mode)
    except OSError:  # a file system without them; where the folder is at fault, an ordinary file finds out
        return None


def _name(descriptor: int, path: Path) -> None:
    """Give a file without a name one."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:  # only with folders given does this follow the link to the file itself
        os.link(f"/proc/self/fd/{descriptor}", path.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where folders can be opened (not on Windows)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
