"""Whether training steps are Adam's on all of their batch, told from the weights before and after each of a few.

Of Adam's state only one thing is unknown at a step of our choosing: the moments m and v, two numbers a weight. A step
moves a weight by lr · m̂ / (√v̂ + ε), and both moments take in the gradient of its batch, which the reference knows. So
steps Δ_1 … Δ_n in a row are, weight by weight, n equations for m_0 and v_0; what the best of these leave is next to
nothing where the gradients were right. A gradient of half the batch leaves a fifth, of all but a row a percent.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from rnnbench.model import Array
from rnnbench.training import Adam

WINDOW = 4  # steps: two are used up by the unknowns
EARLIEST = 10  # steps before them, whose losses were checked one by one
LOOKED_AT = 128  # weights: they tell as much as all, at a cost that does not grow with the network
# v_0 is looked for among these powers of ten of what the window's own gradients add to it, and at both ends: 0, and so
# much that it does not change. Where steps are coarser, valleys are missed: of 0.25, by one weight in thousands.
POWERS = (-3.0, 9.0, 0.1)
SMALLEST, LARGEST = 1e-100, 1e30
REFINEMENTS = 6  # of the step, to a quarter each: what is left of it is quadratic, 1e-8
# Of what the new gradients change in the steps, the share that they must explain. Right ones explain more than 0.9999
# (seven cells, seven tasks, both dtypes, rates to 0.2), those of half the rows 0.5 to 0.83, of nine tenths 0.93 to
# 0.96, and of 31 rows in 32 up to 0.997. So one window alone convicts by more than two do.
EXPLAINED, EXPLAINED_ONCE = 0.998, 0.98
ROUNDING = 0.1  # of that change: where the weights' own rounding is more, nothing is told
CHANGE = 0.01  # of m / √v̂, that a new gradient makes at least on average; a tenth is usual


def explained(
    adam: Adam, before: int, weights: Sequence[Mapping[str, Array]], gradients: Sequence[Mapping[str, Array]]
) -> float | None:
    """Return the share of the steps' changes that the gradients explain, at most 1; None where rounding hides it, or
    all gradients are 0. Of many weights some are looked at, and nobody knows which.

    before: how many steps were taken earlier. weights: before the first step and after each. gradients: the
    reference's, as they were clipped, at the weights before each step.
    """
    values, slopes = (
        np.stack([np.concatenate([each[name].ravel() for name in gradients[0]]) for each in found])
        for found in (weights, gradients)
    )
    if values.shape[1] > LOOKED_AT:
        some = np.random.default_rng().choice(values.shape[1], LOOKED_AT, replace=False)
        values, slopes = values[:, some], slopes[:, some]
    eps = float(np.finfo(values.dtype).eps)
    steps, wide = np.arange(1, len(gradients) + 1)[:, None], values.astype(np.float64)
    scale = (1 - adam.beta1 ** (before + steps)) / adam.learning_rate
    left, whole = _fit(adam, before, -np.diff(wide, axis=0) * scale, slopes)
    least = CHANGE**2 * np.count_nonzero(slopes)
    rounding = float(np.sum((eps * np.abs(wide[1:]) * scale) ** 2)) / 6  # each weight is rounded to half a digit
    if rounding >= ROUNDING * max(whole, least) or least == 0:
        return None
    return 0.0 if whole <= rounding else 1 - max(0.0, left - rounding) / whole


def _fit(adam: Adam, before: int, moved: Array, gradients: Array) -> tuple[float, float]:
    """Return the squares that are left of m / √v̂ [n, weights] with the new gradients, and without them.

    For each v_0 the best m_0 is known; v_0 is looked for in its logarithm, on a grid so fine that it misses no valley.
    """
    count = len(moved)
    steps = np.arange(1, count + 1)[:, None]
    mean, square = np.zeros_like(moved), np.zeros_like(moved)
    for step, gradient in enumerate(gradients):  # before the first, the last is still 0
        mean[step] = adam.beta1 * mean[step - 1] + (1 - adam.beta1) * gradient
        square[step] = adam.beta2 * square[step - 1] + (1 - adam.beta2) * gradient**2
    decay, held, bias = adam.beta1**steps, adam.beta2**steps, 1 - adam.beta2 ** (before + steps)

    def left(square_before: Array) -> Array:
        """Return the squares that are left for v_0 [..., weights]."""
        root = np.sqrt((held * (square_before[..., None, :] + SMALLEST) + square) / bias) + adam.epsilon
        old, rest = decay / root, moved - mean / root
        share = (old * rest).sum(-2, keepdims=True) / ((old * old).sum(-2, keepdims=True) + SMALLEST)
        return np.asarray(((rest - share * old) ** 2).sum(-2))

    unit, powers = np.maximum(square.max(axis=0), SMALLEST), np.arange(*POWERS)
    centre, width = powers[left(unit * 10 ** powers[:, None]).argmin(axis=0)], POWERS[2]
    for _ in range(REFINEMENTS):
        near = centre + width * np.linspace(-1, 1, 9)[:, None]
        centre = np.take_along_axis(near, left(unit * 10**near).argmin(axis=0)[None], axis=0)[0]
        width /= 4
    with_them = np.min([left(unit * 10**centre), left(0 * unit), left(unit * 0 + LARGEST)], axis=0)
    without = moved - (decay * moved).sum(0) / ((decay * decay).sum(0) + SMALLEST) * decay
    return float(np.sum(with_them)), float(np.sum(without**2))
