"""The losses with their gradients (the formulas of `training.py`): loss(address), of one record `call.LOSS`.

Rows are those of the prediction [T, B, outputs], or [B, outputs] where the loss is of the last step alone. What lies
past a row's length is not counted, and its gradient is 0. Sums are taken in float64.
"""

import math

from numba import carray, types

from rnnbench.kernels.call import LOSS
from rnnbench.kernels.gates import vector_exp
from rnnbench.kernels.target import jit
from rnnbench.kernels.target import target as machine
from rnnbench.kernels.vector import get, held, pointer_to, put, record_at, shift, vector_type, vectors


def make_rows(tag):
    """counts(c, row): whether a row is within its sequence; counted(c): how many are."""
    integers = pointer_to(types.int64)

    def counts(c, row):
        return c.lengths == 0 or row // c.B < get(integers(c.lengths), row % c.B)

    def counted(c):
        if c.lengths == 0:
            return c.rows
        total = 0
        for row in range(c.B):
            total += get(integers(c.lengths), row)
        return total

    return jit(counts, tag), jit(counted, tag)


def make_mean_squared_error(dtype):
    """The mean squared error; target: as the prediction."""
    scalar = vector_type(dtype.name, 1).scalar
    zero, typed, tag = dtype.type(0), dtype.type, f"mse.{dtype.name}"
    counts, counted = make_rows(tag)
    behind, floats, told = held(scalar), pointer_to(types.float64), record_at(LOSS)

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

    stretch = jit(stretch, tag)

    def mean_squared_error(address):
        c = told(address)
        size = c.rows * c.outputs
        prediction, target = carray(behind(c.prediction), size), carray(behind(c.target), size)
        gradient = carray(behind(c.gradient), size)
        rows, total = counted(c), 0.0
        count = rows * c.outputs
        scale = typed(2 / count)
        if rows == c.rows:
            total = stretch(prediction, target, gradient, 0, size, scale)
        else:
            for row in range(c.rows):
                first, last = row * c.outputs, (row + 1) * c.outputs
                if counts(c, row):
                    total += stretch(prediction, target, gradient, first, last, scale)
                else:
                    gradient[first:last] = zero
        put(floats(c.value), 0, total / count)

    return jit(mean_squared_error, tag)


def make_cross_entropy(dtype):
    """The cross-entropy of a softmax; target: class indices, an int64 each row. Where one that counts is no class the
    value is -1 and the program ends."""
    vector = vector_type(dtype.name, machine().lanes(dtype))
    load, store, _ = vectors(vector, 1)
    exp, lanes, zero, typed, tag = vector_exp(dtype), vector.lanes, dtype.type(0), dtype.type, f"entropy.{dtype.name}"
    counts, counted = make_rows(tag)
    behind, classes, told = held(vector.scalar), held(types.int64), record_at(LOSS)
    integers, floats = pointer_to(types.int64), pointer_to(types.float64)

    def cross_entropy(address):
        c = told(address)
        rows, outputs, size, total = c.rows, c.outputs, c.rows * c.outputs, 0.0
        prediction, target = carray(behind(c.prediction), size), carray(classes(c.target), rows)
        gradient = carray(behind(c.gradient), size)
        for row in range(rows):
            first = row * outputs
            largest = prediction[first]
            for j in range(first + 1, first + outputs):
                if prediction[j] > largest:
                    largest = prediction[j]
            for j in range(first, first + outputs):
                gradient[j] = prediction[j] - largest
            if counts(c, row):
                if not 0 <= target[row] < outputs:
                    put(floats(c.value), 0, -1.0)
                    put(integers(c.stop), 0, get(integers(c.stop), 1))
                    return
                total -= gradient[first + target[row]]
        whole = size // lanes * lanes
        for j in range(0, whole, lanes):
            place = shift(behind(c.gradient), j)
            store(place, 0, (exp(load(place, 0)[0]),))
        for j in range(whole, size):
            gradient[j] = typed(math.exp(gradient[j]))
        count = counted(c)
        for row in range(rows):
            first, last = row * outputs, (row + 1) * outputs
            if not counts(c, row):
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
        put(floats(c.value), 0, total / count)

    return jit(cross_entropy, tag)
