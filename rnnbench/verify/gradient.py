"""Whether gradients are the derivatives of their loss, by the complex step.

Im f(x + ih) / h has no cancellation, so h may be so small that the derivative is exact to rounding (Squire and Trapp
1998). ReLU passes too: NumPy compares complex numbers by their real part first, and only a pre-activation of exactly 0
is a kink to a step this small. A cell's forward need not take complex numbers: it has differences to fall back on.
"""

import warnings
from collections.abc import Callable, Mapping

import numpy as np

from rnnbench.backends import inputs
from rnnbench.backends.numpy_reference import backward_model, forward_model
from rnnbench.model import Array, Model, Params

STEP = 1e-30
REAL_STEP = 1e-7  # leaves 1e-9 of truth and rounding, and meets a kink once in a thousand cells
DIRECTIONS = 8  # random ones a tensor: a wrong element shows in each
# Errors of gradients that are no rounding: by the complex step, and by differences, which leave less than 1e-5.
EXACT, ROUGH = 1e-9, 1e-4
Loss = Callable[[Params], complex]
Derivative = Callable[[Loss, Params, str, Array], float]


def derivative(loss: Loss, at: Params, name: str, direction: Array) -> float:
    """Return the loss's derivative along `direction` in one tensor of `at`."""
    return loss(at | {name: at[name] + 1j * STEP * direction}).imag / STEP


def difference(loss: Loss, at: Params, name: str, direction: Array) -> float:
    """Return about the same by real numbers."""
    after, before = (loss(at | {name: at[name] + sign * REAL_STEP * direction}).real for sign in (1, -1))
    return (after - before) / (2 * REAL_STEP)


def directional_error(
    loss: Loss, at: Params, gradients: Mapping[str, Array], directions: int = 1, along: Derivative = derivative
) -> float:
    """Return the largest error of a derivative along a random direction of ±1, relative to its gradient's length.

    That length counts as no less than a thousandth of the longest, and as 1 where all are 0, as behind a dead ReLU.
    """
    rng = np.random.default_rng(1)
    lengths = {name: float(np.linalg.norm(gradient)) for name, gradient in gradients.items()}
    least, errors = 1e-3 * max(lengths.values()), []
    for name, gradient in gradients.items():
        for _ in range(directions):
            direction = rng.choice([-1.0, 1.0], gradient.shape)
            apart = float(np.sum(gradient * direction)) - along(loss, at, name, direction)
            errors.append(abs(apart) / (max(lengths[name], least) or 1.0))
    return float(np.max(errors))  # NaN where any is


def gradient_error(cell: str, directions: int = DIRECTIONS, along: Derivative = derivative) -> float:
    """Return the largest error of a cell's gradients: below 1e-12 for a backward that is right, about 1 for a wrong
    sign. Raises UnknownName.

    Two layers both ways, with lengths, a head and every step's output. The loss is a random sum of all outputs, so that
    every path through a cell counts.
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

    gradients, _ = backward_model(model, params, forward_model(model, params, x, lengths, start), counts)
    return directional_error(loss, params, gradients, directions, along)


def wrong_gradient(cell: str) -> float | None:
    """Return the error of a cell's gradients where its backward is not the derivative of its forward. A forward that
    takes no complex numbers is no fault: where the complex step and differences part, differences tell."""
    try:
        with warnings.catch_warnings(action="ignore"):  # NumPy's, of numbers that lose their imaginary part
            exact = gradient_error(cell, 1)
    except Exception:  # a plugin's forward may raise anything
        exact = np.inf
    if exact <= EXACT:
        return None
    rough = gradient_error(cell, 1, difference)
    if abs(exact - rough) < ROUGH:
        return exact
    return None if rough <= ROUGH else rough
