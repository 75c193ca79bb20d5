"""What the backends of a group are held to: the float64 reference, fed with the row's rounded inputs and weights."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from rnnbench.backends import inputs
from rnnbench.backends.numpy_reference import NumpyBackend, NumpySession, forward_model
from rnnbench.measure.plan import Training
from rnnbench.model import Array, Model
from rnnbench.tasks.spec import Split, Task
from rnnbench.training import batches

CURVE_STEPS = 10
GRADIENT = "gradient of "
PARAMETER = "parameter "
CANCELLATION = 0.1


@dataclass(frozen=True)
class Outputs:
    """scales: what an output's error is measured against where the output itself is smaller. The terms that a head
    adds up may cancel, and what they leave may be all rounding: a tenth of their absolute sum is the least."""

    arrays: dict[str, Array]
    scales: dict[str, float]

    def __or__(self, other: "Outputs") -> "Outputs":
        return Outputs(self.arrays | other.arrays, self.scales | other.scales)


@dataclass(frozen=True)
class Expectation:
    """Named as a worker names what it gives: forward by output, gradients by tensor; losses of the first steps."""

    forward: "Outputs"
    gradients: dict[str, Array]
    losses: list[float]


def expectation(
    model: Model, task: Task, training: Training, params: Mapping[str, Array], batch: Split, train: Split, seed: int
) -> Expectation:
    """Of initial parameters. batch: what is timed; its halved twin shows a result cached by its input's identity."""
    session = _session(model, task, training, params)
    forward = _outputs(session, batch) | _outputs(session, _halved(batch), "halved ")
    stream = batches(train, training.batch_size, seed)
    first = next(stream)
    _, gradients = session.gradients(_wide(first.x), _wide(first.target), first.lengths)
    losses = []
    for step in [first, *islice(stream, CURVE_STEPS - 1)][: training.steps]:
        losses.append(session.train_step(_wide(step.x), _wide(step.target), step.lengths))
    return Expectation(forward, {f"{GRADIENT}{name}": value for name, value in gradients.items()}, losses)


def trained_expectation(
    model: Model, task: Task, training: Training, params: Mapping[str, Array], batch: Split, streams: bool
) -> Outputs:
    """Forward outputs with trained parameters; with `streams` those of single steps along the first row too."""
    session = _session(model, task, training, params)
    found = _outputs(session, batch)
    if streams:
        length = len(batch.x) if batch.lengths is None else int(batch.lengths[0])
        steps = session.forward(_wide(batch.x[:length, :1]))[0]
        largest = max(found.scales["y"], float(np.max(np.abs(found.arrays["y"]))))  # one row of y: y's size counts
        found |= Outputs({"steps": steps}, {"steps": largest})
    return found


def _outputs(session: NumpySession, batch: Split, prefix: str = "") -> Outputs:
    x, lengths = inputs.sequence(session.model, batch.x, batch.lengths)
    params = session.parameters()
    done = forward_model(session.model, params, x, lengths, inputs.states(session.model, None, x.shape[1]))
    states = {f"{prefix}state {number}": value for number, value in enumerate(done.state)}
    terms = np.abs(done.features) @ np.abs(params["head.W"]).T + np.abs(params["head.b"])
    return Outputs({f"{prefix}y": done.prediction, **states}, {f"{prefix}y": CANCELLATION * float(np.max(terms))})


def _session(model: Model, task: Task, training: Training, params: Mapping[str, Array]) -> NumpySession:
    wide = {name: _wide(value) for name, value in params.items()}
    model64 = replace(model, dtype="float64")
    return NumpyBackend(1).session(model64, wide, task.loss, training.optimiser)


def _halved(batch: Split) -> Split:
    """As the worker halves it, in the row's dtype: exact but for denormal numbers."""
    return replace(batch, x=batch.x * batch.x.dtype.type(0.5))


def _wide(value: Array) -> Array:
    return value.astype(np.float64) if value.dtype.kind == "f" else value
