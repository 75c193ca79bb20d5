"""What the backends of a group are held to: the float64 reference, fed with the row's rounded inputs and weights."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from rnnbench.backends import inputs
from rnnbench.backends.numpy_reference import NumpyBackend, NumpySession, forward_model
from rnnbench.model import Array, Model, Params
from rnnbench.tasks.batches import batches
from rnnbench.tasks.spec import Split, Training
from rnnbench.verify.diagnose import diagnose_outputs
from rnnbench.verify.gradient import wrong_gradient

CURVE_STEPS = 10
GRADIENT = "gradient of "
PARAMETER = "parameter "
CANCELLATION = 0.1


@dataclass(frozen=True)
class Outputs:
    """Arrays are named as a worker names what it gives. scales: what an output's error is measured against where the
    output itself is smaller. The terms that a head adds up may cancel, and what they leave may be all rounding: a
    tenth of their absolute sum is the least."""

    arrays: dict[str, Array]
    scales: dict[str, float]

    def __or__(self, other: "Outputs") -> "Outputs":
        return Outputs(self.arrays | other.arrays, self.scales | other.scales)


@dataclass(frozen=True)
class Oracle:
    """The reference for one case. `dtype` below is float64 for the reference itself, or the row's own, for what the
    same formulas give when they are rounded as the row is.

    batch: what inference is timed on. first: the first training batch.
    """

    model: Model
    loss: str
    training: Training
    batch: Split
    first: Split

    def fresh(self, params: Mapping[str, Array], dtype: str = "float64") -> Outputs:
        """Compute the outputs of the batch, and of the batch halved: a result cached by its input's identity shows."""
        session = self._session(params, dtype)
        halved = replace(self.batch, x=self.batch.x * self.batch.x.dtype.type(0.5))
        return _outputs(session, self.batch) | _outputs(session, halved, "halved ")

    def outputs(self, params: Mapping[str, Array], split: Split, dtype: str = "float64") -> Outputs:
        """Compute the outputs of any split."""
        return _outputs(self._session(params, dtype), split)

    def steps(self, params: Mapping[str, Array], x: Array, dtype: str = "float64") -> Outputs:
        """Compute the output of every single step along x [T, 1, I], [T, 1, O]: a step has one whatever the readout."""
        every = replace(self, model=replace(self.model, readout="all"))
        found = every.outputs(params, Split(x, x, every_step=True), dtype)
        return Outputs({"steps": found.arrays["y"]}, {"steps": found.scales["y"]})

    def loss_and_gradients(self, params: Mapping[str, Array], batch: Split) -> tuple[float, dict[str, Array]]:
        """Compute the loss of a training batch, and its gradients as they are clipped."""
        loss, named = self._session(params, "float64").gradients(batch.x, _as(batch.target, "float64"), batch.lengths)
        scale = self.training.optimiser.clip_scale(float(np.sqrt(sum(np.vdot(g, g) for g in named.values()))))
        return loss, {name: gradient * scale for name, gradient in named.items()}

    def trained(self, params: Mapping[str, Array], streams: bool, dtype: str = "float64") -> Outputs:
        """Compute the outputs of the batch; with `streams` of single steps along its first row too."""
        session, batch = self._session(params, dtype), self.batch
        found = _outputs(session, batch)
        if streams:
            length = len(batch.x) if batch.lengths is None else int(batch.lengths[0])
            steps = session.forward(batch.x[:length, :1])[0]
            largest = max(found.scales["y"], float(np.max(np.abs(found.arrays["y"]))))  # a row of y: y's size counts
            found |= Outputs({"steps": steps}, {"steps": largest})
        return found

    def gradients(self, params: Mapping[str, Array], dtype: str = "float64") -> dict[str, Array]:
        """Compute the gradients of the first training batch."""
        target, first = _as(self.first.target, dtype), self.first
        _, named = self._session(params, dtype).gradients(first.x, target, first.lengths)
        return {f"{GRADIENT}{name}": value for name, value in named.items()}

    def losses(self, params: Mapping[str, Array], train: Split, seed: int) -> list[float]:
        """Compute the losses of the first steps of training."""
        session = self._session(params, "float64")
        steps = islice(batches(train, self.training.batch_size, seed), min(CURVE_STEPS, self.training.steps))
        return [session.train_step(step.x, _as(step.target, "float64"), step.lengths) for step in steps]

    def diagnose(self, params: Params, y: Array, tolerance: float) -> str | None:
        """Name the conventions by which y comes from the batch; None where none is found."""
        return diagnose_outputs(self.model, params, self.batch.x, self.batch.lengths, y, tolerance)

    def wrong_gradient(self) -> float | None:
        """Return by how much the cell's backward is off its forward's derivative, where that is more than rounding."""
        return wrong_gradient(self.model.cell)

    def _session(self, params: Mapping[str, Array], dtype: str) -> NumpySession:
        own = {name: value.astype(dtype) for name, value in params.items()}
        model = replace(self.model, dtype=dtype)
        return NumpyBackend(1).session(model, own, self.loss, self.training.optimiser)


def _outputs(session: NumpySession, batch: Split, prefix: str = "") -> Outputs:
    x, lengths = inputs.sequence(session.model, batch.x, batch.lengths)
    params = session.parameters()
    done = forward_model(session.model, params, x, lengths, inputs.states(session.model, None, x.shape[1]))
    states = {f"{prefix}state {number}": value for number, value in enumerate(done.state)}
    scales = {f"{prefix}y": 0.0}
    if session.model.output_size is not None:
        terms = np.abs(done.features) @ np.abs(params["head.W"]).T + np.abs(params["head.b"])
        scales = {f"{prefix}y": CANCELLATION * float(np.max(terms))}
    return Outputs({f"{prefix}y": done.prediction, **states}, scales)


def _as(target: Array, dtype: str) -> Array:
    """Return the target in a dtype; class indices stay what they are."""
    return target.astype(dtype) if target.dtype.kind == "f" else target
