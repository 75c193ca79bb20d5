"""Whether training steps are Adam's on all of their batch, told from the weights before and after each of a few.

Of Adam's state only one thing is unknown at a step of our choosing: the moments m and v, two numbers a weight. A step
moves a weight by lr · m̂ / (√v̂ + ε), and m̂ takes in the gradient of its batch, which the reference knows. So steps
Δ_1 … Δ_n in a row are, weight by weight, n equations that are linear in 1/√v̂ and m_0/√v̂; what is left of them after
least squares is next to nothing where the gradients were right. A gradient of half the batch leaves a tenth or more.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from rnnbench.model import Array
from rnnbench.training import Adam

WINDOW = 4  # steps: two are used up by the unknowns
EARLIEST = 20  # steps before them: v̂ is the mean of as many squares, and moves by a twentieth a step
REFINEMENTS = 4
# Of what the new gradients change in the steps, the share that they must explain. Right ones explain more than 0.999,
# and 0.981 once where few steps had been before (five cells, four tasks, from step 20 to 200, float32); those of half
# the rows 0.4 to 0.997, of nine tenths 0.86 to 0.998. So one window alone convicts by far less, both by little.
EXPLAINED, EXPLAINED_ONCE = 0.998, 0.9
ROUNDING = 0.1  # of that change: where the weights' own rounding is more, nothing is told
CHANGE = 0.01  # of m / √v̂, that a new gradient makes at least on average; a tenth is usual


def explained(
    adam: Adam, before: int, weights: Sequence[Mapping[str, Array]], gradients: Sequence[Mapping[str, Array]]
) -> float | None:
    """Return the share of the steps' changes that the gradients explain, at most 1; None where rounding hides it, or
    all gradients are 0.

    before: how many steps were taken earlier. weights: before the first step and after each. gradients: the
    reference's, as they were clipped, at the weights before each step.
    """
    left = whole = rounding = least = 0.0
    for name in gradients[0]:
        values = np.stack([each[name].ravel() for each in weights])
        eps = float(np.finfo(values.dtype).eps)
        steps, wide = np.arange(1, len(gradients) + 1)[:, None], values.astype(np.float64)
        scale = (1 - adam.beta1 ** (before + steps)) / adam.learning_rate
        moved = -np.diff(wide, axis=0) * scale  # m / √v̂
        slopes = np.stack([each[name].ravel() for each in gradients])
        unexplained, all_of_it = _fit(adam, before, moved, slopes)
        left, whole = left + unexplained, whole + all_of_it
        least += CHANGE**2 * np.count_nonzero(slopes)
        rounding += float(np.sum((eps * np.abs(wide[1:]) * scale) ** 2)) / 6  # each weight is rounded to half a digit
    if rounding >= ROUNDING * max(whole, least) or least == 0:
        return None
    return 0.0 if whole <= rounding else 1 - max(0.0, left - rounding) / whole


def _fit(adam: Adam, before: int, moved: Array, gradients: Array) -> tuple[float, float]:
    """Return the squares that are left of m / √v̂ [n, weights], with the new gradients and without them.

    √v̂ is as good as constant; what the known gradients change of it is divided out, in a few rounds.
    """
    count = len(moved)
    decay = adam.beta1 ** np.arange(1, count + 1)[:, None]
    fresh = np.zeros_like(moved)
    for step in range(count):
        fresh[step] = adam.beta1 * (fresh[step - 1] if step else 0) + (1 - adam.beta1) * gradients[step]
    own, mixed, old = (fresh * fresh).sum(0), (fresh * decay).sum(0), (decay * decay).sum(0)
    apart = own * old - mixed * mixed
    drift = np.ones_like(moved)
    for _ in range(REFINEMENTS):
        even = moved * drift
        by_fresh, by_old = (fresh * even).sum(0), (decay * even).sum(0)
        share = np.divide(
            by_fresh * old - by_old * mixed, apart, out=np.zeros_like(own), where=apart > 1e-12 * own * old
        )
        told = share > 0  # 1/√v̂; where it is not, the gradients explain nothing
        root = np.divide(1.0, share, out=np.full_like(own, 1e10), where=share > 1e-10)
        squares = [np.maximum(root**2 * (1 - adam.beta2 ** (before + 1)), (1 - adam.beta2) * gradients[0] ** 2)]
        for gradient in gradients[1:]:
            squares.append(adam.beta2 * squares[-1] + (1 - adam.beta2) * gradient**2)
        spread = np.sqrt(np.stack(squares) / (1 - adam.beta2 ** (before + np.arange(1, count + 1)[:, None])))
        drift = np.divide(spread, spread[0], out=np.ones_like(spread), where=spread[0] > 0)
    without = even - by_old / old * decay
    with_them = np.where(told, even - share * fresh - (by_old - share * mixed) / old * decay, without)
    return float(np.sum(with_them**2)), float(np.sum(without**2))
