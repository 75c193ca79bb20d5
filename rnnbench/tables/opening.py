"""The bytes of a file or of standard input, and what kind of file they are, whatever it is called."""

import gzip
import io
import os
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Literal

from rnnbench.tables.place import Place

MOST_BYTES = 1 << 28  # far above any series that a cell could be trained on
Kind = Literal["text", "parquet", "workbook"]


def read_bytes(source: str | os.PathLike[str]) -> tuple[Place, bytes]:
    """Return where errors are, and all bytes, unpacked if they are gzip's; "-" is standard input."""
    if source == "-":
        place = Place("standard input")
        content = sys.stdin.buffer.read(MOST_BYTES + 1)
    else:
        path = Path(source)
        place = Place(path)
        try:
            if path.exists() and not path.is_file() and not path.is_dir():
                raise ValueError("not an ordinary file")
            with path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            reason = getattr(error, "strerror", None) or str(error)
            raise place.error(f"{reason.lower()}; give the path of a CSV file, or - for standard input") from None
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(MOST_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise place.error(f"not sound gzip ({error}); pack it again") from None
    if len(content) > MOST_BYTES:
        raise place.error(f"larger than the {MOST_BYTES} bytes that are read; keep the columns and rows you need")
    return place, content


def kind_of(place: Place, content: bytes) -> Kind:
    """Return what the bytes are by how they begin."""
    if content.startswith(b"PAR1"):
        return "parquet"
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise place.error("an old Excel file; save it as .xlsx or CSV")
    if not content.startswith(b"PK\x03\x04"):
        return "text"
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise place.error(f"not a sound ZIP archive or Excel file ({error}); save it again") from None
    if "[Content_Types].xml" not in sizes:
        raise place.error("a ZIP archive; unpack it and give the table in it")
    if sum(sizes.values()) > MOST_BYTES:
        raise place.error(f"larger than the {MOST_BYTES} bytes that are read, once unpacked; keep what you need")
    return "workbook"
