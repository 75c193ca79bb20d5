"""Adam's elementwise update on one flat parameter vector (the formula of `training.Adam`)."""

import math

from numba import njit

from rnnbench.kernels.target import OPTIONS


def make_adam(dtype):
    """adam(theta, gradient, mean, square, scale, beta1, beta2, rate, spread, epsilon): changes theta, mean and square.

    All arrays flat. scale: clipping's factor; rate: lr / (1 - beta1^t); spread: 1 / (1 - beta2^t).
    """
    typed = dtype.type

    @njit(**OPTIONS)
    def adam(theta, gradient, mean, square, scale, beta1, beta2, rate, spread, epsilon):
        scale, rate, spread, epsilon = typed(scale), typed(rate), typed(spread), typed(epsilon)
        keep1, keep2 = typed(1 - beta1), typed(1 - beta2)
        for i in range(theta.size):
            g = gradient[i] * scale
            mean[i] += keep1 * (g - mean[i])
            square[i] += keep2 * (g * g - square[i])
            theta[i] -= rate * mean[i] / (typed(math.sqrt(square[i] * spread)) + epsilon)

    return adam
