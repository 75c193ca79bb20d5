"""The losses with their gradients (the formulas of `training.py`), each in one call.

    loss(prediction, target, lengths, outputs, gradient)

prediction, and gradient, which is written: flat [T * B * outputs]; lengths [B], or empty where every step counts. What
lies past a row's length is not counted, and its gradient is 0. Sums are taken in float64.
"""

import math

from numba import njit

from rnnbench.kernels.gates import vector_exp
from rnnbench.kernels.target import OPTIONS
from rnnbench.kernels.target import target as machine
from rnnbench.kernels.vector import pointer, shift, vector_type, vectors


@njit(**OPTIONS)
def counts(row, lengths):
    """Whether a row [T * B] is within its sequence."""
    return lengths.size == 0 or row // lengths.size < lengths[row % lengths.size]


@njit(**OPTIONS)
def number_of_rows(rows, lengths):
    """How many of the rows count."""
    return rows if lengths.size == 0 else lengths.sum()


def make_mean_squared_error(dtype):
    """The mean squared error; target: flat, like the prediction."""
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
        rows = prediction.size // outputs
        count, total = number_of_rows(rows, lengths) * outputs, 0.0
        if lengths.size == 0:
            return stretch(prediction, target, gradient, 0, prediction.size, typed(2 / count)) / count
        for row in range(rows):
            first, last = row * outputs, (row + 1) * outputs
            if counts(row, lengths):
                total += stretch(prediction, target, gradient, first, last, typed(2 / count))
            else:
                gradient[first:last] = zero
        return total / count

    return mean_squared_error


def make_cross_entropy(dtype):
    """The cross-entropy of a softmax; target: class indices [T * B]. -1 where one that counts is no class."""
    vector = vector_type(dtype.name, machine().lanes(dtype))
    load, store, _ = vectors(vector, 1)
    exp, lanes, zero, typed = vector_exp(dtype), vector.lanes, dtype.type(0), dtype.type

    @njit(**OPTIONS)
    def cross_entropy(prediction, target, lengths, outputs, gradient):
        rows, total = target.size, 0.0
        for row in range(rows):
            first = row * outputs
            largest = prediction[first]
            for j in range(first + 1, first + outputs):
                if prediction[j] > largest:
                    largest = prediction[j]
            for j in range(first, first + outputs):
                gradient[j] = prediction[j] - largest
            if counts(row, lengths):
                if not 0 <= target[row] < outputs:
                    return -1.0
                total -= gradient[first + target[row]]
        whole = gradient.size // lanes * lanes
        for j in range(0, whole, lanes):
            place = shift(pointer(gradient), j)
            store(place, 0, (exp(load(place, 0)[0]),))
        for j in range(whole, gradient.size):
            gradient[j] = typed(math.exp(gradient[j]))
        count = number_of_rows(rows, lengths)
        for row in range(rows):
            first, last = row * outputs, (row + 1) * outputs
            if not counts(row, lengths):
                gradient[first:last] = zero
                continue
            together = 0.0
            for j in range(first, last):
                together += gradient[j]
            total += math.log(together)
            scale = typed(1 / (together * count))
            for j in range(first, last):
                gradient[j] *= scale
            gradient[first + target[row]] -= typed(1 / count)
        return total / count

    return cross_entropy
