"""Tables as strangers may make them: text, Excel and Parquet, damaged where they are structured."""

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from rnnbench.errors import UsageError
from rnnbench.report.text import printable
from rnnbench.tables.options import TableOptions
from rnnbench.tables.reading import read_table
from validation.damage import damaged, strange
from validation.strangers import Trial, Wrong, one_line

HEADER = ["day", "load, MW", "price", "note"]
ROWS = [[f"2021-01-{n:02}", f"{n * 1.25:.3f}", f"{n * 1000},5 €", f"text {n}"] for n in range(1, 13)]


def use_table(path: Path) -> str:
    """Read a table and each of its columns: all is finite or missing, or one line says why not."""
    try:
        table = read_table(TableOptions(path))
    except UsageError as error:
        one_line(printable(str(error)))
        return "refused"
    ends = []
    for name in dict.fromkeys(table.columns):
        try:
            values, texts = table.numbers(name), table.texts(name)
        except UsageError as error:
            one_line(printable(str(error)))
            continue
        if np.isinf(values).any() or values.shape != texts.shape or texts.shape != table.rows.shape:
            raise Wrong(f"column {name!r} was read as {values}")
        table.typed(name)
        ends.append(name)
    for remark in table.remarks:
        one_line(remark)
    return "read" if ends else "refused"


def csv_files(folder: Path) -> Trial:
    """Cells, rows and bytes of a text file."""
    path = folder / "a.csv"

    def trial(_: Path, random: Random) -> str:
        rows = damaged([HEADER, *ROWS], random)
        rows = [row if isinstance(row, list) else [row] for row in rows] if isinstance(rows, list) else [[rows]]
        out = io.StringIO(newline="")
        writer = csv.writer(
            out, delimiter=random.choice(",;\t|"), quoting=random.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
        )
        writer.writerows([str(field) for field in row] for row in rows)
        content = out.getvalue().encode(random.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16")), "surrogatepass")
        path.write_bytes(_hurt(content, random) if random.random() < 0.3 else content)
        return use_table(path)

    return trial


def _frame() -> Any:
    import pandas as pd

    columns = dict(zip(HEADER, zip(*ROWS, strict=True), strict=True))
    frame = pd.DataFrame(columns)
    return frame.assign(day=pd.to_datetime(frame["day"]), **{"load, MW": frame["load, MW"].astype(float), "n": 1})


def parquet_files(folder: Path) -> Trial:
    """Bytes of the pages and of the footer, which has no checksum."""
    path = folder / "a.parquet"
    _frame().to_parquet(path)
    sound = path.read_bytes()

    def trial(_: Path, random: Random) -> str:
        path.write_bytes(_hurt(sound, random))
        return use_table(path)

    return trial


def excel_files(folder: Path) -> Trial:
    """The XML of a workbook's parts, packed again with the right checksums."""
    path = folder / "a.xlsx"
    _frame().to_excel(path, index=False)
    with zipfile.ZipFile(path) as archive:
        sound = {name: archive.read(name) for name in archive.namelist()}

    def trial(_: Path, random: Random) -> str:
        parts = dict(sound)
        name = random.choice([*sound, *[name for name in sound if "sheet" in name] * 4])
        parts[name] = random.choice(XML)(parts[name], random)
        if random.random() < 0.05:
            del parts[name]
        with zipfile.ZipFile(path, "w") as archive:
            for part, content in parts.items():
                archive.writestr(part, content)
        return use_table(path)

    return trial


def _hurt(content: bytes, random: Random) -> bytes:
    """Set, cut out or double a few bytes."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(changed) + 1)
        how = random.choice(("set", "set", "cut", "double", "truncate"))
        if how == "set" and at < len(changed):
            changed[at] = random.randrange(256)
        elif how == "cut":
            del changed[at : at + random.randrange(40)]
        elif how == "double":
            changed[at:at] = changed[at : at + random.randrange(40)]
        elif how == "truncate" and random.random() < 0.2:
            del changed[at:]
    return bytes(changed)


def _value(content: bytes, random: Random) -> bytes:
    """Replace what stands in quotes, or between tags."""
    mark = random.choice((b'"', b">"))
    pieces = content.split(mark)
    pieces[random.randrange(len(pieces))] = str(strange(random)).encode("utf-8", "replace")
    return mark.join(pieces)


def _again(content: bytes, random: Random) -> bytes:
    """Double or drop an element."""
    pieces = content.split(b"<")
    at = random.randrange(len(pieces))
    pieces[at:at] = random.choice(([pieces[at]], [], [b"row r='1048576'/>"], [b"c r='XFD1'><v>7</v></c>"]))
    return b"<".join(pieces)


XML: tuple[Callable[[bytes, Random], bytes], ...] = (_hurt, _value, _again)
