"""One comparison for a whole grid, by rnnbench's harness, and its figures handed to each benchmark.

This is the only file of the suite that speaks to rnnbench. The suite is that of the newest commit and the package that
of the commit under test, so it keeps to what has been there for long: settings, `compare`, the store.
"""

import json
import os
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from asv_runner.benchmarks.mark import SkipNotImplemented

from .grid import GRID, Grid

PROTOCOL = "1"  # asv's `version`: raised by hand when the way of measuring changes, which starts every series anew
FIGURES = Path("figures.json")  # in asv's cache folder, where its processes start
GAPS = ("skipped", "unsupported")  # statuses that are n/a; all others but ok are failures
Row = dict[str, Any]


class Rows:
    """A benchmark over the grid's rows. asv carries `setup_cache` out once for all that inherit it."""

    params = (GRID.tasks, GRID.cells, GRID.backends, GRID.hidden_sizes)
    param_names = ("task", "cell", "backend", "hidden_size")
    version = PROTOCOL
    unit = "seconds"

    def setup_cache(self) -> None:
        FIGURES.write_text(json.dumps(measure(GRID)), encoding="utf-8")

    setup_cache.timeout = GRID.timeout

    def figure(self, name: str, *row: Any) -> float:
        """Raises SkipNotImplemented for what does not exist (asv shows n/a), RuntimeError for what failed."""
        found = json.loads(FIGURES.read_text(encoding="utf-8")).get(key(*row))
        if found is None:
            raise SkipNotImplemented(f"{row} is not installed or not there yet")
        if "failed" in found:
            raise RuntimeError(found["failed"])
        if found["figures"].get(name) is None:
            raise SkipNotImplemented(f"{row} has no {name}")
        return found["figures"][name]


def key(task: str, cell: str, backend: str, hidden_size: int) -> str:
    return f"{task} {cell} {backend} {hidden_size}"


def measure(grid: Grid) -> dict[str, Row]:
    """The figures of every row that can run here, by key; of a row that failed, why.

    The comparison is stored as any other, in results/runs or $RNNBENCH_RESULTS, where reasons and raw samples stay.
    """
    from rnnbench.comparison.description import Description
    from rnnbench.comparison.plan import Settings
    from rnnbench.comparison.runner import compare
    from rnnbench.machine.environment import machine
    from rnnbench.records.store import Store
    from rnnbench.registry import registry

    known = registry()
    settings = Settings(
        tasks=tuple(name for name in grid.tasks if name in known.tasks),
        cells=tuple(name for name in grid.cells if name in known.cells),
        backends=tuple(b for b in grid.backends if b in known.backends and known.backends[b].missing() is None),
        hidden_sizes=grid.hidden_sizes,
        seeds=grid.seeds,
    )
    # The parent of every process to come: compiling shows cold in the first seed and warm in the others.
    os.environ["RNNBENCH_CACHE_DIR"] = str(Path("kernels").absolute())
    facts = machine()
    if commit := os.environ.get("ASV_COMMIT"):  # an installed package does not know its commit
        facts |= {"commit": commit, "dirty": False}
    store = Store(Path(os.environ.get("RNNBENCH_RESULTS") or Path(__file__).parents[2] / "results" / "runs"))
    run = store.create(Description.of(settings, known).as_json(), settings.digest(), facts)
    if compare(settings, known, run, Silent()).interrupted:
        raise KeyboardInterrupt
    found: dict[str, list[tuple[Any, Row]]] = {}
    for group in run.groups():
        for record in group.records:
            name = key(record.task, record.cell, record.backend, record.hidden_size)
            found.setdefault(name, []).append((record, group.samples.get(record.backend, {})))
    return {name: row for name, seeds in found.items() if (row := summary(seeds)) is not None}


def summary(seeds: Sequence[tuple[Any, Row]]) -> Row | None:
    """A row's figures over its seeds: a failed seed is a failed row, and a row that does not exist is None."""
    records = [record for record, _ in seeds]
    for record in records:
        if record.status in GAPS:
            return None
        if record.failed:
            return {"failed": f"seed {record.seed}: {record.status}: {record.reason}"}
    rounds = sorted(seconds for _, samples in seeds for seconds in samples["infer_seconds"])
    first, _, third = statistics.quantiles(rounds, n=4)
    learned = [record.seconds_to_learn for record in records]
    steady = [record for record in records if record.compile_cache != "cold"] or records
    return {
        "figures": {
            "infer_seconds": statistics.median(rounds),
            "infer_seconds_q25": first,
            "infer_seconds_q75": third,
            "latency_p50_seconds": typical(r.latency_p50_seconds for r in records),
            "latency_p99_seconds": typical(r.latency_p99_seconds for r in records),
            "train_step_seconds": typical(r.train_step_seconds for r in records),
            "seconds_to_learn": typical(learned) if None not in learned else None,
            "score": typical((r.score for r in records), statistics.fmean),
            "parameters": records[0].parameters,
            "parameters_two_bias": records[0].parameters_two_bias,
            "peak_rss_bytes": typical(r.peak_rss_bytes for r in steady),
            "compile_seconds_cold": typical(r.compile_seconds for r in records if r.compile_cache == "cold"),
            "compile_seconds_warm": typical(r.compile_seconds for r in records if r.compile_cache == "warm"),
        }
    }


def typical(values: Iterable[float | None], of: Callable[..., float] = statistics.median) -> float | None:
    """Over the seeds that have one; None where none has."""
    there = [value for value in values if value is not None]
    return of(there) if there else None


class Silent:
    """A listener that hears nothing: asv shows its own progress."""

    def planned(self, *_: object) -> None: ...

    def stage(self, *_: object) -> None: ...

    def clock(self, running: bool) -> None: ...

    def finished(self, *_: object) -> None: ...
