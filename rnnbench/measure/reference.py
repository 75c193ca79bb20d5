"""What the backends of a group are held to: the float64 reference, fed with the row's rounded inputs and weights."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from rnnbench.backends.numpy_reference import NumpyBackend, NumpySession
from rnnbench.measure.plan import Training
from rnnbench.model import Array, Model
from rnnbench.tasks.spec import Split, Task
from rnnbench.training import batches

CURVE_STEPS = 10
GRADIENT = "gradient of "
PARAMETER = "parameter "


@dataclass(frozen=True)
class Expectation:
    """Named as a worker names what it gives: forward by output, gradients by tensor; losses of the first steps."""

    forward: dict[str, Array]
    gradients: dict[str, Array]
    losses: list[float]


def expectation(
    model: Model, task: Task, training: Training, params: Mapping[str, Array], batch: Split, train: Split, seed: int
) -> Expectation:
    """Of initial parameters. batch: what is timed; its halved twin shows a result cached by its input's identity."""
    session = _session(model, task, training, params)
    forward = outputs(session, batch) | {f"halved {k}": v for k, v in outputs(session, _halved(batch)).items()}
    stream = batches(train, training.batch_size, seed)
    first = next(stream)
    _, gradients = session.gradients(_wide(first.x), _wide(first.target), first.lengths)
    losses = []
    for step in [first, *islice(stream, CURVE_STEPS - 1)][: training.steps]:
        losses.append(session.train_step(_wide(step.x), _wide(step.target), step.lengths))
    return Expectation(forward, {f"{GRADIENT}{name}": value for name, value in gradients.items()}, losses)


def trained_expectation(
    model: Model, task: Task, training: Training, params: Mapping[str, Array], batch: Split, streams: bool
) -> dict[str, Array]:
    """Forward outputs with trained parameters; with `streams` those of single steps along the first row too."""
    session = _session(model, task, training, params)
    found = outputs(session, batch)
    if streams:
        length = len(batch.x) if batch.lengths is None else int(batch.lengths[0])
        found["steps"] = session.forward(_wide(batch.x[:length, :1]))[0]
    return found


def outputs(session: NumpySession, batch: Split) -> dict[str, Array]:
    y, state = session.forward(_wide(batch.x), batch.lengths)
    return {"y": y, **{f"state {number}": value for number, value in enumerate(state)}}


def _session(model: Model, task: Task, training: Training, params: Mapping[str, Array]) -> NumpySession:
    wide = {name: _wide(value) for name, value in params.items()}
    model64 = replace(model, dtype="float64")
    return NumpyBackend(1).session(model64, wide, task.loss, training.optimiser)


def _halved(batch: Split) -> Split:
    """As the worker halves it, in the row's dtype: exact but for denormal numbers."""
    return replace(batch, x=batch.x * batch.x.dtype.type(0.5))


def _wide(value: Array) -> Array:
    return value.astype(np.float64) if value.dtype.kind == "f" else value
