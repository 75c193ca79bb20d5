"""The machine's own noise: `numba` timed against itself, in pairs of processes, as two backends are compared."""

import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rnnbench.comparison.plan import Settings
from rnnbench.comparison.runner import Listener, compare
from rnnbench.errors import UsageError
from rnnbench.model import Model
from rnnbench.records.comparisons import CONTROLLED
from rnnbench.records.noise import KnownNoise
from rnnbench.records.store import Store
from rnnbench.registry import Registry
from rnnbench.tasks.model_file import model_task
from rnnbench.tasks.spec import Task

PAIRS = 10  # the interval's half is 0.72 standard deviations then, and 1.24 with five
# A call of about 0.3 ms whose weights lie in the nearest caches: what is seen is the machine, not its memory.
MODEL = Model("lstm", 32, 64, readout="all")
BATCH_SIZE, SEQ_LEN = 16, 25


def case(name: str = "noise", model: Model = MODEL) -> tuple[Settings, Task]:
    """Return a comparison of inference alone, on random weights; `seeds` and `backends` are left to the caller."""
    task = model_task(name, model, model.init(0), BATCH_SIZE, SEQ_LEN)
    settings = Settings(
        tasks=(task.id,), cells=(model.cell,), hidden_sizes=(model.hidden_size,), backends=(CONTROLLED,), steps=0
    )
    return settings, task


def measure_noise(registry: Registry, listener: Listener, pairs: int = PAIRS) -> KnownNoise:
    """Time `numba` against itself. Raises UsageError where it could not be timed, or was interrupted."""
    settings, task = case()
    settings = replace(settings, seeds=pairs)
    with tempfile.TemporaryDirectory(prefix="rnnbench-noise-") as folder:
        run = Store(Path(folder)).create({}, settings.digest(), {})
        outcome = compare(settings, registry, run, listener, (task,))
    if outcome.interrupted:
        raise UsageError("interrupted: the noise is not known; run `rnnbench doctor --noise` again")
    if outcome.noise is None or outcome.noise.low is None:
        reason = next((row.reason for row in outcome.records if row.reason), "it was not timed")
        raise UsageError(f"{CONTROLLED} could not be timed against itself: {reason}")
    return KnownNoise(outcome.noise, datetime.now(UTC).date().isoformat())
