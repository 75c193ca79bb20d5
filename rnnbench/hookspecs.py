"""The whole plugin contract: a plugin is any module whose functions of these names are marked `hookimpl`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from rnnbench.backends.base import BackendInfo
    from rnnbench.baselines.spec import Baseline
    from rnnbench.cells.spec import Cell
    from rnnbench.tasks.spec import Task
    from rnnbench.weights.spec import Converter

hookspec, hookimpl = pluggy.HookspecMarker("rnnbench"), pluggy.HookimplMarker("rnnbench")


@hookspec
def rnnbench_cells() -> "Iterable[Cell]":  # type: ignore[empty-body]
    """Return the recurrent cells this plugin offers."""


@hookspec
def rnnbench_tasks() -> "Iterable[Task]":  # type: ignore[empty-body]
    """Return the sequence tasks this plugin offers."""


@hookspec
def rnnbench_baselines() -> "Iterable[Baseline]":  # type: ignore[empty-body]
    """Return the methods without recurrence this plugin offers, which cells have to beat."""


@hookspec
def rnnbench_backends() -> "Iterable[BackendInfo]":  # type: ignore[empty-body]
    """Return a light description of each backend this plugin offers; only a worker imports the runtime itself."""


@hookspec
def rnnbench_converters() -> "Iterable[Converter]":  # type: ignore[empty-body]
    """Return the file formats of trained weights this plugin reads and writes."""
