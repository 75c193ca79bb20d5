"""Random problems, and their gradients held to the complex step of `rnnbench.verify.gradient` through the same forward
pass."""

from dataclasses import dataclass, field

import numpy as np

from rnnbench.backends import inputs
from rnnbench.backends.numpy_reference import backward_model, forward_model
from rnnbench.model import Array, Model, Params, State
from rnnbench.training import loss_and_gradient
from rnnbench.verify import gradient

# Everything is float64 and shallow; errors seen are below 1e-14, and a flipped sign gives about 1.
TOLERANCE = 1e-10


@dataclass(frozen=True)
class Problem:
    """A model with random parameters, inputs, initial states, lengths and target, all decided by the seed.

    Ragged lengths hold a 1 and a T, if there are two rows. Padding is poisoned with NaN, in x and in a float target;
    class indices there are -1.
    """

    model: Model
    T: int
    B: int
    loss: str = "mse"
    ragged: bool = False
    seed: int = 0
    params: Params = field(init=False)
    x: Array = field(init=False)
    lengths: Array | None = field(init=False)
    state: State = field(init=False)
    target: Array = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        model, T, B = self.model, self.T, self.B
        params = {name: rng.uniform(-1, 1, shape) for name, shape in model.parameter_shapes().items()}
        x = rng.standard_normal((T, B, model.input_size))
        lengths = rng.integers(1, T + 1, B) if self.ragged else None
        if lengths is not None and B > 1:
            lengths[0], lengths[-1] = 1, T
        shape = (model.layers * model.directions, B, model.hidden_size)
        state = tuple(rng.uniform(-1, 1, shape) for _ in model.spec.states)
        steps = (T,) if model.readout == "all" else ()
        outputs = model.output_size or model.features
        if self.loss == "mse":
            target = rng.standard_normal((*steps, B, outputs))
        else:
            target = rng.integers(0, outputs, (*steps, B))
        if lengths is not None:
            past = np.arange(T)[:, None] >= lengths
            x[past] = np.nan
            if steps:
                target[past] = np.nan if self.loss == "mse" else -1
        for name, value in (("params", params), ("x", x), ("lengths", lengths), ("state", state), ("target", target)):
            object.__setattr__(self, name, value)

    @property
    def cleared(self) -> Array:
        """Return x as the model sees it: padding zeroed."""
        return inputs.sequence(self.model, self.x, self.lengths)[0]

    def complex_loss(self, params: Params, state: State) -> complex:
        """Return the loss from its definition, on arrays that may be complex."""
        prediction = forward_model(self.model, params, self.cleared, self.lengths, state).prediction
        if prediction.ndim == 3 and self.lengths is not None:
            valid = np.arange(self.T)[:, None] < self.lengths
        else:
            valid = np.ones(prediction.shape[:-1], bool)
        p, target = prediction[valid], self.target[valid]
        if self.loss == "mse":
            return complex(np.mean((p - target) ** 2))
        return complex(np.mean(np.log(np.exp(p).sum(axis=1)) - p[np.arange(len(p)), target]))

    def analytic(self) -> dict[str, Array]:
        """Return the gradients under test, of parameters and of initial states (named "state.h", ...)."""
        done = forward_model(self.model, self.params, self.cleared, self.lengths, self.state)
        dprediction = loss_and_gradient(self.loss, done.prediction, self.target, self.lengths)[1]
        gradients, dstate = backward_model(self.model, self.params, done, dprediction)
        return gradients | {f"state.{name}": d for name, d in zip(self.model.spec.states, dstate, strict=True)}

    @property
    def point(self) -> Params:
        """Return parameters and initial states, named as in `analytic`."""
        return self.params | {f"state.{name}": s for name, s in zip(self.model.spec.states, self.state, strict=True)}

    def loss_at(self, point: Params) -> complex:
        return self.complex_loss(point, tuple(point[f"state.{name}"] for name in self.model.spec.states))


def relative_errors(gradients: dict[str, Array], reference: dict[str, Array]) -> dict[str, float]:
    """Return max |Δ| / max |reference| per tensor; the denominator is not below 1e-3 of the model's largest gradient,
    and 1 where every gradient is 0, as behind a dead ReLU."""
    peaks = {name: float(np.abs(value).max()) for name, value in reference.items()}
    least = 1e-3 * max(peaks.values())
    return {
        name: float(np.abs(gradients[name] - value).max()) / (max(peaks[name], least) or 1.0)
        for name, value in reference.items()
    }


def elementwise_error(problem: Problem) -> float:
    """Return the worst tensor's error, every element checked: one forward pass an element, so for small problems."""
    gradients = problem.analytic()
    reference = {}
    for name, value in gradients.items():
        basis = np.eye(value.size).reshape(value.size, *value.shape)
        slopes = [gradient.derivative(problem.loss_at, problem.point, name, direction) for direction in basis]
        reference[name] = np.array(slopes).reshape(value.shape)
    return max(relative_errors(gradients, reference).values())


def directional_error(problem: Problem) -> float:
    """Return the worst tensor's error along a random direction: any wrong element shows, at one pass a tensor."""
    return gradient.directional_error(problem.loss_at, problem.point, problem.analytic())
