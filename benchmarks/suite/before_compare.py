"""`rnnbench.compare` for commits that have no such function yet, from the parts it was made of then."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def compare(
    task: Sequence[str], cell: Sequence[str], backend: Sequence[str], hidden: Sequence[int], seeds: int, results: Path
) -> Any:
    """Return the stored run, as `rnnbench.compare` does."""
    from rnnbench.measure.environment import machine
    from rnnbench.measure.plan import Settings
    from rnnbench.measure.runner import compare
    from rnnbench.plugins import registry
    from rnnbench.report.description import Description

    from rnnbench.records.store import Store

    settings = Settings(
        tasks=tuple(task), cells=tuple(cell), backends=tuple(backend), hidden_sizes=tuple(hidden), seeds=seeds
    )
    facts = machine()
    if commit := os.environ["RNNBENCH_COMMIT"]:
        facts |= {"commit": commit, "dirty": False}
    run = Store(results).create(Description.of(settings, registry()).as_json(), settings.digest(), facts)
    if compare(settings, registry(), run, Silent()).interrupted:
        raise KeyboardInterrupt
    return run


class Silent:
    """A listener that hears nothing."""

    def planned(self, *_: object) -> None: ...

    def stage(self, *_: object) -> None: ...

    def clock(self, running: bool) -> None: ...

    def finished(self, *_: object) -> None: ...
