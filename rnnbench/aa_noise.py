"""The machine's own noise: `numba` timed against itself, in pairs of processes, as two backends are compared."""

from datetime import UTC, datetime

from rnnbench.api import Interrupted, compare
from rnnbench.comparison.listener import Listener
from rnnbench.errors import UsageError
from rnnbench.model import Model
from rnnbench.records.comparisons import CONTROLLED, noise
from rnnbench.records.noise import KnownNoise
from rnnbench.weights.spec import Trained
from rnnbench.workers.sandbox import private_folder, termination_as_interrupt

PAIRS = 10  # the interval's half is 0.72 standard deviations then, and 1.24 with five
# A call of about 0.3 ms whose weights lie in the nearest caches: what is seen is the machine, not its memory.
BATCH_SIZE, SEQ_LEN = 16, 25


def timed_model() -> Trained:
    """Return the model that is timed, with random weights."""
    model = Model("lstm", 32, 64, readout="all")
    return Trained(model, model.init(0))


def measure_noise(listener: Listener, pairs: int = PAIRS) -> KnownNoise:
    """Measure the A/A noise from so many pairs of processes.

    Raises UsageError where `numba` could not be timed in each of them, or the user interrupted.
    """
    with termination_as_interrupt(), private_folder() as folder:
        try:
            run = compare(
                model=timed_model(),
                backend=CONTROLLED,
                batch=BATCH_SIZE,
                seq_len=SEQ_LEN,
                seeds=pairs,
                results=folder,
                progress=listener,
            )
        except Interrupted:
            raise UsageError("interrupted: the noise is not known; run `rnnbench doctor --noise` again") from None
        found, records = noise(run.groups()), run.records()
    if found is None or found.count < pairs or found.low is None:
        timed = 0 if found is None else found.count
        reason = next((record.reason for record in records if record.reason), "no reason was given")
        raise UsageError(
            f"{CONTROLLED} could be timed against itself in {timed} of {pairs} pairs of processes: {reason}"
        )
    return KnownNoise(found, datetime.now(UTC).date().isoformat())
