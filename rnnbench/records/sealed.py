"""JSON files that are either whole or not there: a checksum inside."""

import hashlib
import json
from pathlib import Path
from reprlib import repr as shortened
from stat import S_ISREG
from typing import Any, NoReturn

from rnnbench import atomic
from rnnbench.units import MIB

SCHEMA = 1
LARGEST_BYTES = 64 * MIB  # far above any group's samples; a larger file is not ours


class Damaged(ValueError):
    """A file that cannot be used; the message says why, without naming the file."""


def write(path: Path, content: dict[str, Any]) -> None:
    """Write `content` so that a reader sees the old file or the new one and never a part, whenever we are stopped.

    Raises OSError where the system refuses, ValueError for NaN or infinity.
    """
    sealed = {"schema": SCHEMA, "checksum": _checksum(content), "content": content}
    atomic.replace(path, json.dumps(sealed, allow_nan=False, indent=1).encode())


def read(path: Path) -> dict[str, Any]:
    """Return the content of a file that `write` made. Raises Damaged for anything else, a link included."""
    sealed = load_json(path, strict=True)
    if not isinstance(sealed, dict) or not isinstance(sealed.get("content"), dict):
        raise Damaged("is not a file of rnnbench")
    if isinstance(sealed.get("schema"), int) and sealed["schema"] > SCHEMA:
        raise Damaged(f"has schema {shortened(sealed['schema'])}, newer than {SCHEMA}; update rnnbench to read it")
    content: dict[str, Any] = sealed["content"]
    try:
        if sealed.get("checksum") != _checksum(content):
            raise Damaged("does not match its checksum")
    except RecursionError:
        raise Damaged("is nested too deeply") from None
    except ValueError as error:
        raise error if isinstance(error, Damaged) else Damaged("holds a number beyond all bounds") from None
    return content


def load_json(path: Path, strict: bool = False) -> object:
    """Return what any JSON file holds. strict: neither a link nor NaN or infinity will do. Raises Damaged."""
    try:
        if not S_ISREG((path.lstat() if strict else path.stat()).st_mode):
            raise Damaged("is not an ordinary file")
        with path.open("rb") as file:
            text = file.read(LARGEST_BYTES + 1)
        if len(text) > LARGEST_BYTES:
            raise Damaged(f"is larger than {LARGEST_BYTES} bytes")
        return json.loads(text.decode(), parse_constant=_refuse_constant if strict else None)
    except OSError as error:
        raise Damaged(f"cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, Damaged) else Damaged("is not valid JSON") from None


def _checksum(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
