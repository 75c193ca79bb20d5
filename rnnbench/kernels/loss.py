"""The mean squared error and its gradient in one pass over the predictions (the formula of `training.py`)."""

from numba import njit

from rnnbench.kernels.target import OPTIONS


def make_mean_squared_error(dtype):
    """mean_squared_error(prediction, target, lengths, outputs, gradient): the loss; writes its gradient.

    prediction, target, and gradient (by the prediction): flat [T * B * outputs]; lengths [B], or empty where every
    step counts. What lies past a row's length is not counted, and its gradient is 0. The sum is taken in float64.
    """
    zero, typed = dtype.type(0), dtype.type

    @njit(**OPTIONS)
    def stretch(prediction, target, gradient, first, last, scale):
        """The gradient of elements [first, last), and the sum of their squared errors: four sums side by side, because
        one would wait for its own additions."""
        a = b = c = d = 0.0
        whole = first + (last - first) // 4 * 4
        for i in range(first, whole, 4):
            e, f = prediction[i] - target[i], prediction[i + 1] - target[i + 1]
            g, h = prediction[i + 2] - target[i + 2], prediction[i + 3] - target[i + 3]
            gradient[i], gradient[i + 1], gradient[i + 2], gradient[i + 3] = e * scale, f * scale, g * scale, h * scale
            a, b, c, d = a + float(e) ** 2, b + float(f) ** 2, c + float(g) ** 2, d + float(h) ** 2
        for i in range(whole, last):
            e = prediction[i] - target[i]
            gradient[i] = e * scale
            a += float(e) ** 2
        return a + b + (c + d)

    @njit(**OPTIONS)
    def mean_squared_error(prediction, target, lengths, outputs, gradient):
        if lengths.size == 0:
            return (
                stretch(prediction, target, gradient, 0, prediction.size, typed(2 / prediction.size)) / prediction.size
            )
        rows, count, total = prediction.size // outputs, 0, 0.0
        for length in lengths:
            count += length * outputs
        for row in range(rows):
            first, last = row * outputs, (row + 1) * outputs
            if row // lengths.size < lengths[row % lengths.size]:
                total += stretch(prediction, target, gradient, first, last, typed(2 / count))
            else:
                gradient[first:last] = zero
        return total / count

    return mean_squared_error
