"""Writes rnnbench/tasks/data/m1-yearly.csv from the Monash archive's file of the M1 competition's yearly series:

    pip download aeon==1.6.0 --no-deps -d /tmp/aeon && python tools/make_m1.py /tmp/aeon/aeon-1.6.0-py3-none-any.whl

The file lies in aeon's wheel as it does in the archive; aeon is not imported. What is changed: a row for every value,
under the names that forecasting libraries use, and of a start its year alone. `original` undoes it, so the digest of
the archive's data says whether ours are those.
"""

import csv
import hashlib
import io
import sys
import zipfile
from pathlib import Path

from rnnbench import atomic

MEMBER = "aeon/datasets/data/m1_yearly_dataset/m1_yearly_dataset.tsf"
INTO = Path(__file__).resolve().parent.parent / "rnnbench" / "tasks" / "data" / "m1-yearly.csv"
HEADER = ["unique_id", "ds", "y"]
NEW_YEAR = "-01-01 00-00-00"  # every series of the archive's begins with a year
DIGEST = "2b63ff55ca65a3fa3ea1b01bcbb78050a0418524bef300f7a798075e575b56e2"  # SHA-256 of all the lines after @data


def data_lines(archive: str) -> list[str]:
    """Return the lines of the archive's file that hold a series, without what tells of them."""
    _, _, body = archive.replace("\r\n", "\n").partition("@data\n")
    return body.splitlines()


def table(lines: list[str]) -> str:
    """Return the CSV of series written as `name:start:value,value,...`; values as they are written there."""
    page = io.StringIO()
    writer = csv.writer(page, lineterminator="\n")
    writer.writerow(HEADER)
    for name, start, values in (line.split(":") for line in lines):
        first = int(start.removesuffix(NEW_YEAR))
        writer.writerows((name, first + number, value) for number, value in enumerate(values.split(",")))
    return page.getvalue()


def original(page: str) -> list[str]:
    """Return the lines that a CSV was made of."""
    series: dict[str, tuple[str, list[str]]] = {}
    for row in csv.DictReader(io.StringIO(page)):
        series.setdefault(row["unique_id"], (row["ds"], []))[1].append(row["y"])
    return [f"{name}:{year}{NEW_YEAR}:{','.join(values)}" for name, (year, values) in series.items()]


def digest(lines: list[str]) -> str:
    """Return the SHA-256 of lines, one under the other."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def main(wheel: str, into: Path = INTO) -> None:
    """Write the table; another archive than the one it was made of ends it."""
    with zipfile.ZipFile(wheel) as archive:
        lines = data_lines(archive.read(MEMBER).decode())
    if (found := digest(lines)) != DIGEST:
        raise SystemExit(f"{wheel}: its data have the digest {found}, not {DIGEST}")
    atomic.write(into, table(lines))


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(Path, sys.argv[2:]))
