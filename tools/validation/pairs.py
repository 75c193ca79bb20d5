"""Comparisons whose true result is known, carried out as `rnnbench compare` does: processes, rounds, verdict."""

import math
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rnnbench.aa_noise import BATCH_SIZE, SEQ_LEN, measure_noise, timed_model
from rnnbench.api import compare
from rnnbench.comparison.listener import Listener
from rnnbench.machine.environment import usable_cores
from rnnbench.records.comparisons import CONTROLLED, speed_ratio
from rnnbench.records.noise import KnownNoise
from rnnbench.records.statistics import PROCESSES_FOR_A_VERDICT, minimum_effect, verdict
from rnnbench.registry import configure
from rnnbench.workers.sandbox import worker_cores
from validation.slowed import AGAIN, SLOWED

PLUGIN = str(Path(__file__).with_name("slowed.py"))
MOST_SECONDS = 15.0
BUSY = "while True: pass"


@dataclass(frozen=True)
class Comparison:
    """`numba` against another: ratio is the other's time over numba's, so that `faster` says it of numba."""

    other: str
    ratio: float
    low: float
    high: float
    word: str
    seconds: float

    @property
    def excludes_one(self) -> bool:
        return not self.low <= 1 <= self.high


def comparison(other: str, number: int, least: float) -> Comparison:
    """Reach one verdict with five processes a side. number: another one has other seeds, so other inputs and orders.

    Raises RuntimeError where a row is not ok.
    """
    count = PROCESSES_FOR_A_VERDICT
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rnnbench-validation-") as folder:
        run = compare(
            model=timed_model(),
            backend=(CONTROLLED, other),
            batch=BATCH_SIZE,
            seq_len=SEQ_LEN,
            seeds=count,
            seed=count * number,
            results=folder,
            control=False,
        )
        groups = run.groups()
    if bad := [record for group in groups for record in group.records if record.status != "ok"]:
        raise RuntimeError(f"{bad[0].backend}: {bad[0].status}: {bad[0].reason}")
    ratio = speed_ratio(groups, CONTROLLED, other)
    assert ratio is not None
    assert ratio.low is not None
    assert ratio.high is not None
    word = verdict(ratio, least)
    return Comparison(other, ratio.value, ratio.low, ratio.high, word, time.monotonic() - start)


def series(other: str, count: int, noise: KnownNoise) -> list[Comparison]:
    least, found = minimum_effect(noise.ratio), []
    for number in range(count):
        found.append(comparison(other, number, least))
        last = found[-1]
        print(
            f"{other} {number + 1}/{count}: {last.ratio:.4f} [{last.low:.4f}, {last.high:.4f}] {last.word},"
            f" {last.seconds:.1f} s",
            flush=True,
        )
    return found


def prepared() -> KnownNoise:
    """Load the slowed backends, and return the machine's noise as `rnnbench doctor --noise` measures it."""
    configure([PLUGIN])
    noise = measure_noise(Listener())
    print(f"noise: {noise.ratio.value:.4f} [{noise.ratio.low:.4f}, {noise.ratio.high:.4f}]", flush=True)
    return noise


def aa(count: int) -> dict[str, Any]:
    """Compare one program under two names."""
    noise = prepared()
    found = series(AGAIN, count, noise)
    return {**_shared(found, noise), "words": _words(found), "exclude_one": sum(one.excludes_one for one in found)}


def power(count: int) -> dict[str, Any]:
    """Compare a program with itself, slowed by a known share. What is right is that numba is the faster one."""
    noise = prepared()
    found = {name: series(name, count, noise) for name in SLOWED}
    return {
        **_shared([one for own in found.values() for one in own], noise),
        "words": {name: _words(own) for name, own in found.items()},
        "exclude_one": {name: sum(one.excludes_one for one in own) for name, own in found.items()},
    }


def disturbed(count: int) -> dict[str, Any]:
    """Do as `power`, while a process that does nothing but spin shares a core: the workers', and that of the parent."""
    noise = prepared()
    found: dict[str, list[Comparison]] = {}
    for where, core in _cores():
        for name in SLOWED:
            with busy(core):
                found[f"{name}, {where}"] = series(name, count, noise)
    return {
        **_shared([one for own in found.values() for one in own], noise),
        "words": {name: _words(own) for name, own in found.items()},
    }


def _cores() -> Iterator[tuple[str, int]]:
    usable = usable_cores()
    (workers,) = worker_cores(usable, 1)
    yield "busy loop on the workers' core", workers
    yield "busy loop on the other core", next(core for core in usable if core != workers)


@contextmanager
def busy(core: int) -> Iterator[None]:
    """Keep a process spinning on one core meanwhile."""
    loop = subprocess.Popen([sys.executable, "-S", "-c", BUSY])
    try:
        os.sched_setaffinity(loop.pid, {core})
        yield
    finally:
        loop.kill()
        loop.wait()


def _words(found: Sequence[Comparison]) -> dict[str, int]:
    return dict(Counter(one.word for one in found))


def _shared(found: Sequence[Comparison], noise: KnownNoise) -> dict[str, Any]:
    """Return what every series reports. spread: the standard deviation of a process's log ratio, from the intervals."""
    halves = [math.log(one.high / one.low) / 2 for one in found]
    quantile = 2.7764451 / math.sqrt(PROCESSES_FOR_A_VERDICT)  # Student's t, 97.5 %, 4 degrees of freedom
    return {
        "count": len(found),
        "noise": noise.as_json(),
        "least": minimum_effect(noise.ratio),
        "spread": sorted(half / quantile for half in halves)[len(halves) // 2],
        "seconds": sorted(one.seconds for one in found)[len(found) // 2],
        "longest_seconds": max(one.seconds for one in found),
        "comparisons": [asdict(one) for one in found],
    }
