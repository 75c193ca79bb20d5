"""JSON files that are either whole or not there: a checksum inside, written beside and renamed into place."""

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any, NoReturn

SCHEMA = 1
LARGEST_BYTES = 64 * 1024**2  # far above any group's samples; a larger file is not ours


class Damaged(ValueError):
    """A file that cannot be used; the message says why, without naming the file."""


def write(path: Path, content: dict[str, Any]) -> None:
    """Writes `content` so that a reader sees the old file or the new one and never a part, whenever we are stopped.

    Raises OSError where the system refuses, ValueError for NaN or infinity.
    """
    sealed = {"schema": SCHEMA, "checksum": _checksum(content), "content": content}
    text = json.dumps(sealed, allow_nan=False, indent=1)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    unnamed = _unnamed(path.parent)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644) if unnamed is None else unnamed
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            if unnamed is not None:
                _name(unnamed, temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _unnamed(folder: Path) -> int | None:
    """A file in `folder` that has no name yet: killed before it is whole, we leave nothing behind. None where the
    system has no such files."""
    if not hasattr(os, "O_TMPFILE") or not Path("/proc/self/fd").is_dir():
        return None
    try:
        return os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o644)
    except OSError:  # a file system without them; where the folder is at fault, an ordinary file finds out
        return None


def _name(descriptor: int, path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:  # only with folders given does this follow the link to the file itself
        os.link(f"/proc/self/fd/{descriptor}", path.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def read(path: Path) -> dict[str, Any]:
    """The content of a file that `write` made. Raises Damaged for anything else, a link included."""
    try:
        if path.is_symlink() or not path.is_file():
            raise Damaged("is not an ordinary file")
        if path.stat().st_size > LARGEST_BYTES:
            raise Damaged(f"is larger than {LARGEST_BYTES} bytes")
        sealed = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise Damaged(f"cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, Damaged) else Damaged("is not valid JSON") from None
    if not isinstance(sealed, dict) or not isinstance(sealed.get("content"), dict):
        raise Damaged("is not a file of rnnbench")
    if isinstance(sealed.get("schema"), int) and sealed["schema"] > SCHEMA:
        raise Damaged(f"has schema {sealed['schema']}, newer than {SCHEMA}; update rnnbench to read it")
    content: dict[str, Any] = sealed["content"]
    if sealed.get("checksum") != _checksum(content):
        raise Damaged("does not match its checksum")
    return content


def _checksum(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable, where folders can be opened (not on Windows)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
