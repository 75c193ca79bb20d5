"""`rnnbench warmup`: compiles kernels ahead, so that the first call of a later process does not wait for it."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from rnnbench.cli._console import error, note
from rnnbench.cli._exit_codes import FAILED, OK
from rnnbench.cli._options import items_option, load_plugins, plugin_option, traceback_option
from rnnbench.errors import UsageError
from rnnbench.report.text import counted, duration, printable

if TYPE_CHECKING:
    from rnnbench.cells.spec import Cell


@dataclass(frozen=True)
class Spent:
    """What a cell's kernels took: how many were compiled and how many read from the cache, in how many seconds; lost:
    of each that was compiled and is not kept, why."""

    compiled: int
    read: int
    seconds: float
    lost: list[str]


@click.command()
@items_option("--cell", "cells", str, "Cells; every registered one by default.")
@items_option("--dtype", "dtypes", str, "float32 (default), float64.")
@click.option("--training/--no-training", default=True, show_default=True, help="The kernels of training too.")
@plugin_option
@traceback_option
def command(cells: tuple[str, ...], dtypes: tuple[str, ...], training: bool, plugins: tuple[str, ...]) -> int:
    """Compile kernels and keep them for later processes, one line a cell.

    They serve any number of threads. Exit code 1 where a cell cannot be compiled or kept. `rnnbench cache` shows what
    is kept.
    """
    from rnnbench.kernels.kernel_folder import safe_directory, tidy
    from rnnbench.model import DTYPES

    registry = load_plugins(plugins)
    chosen = [registry.cell(name) for name in cells or registry.cells]
    if unknown := [dtype for dtype in dtypes if dtype not in DTYPES]:
        raise UsageError(f"dtype must be one of {', '.join(DTYPES)}; got {unknown[0]!r}")
    place, why_not = safe_directory()
    if place is None:
        raise UsageError(why_not or "")
    results = [_warm(cell, dtype, training) for dtype in dtypes or DTYPES[:1] for cell in chosen]
    tidy(place)
    note(f"kernels are kept in {place}")
    return OK if all(results) else FAILED


def _warm(cell: "Cell", dtype: str, training: bool) -> bool:
    """Print the cell's line; return whether its kernels are ready for later processes."""
    head = f"{printable(cell.id):12} {dtype:8}"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*not cached", RuntimeWarning)  # told below
            spent = _compile(cell.id, dtype, training)
    except Exception as problem:  # a plugin's cell may hold what Numba cannot compile
        error(f"{cell.id}, {dtype}: {type(problem).__name__}: {problem}")
        return False
    done = [
        f"compiled {counted(spent.compiled, 'kernel')}" if spent.compiled else "",
        f"read {counted(spent.read, 'kernel')} from the cache" if spent.read else "",
    ]
    click.echo(f"{head} {', '.join(filter(None, done)) or 'nothing left to do'} in {duration(spent.seconds)}")
    for reason in dict.fromkeys(spent.lost):
        error(f"{cell.id}: {reason}")
    return not spent.lost


def _compile(cell: str, dtype: str, training: bool) -> Spent:
    """Have a session do one of everything, which asks for every kernel there is."""
    import numpy as np

    from rnnbench.kernels.compiled import LOG, common
    from rnnbench.kernels.peak import compile_chains
    from rnnbench.loading import session
    from rnnbench.model import Model
    from rnnbench.training import LOSSES

    compiled, read, seconds, lost = LOG.compiled, LOG.read, LOG.seconds, len(LOG.lost)
    model = Model(cell, 1, 1, 1, dtype=dtype)
    s = session("numba", model, model.init(0))
    x = np.zeros((1, 1, 1), dtype)
    s.forward(x)
    compile_chains(np.dtype(dtype))  # what a comparison measures beside the cells
    if training:
        s.train_step(x, np.zeros((1, 1), dtype))
        for name in LOSSES:
            common(name, dtype)
    return Spent(LOG.compiled - compiled, LOG.read - read, LOG.seconds - seconds, LOG.lost[lost:])
