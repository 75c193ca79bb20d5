"""One comparison for a whole grid, by rnnbench's harness, and its figures handed to each benchmark.

This is the only file of the suite that speaks to rnnbench. The suite is that of the newest commit and the package that
of the commit under test, so it keeps to the public `compare`; before_compare.py stands in where there is none yet.
"""

import importlib.util
import json
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asv_runner.benchmarks.mark import SkipNotImplemented

from .grid import GRID, Grid

PROTOCOL = "3"  # asv's `version`: raised by hand when the way of measuring changes, which starts every series anew
FIGURES = Path("figures.json")  # in asv's cache folder, where its processes start
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
    """Return the figures of every row that can run here, by key; of a row that failed, why.

    The comparison is stored as any other, in results/runs or $RNNBENCH_RESULTS, where reasons and raw samples stay.
    """
    # The parent of every process to come: compiling shows cold in the first seed and warm in the others.
    os.environ["RNNBENCH_CACHE_DIR"] = str(Path("kernels").absolute())
    os.environ["RNNBENCH_COMMIT"] = os.environ.get("ASV_COMMIT", "")  # an installed package does not know its commit
    results = Path(os.environ.get("RNNBENCH_RESULTS") or Path(__file__).parents[2] / "results" / "runs")
    try:
        from rnnbench import compare
    except ImportError:
        from .before_compare import compare
    run = compare(**known(grid), hidden=grid.hidden_sizes, seeds=grid.seeds, results=results)
    found: dict[str, list[tuple[Any, Row]]] = {}
    for group in run.groups():
        for record in group.records:
            if record.backend not in grid.backends:  # a baseline's, which the grid has not
                continue
            name = key(record.task, record.cell, record.backend, record.hidden_size)
            found.setdefault(name, []).append((record, group.samples.get(record.backend, {})))
    return {name: row for name, seeds in found.items() if (row := summary(seeds)) is not None}


def known(grid: Grid) -> dict[str, tuple[str, ...]]:
    """Return what of a grid this commit knows, and of its backends what is installed."""
    try:
        from rnnbench.registry import registry
    except ImportError:
        from rnnbench.plugins import registry

    there = registry()
    return {
        "task": tuple(name for name in grid.tasks if name in there.tasks),
        "cell": tuple(name for name in grid.cells if name in there.cells),
        "backend": tuple(b for b in grid.backends if b in there.backends and there.backends[b].missing() is None),
    }


def figures() -> dict[str, Any]:
    """Return the definitions of the figures: those beside this suite, for every commit alike."""
    path = Path(__file__).parents[2] / "rnnbench" / "records" / "figures.py"
    spec = importlib.util.spec_from_file_location("suite_figures", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.FIGURES


def summary(seeds: Sequence[tuple[Any, Row]]) -> Row | None:
    """Return a row's figures over its seeds: a failed seed is a failed row, and a row that does not exist is None."""
    records = [record for record, _ in seeds]
    for record in records:
        if record.status == "unsupported":  # n/a
            return None
        if record.failed:
            return {"failed": f"seed {record.seed}: {record.status}: {record.reason}"}
    found = {name: figure.of(records) for name, figure in figures().items()}
    first, _, third = statistics.quantiles([s for _, samples in seeds for s in samples["infer_seconds"]], n=4)
    quartiles = {"infer_seconds_q25": first, "infer_seconds_q75": third}
    return {"figures": {name: None if one is None else one.value for name, one in found.items()} | quartiles}
