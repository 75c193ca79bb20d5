"""Honest backends, quiet and beside busy loops: no row may be accused of anything."""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from rnnbench.api import compare
from rnnbench.comparison.traps import SUBNORMAL_WARNING
from rnnbench.machine.environment import usable_cores
from rnnbench.records.record import Record
from rnnbench.registry import configure
from validation.pairs import busy

SEVEN = ("numba", "numpy", "torch", "onnxruntime", "openvino", "keras", "jax")
# What JAX compiles is kept from one comparison to the next: it is most of their time, and nothing that is judged.
JAX_CACHE = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
STEPS = 60  # of training: enough for steps to be looked at again
HIDDEN, BATCH = 8, 16
LOOPS = 2
SURROUNDINGS = ("quiet", f"beside {LOOPS} busy loops")
# What is true of a backend whoever is there beside it: it says so itself, or numbers next to zero do slow it down.
TRUE = ("no single steps: ", SUBNORMAL_WARNING)


@dataclass(frozen=True)
class Accused:
    """A row that says something against its backend, and in which comparison."""

    number: int
    backend: str
    sentence: str


def honest(count: int) -> dict[str, Any]:
    """Carry out `count` comparisons of all seven in both surroundings. Raises RuntimeError where one is missing."""
    configure([])
    found: dict[str, Any] = {"count": count, "backends": list(SEVEN), "steps": STEPS}
    with tempfile.TemporaryDirectory(prefix="rnnbench-honest-") as cache, environment(cache):
        for surroundings in SURROUNDINGS:
            found[surroundings] = series(surroundings, count)
    return found


def series(surroundings: str, count: int) -> dict[str, Any]:
    """Carry out `count` comparisons, and return who was accused and how long each took."""
    loops = 0 if surroundings == SURROUNDINGS[0] else LOOPS
    accused: list[Accused] = []
    seconds: list[float] = []
    for number in range(count):
        start = time.monotonic()
        with busy_loops(loops):
            own = list(accusations(comparison(number, SEVEN), number))
        seconds.append(time.monotonic() - start)
        accused += own
        said = "; ".join(f"{one.backend}: {one.sentence}" for one in own) or "nobody accused"
        print(f"{surroundings} {number + 1}/{count}: {said}, {seconds[-1]:.1f} s", flush=True)
    middle, longest = sorted(seconds)[count // 2], max(seconds)
    return {"accused": [asdict(one) for one in accused], "seconds": middle, "longest_seconds": longest}


def comparison(number: int, backends: Sequence[str]) -> list[Record]:
    """Return the rows of one comparison; its number is its seed. Raises RuntimeError for a backend that is missing."""
    with tempfile.TemporaryDirectory(prefix="rnnbench-honest-") as folder:
        rows = compare(
            task="sine",
            cell="gru",
            backend=backends,
            hidden=HIDDEN,
            batch=BATCH,
            steps=STEPS,
            seeds=1,
            seed=number,
            results=folder,
            no_baselines=True,
        ).records()
    if absent := [row for row in rows if row.status in ("load_error", "unsupported")]:
        raise RuntimeError(f"{absent[0].backend}: {absent[0].reason}")
    return rows


def accusations(rows: Sequence[Record], number: int) -> Iterator[Accused]:
    """Yield what the rows say against their backends."""
    for row in rows:
        if row.status != "ok":
            yield Accused(number, row.backend, f"{row.status}: {row.reason}")
        for warning in row.warnings:
            if not warning.startswith(TRUE):
                yield Accused(number, row.backend, warning)


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Keep so many processes spinning meanwhile, on the cores in turn."""
    cores = usable_cores()
    with ExitStack() as stack:
        for position in range(count):
            stack.enter_context(busy(cores[position % len(cores)]))
        yield


@contextmanager
def environment(cache: str) -> Iterator[None]:
    """Let the processes that are started meanwhile keep in `cache` what JAX compiles, for Keras too."""
    before = dict(os.environ)
    os.environ.update(JAX_CACHE, KERAS_BACKEND="jax", JAX_COMPILATION_CACHE_DIR=cache)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
