"""Strangers' files by the thousand: sound ones with their structure damaged, and sealed again where there is a seal, so
that the damage reaches what lies behind it; then all is done with them that a user does.

Trial n of a kind depends on n alone. It ends in a right result, or in one printable line; nothing else will do. One
trial again, with its traceback: python tools/validation/fuzz.py KIND NUMBER
"""

import os
import resource
import signal
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rnnbench.report.text import printable
from validation import strange_tables, strange_weights, strangers
from validation.strangers import Trial, Wrong

SECONDS = 20.0  # for a file of some kilobytes; most take a twentieth of a second
MEBIBYTES = 500  # above what a process holds after its first trials
CHUNK = 250
SHOWN = 10  # of what went wrong
KINDS: dict[str, Callable[[Path], Trial]] = {
    "stores": strangers.stores,
    "noise": strangers.noises,
    "asv": strangers.asv,
    "safetensors": strange_weights.safetensors,
    "onnx": strange_weights.onnx,
    "options": strangers.options,
    "csv": strange_tables.csv_files,
    "parquet": strange_tables.parquet_files,
    "excel": strange_tables.excel_files,
}


def fuzz(count: int) -> dict[str, Any]:
    """Carry out `count` trials of each kind."""
    found: dict[str, Any] = {"count": count, "kinds": {}}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for kind in KINDS:
            starts = range(0, count, CHUNK)
            ends: Counter[str] = Counter()
            wrong: list[str] = []
            for own, troubles in pool.map(partial(trials, kind), starts, [min(CHUNK, count - s) for s in starts]):
                ends += own
                wrong += troubles
            print(f"{kind}: {dict(ends)}, {len(wrong)} wrong", *wrong[:SHOWN], sep="\n  ", flush=True)
            found["kinds"][kind] = {"ends": dict(sorted(ends.items())), "wrong": len(wrong), "first": wrong[:SHOWN]}
    return found


def trials(kind: str, first: int, count: int) -> tuple[Counter[str], list[str]]:
    """Carry out some trials of a kind; return how they ended, and a line for each that went wrong."""
    ends: Counter[str] = Counter()
    wrong = []
    held = 0
    with (
        patch.dict(os.environ, COLUMNS=strangers.WIDTH),
        tempfile.TemporaryDirectory(prefix="rnnbench-fuzz-") as folder,
    ):
        carry_out = KINDS[kind](Path(folder))
        for number in range(first, first + count):
            try:
                with within(SECONDS), warnings.catch_warnings():
                    warnings.simplefilter("error")
                    ends[carry_out(Path(folder), Random(f"{kind} {number}"))] += 1
            except Exception as error:  # whatever escapes is what we look for
                ends["wrong"] += 1
                wrong.append(f"{kind} {number}: {type(error).__name__}: {printable(str(error))[:300]}")
            if number == first + 20:
                held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if held and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held > MEBIBYTES * 1024:
        wrong.append(f"{kind} {first} and on: more than {MEBIBYTES} MiB were held")
    return ends, wrong


@contextmanager
def within(seconds: float) -> Iterator[None]:
    def late(*_: object) -> None:
        raise Wrong(f"took more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp(prefix="rnnbench-fuzz-"))
    os.environ["COLUMNS"] = strangers.WIDTH
    print(KINDS[sys.argv[1]](folder)(folder, Random(f"{sys.argv[1]} {sys.argv[2]}")), folder)
