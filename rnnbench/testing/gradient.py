"""Whether a cell's backward is the derivative of its forward, by the complex step.

Im f(x + ih) / h has no cancellation, so h may be so small that the derivative is exact to rounding (Squire and Trapp
1998). The loss is a random sum of all outputs, so that every path through a cell counts.
"""

import numpy as np

from rnnbench.backends import inputs
from rnnbench.backends.numpy_reference import backward_model, forward_model
from rnnbench.model import Array, Model, Params

STEP = 1e-30
DIRECTIONS = 8  # random ones a tensor: a wrong element shows in each


def gradient_error(cell: str) -> float:
    """Return the largest error of a derivative along a random direction, relative to the gradient's own size: below
    1e-12 for a backward that is right, about 1 for a wrong sign.

    Two layers both ways, with lengths, a head and every step's output. Raises UnknownName.
    """
    model = Model(cell, 3, 4, 2, layers=2, bidirectional=True, readout="all", dtype="float64")
    rng = np.random.default_rng(0)
    params = {name: rng.uniform(-1, 1, shape) for name, shape in model.parameter_shapes().items()}
    lengths = np.array([1, 5, 3])
    valid = (np.arange(5)[:, None] < lengths)[:, :, None]
    x, _ = inputs.sequence(model, rng.standard_normal((5, 3, 3)), lengths)
    start = inputs.states(model, None, 3)
    counts = rng.standard_normal((5, 3, 2)) * valid

    def loss(changed: Params) -> complex:
        return complex(np.sum(counts * forward_model(model, changed, x, lengths, start).prediction))

    done = forward_model(model, params, x, lengths, start)
    gradients, _ = backward_model(model, params, done, counts)
    errors = []
    for name, gradient in gradients.items():
        for _ in range(DIRECTIONS):
            direction = rng.choice([-1.0, 1.0], gradient.shape)
            exact = loss(params | {name: params[name] + 1j * STEP * direction}).imag / STEP
            errors.append(_relative(float(np.sum(gradient * direction)), exact, gradient))
    return max(errors)


def _relative(found: float, exact: float, gradient: Array) -> float:
    size = float(np.sqrt(np.sum(gradient * gradient)))
    difference = abs(found - exact)
    return difference / size if size > 0 else difference
