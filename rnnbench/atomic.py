"""Files that are either whole or not there: written beside their place, where possible without a name, then renamed."""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path


def write(path: Path, content: str | bytes) -> None:
    """Write a file that somebody has named: the old one or the new one, never a part. Text becomes UTF-8.

    Of a link, what it points to is replaced; an existing file keeps its mode; a device or a pipe is written as it is.
    Raises OSError where the system refuses.
    """
    data = content.encode() if isinstance(content, str) else content
    if path.is_file():
        replace(path.resolve(), data, stat.S_IMODE(path.stat().st_mode))
    elif path.exists():
        path.write_bytes(data)
    else:
        replace(path.resolve(), data)


def replace(path: Path, content: bytes, mode: int | None = None, durable: bool = True) -> None:
    """Put a file in the place of `path`, be it a link, so that a reader sees the old one or the new one and never a
    part, whenever we are stopped.

    mode: of the new file; None for what new files have in this process. durable: return once it is on the disk. Raises
    OSError where the system refuses.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
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
