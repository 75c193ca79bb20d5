"""The losses with their gradients (the formulas of `training.py`): loss(address), of one record `LossArgs`.

Rows are those of the prediction [T, B, outputs], or [B, outputs] where the loss is of the last step alone. What lies
past a row's length is not counted, and its gradient is 0. Sums are taken in float64.
"""

import math

from numba import carray, types

from rnnbench.kernels.args import LossArgs
from rnnbench.kernels.gates import vector_exp
from rnnbench.kernels.pointers import deref_as, load, offset, pointer_to, store, vectors
from rnnbench.kernels.records import args_at
from rnnbench.kernels.target import jit
from rnnbench.kernels.target import target as machine
from rnnbench.kernels.vector import vector_type


def make_rows():
    """Return is_valid(args, row), whether a row is within its sequence, and valid_rows(args), how many are."""
    integers = pointer_to(types.int64)

    def is_valid(args, row):
        return args.lengths == 0 or row // args.B < load(integers(args.lengths), row % args.B)

    def valid_rows(args):
        if args.lengths == 0:
            return args.rows
        total = 0
        for row in range(args.B):
            total += load(integers(args.lengths), row)
        return total

    return jit(is_valid), jit(valid_rows)


def make_mean_squared_error(dtype):
    """Return the mean squared error; target: as the prediction."""
    scalar = vector_type(dtype.name, 1).scalar
    zero, typed = dtype.type(0), dtype.type
    is_valid, valid_rows = make_rows()
    deref, floats, args_of = deref_as(scalar), pointer_to(types.float64), args_at(LossArgs)

    def segment(prediction, target, gradient, first, last, scale):
        """Write the gradient of elements [first, last) and return the sum of their squared errors: four sums side by
        side, because one would wait for its own additions."""
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

    segment = jit(segment)

    def mean_squared_error(address):
        args = args_of(address)
        size = args.rows * args.outputs
        prediction, target = carray(deref(args.prediction), size), carray(deref(args.target), size)
        gradient = carray(deref(args.gradient), size)
        rows, total = valid_rows(args), 0.0
        count = rows * args.outputs
        scale = typed(2 / count)
        if rows == args.rows:
            total = segment(prediction, target, gradient, 0, size, scale)
        else:
            for row in range(args.rows):
                first, last = row * args.outputs, (row + 1) * args.outputs
                if is_valid(args, row):
                    total += segment(prediction, target, gradient, first, last, scale)
                else:
                    gradient[first:last] = zero
        store(floats(args.value), 0, total / count)

    return jit(mean_squared_error)


def make_cross_entropy(dtype):
    """Return the cross-entropy of a softmax; target: class indices, an int64 each row. Where one that counts is no
    class the value is -1 and the program ends."""
    vector = vector_type(dtype.name, machine().lanes(dtype))
    load_vectors, store_vectors, _ = vectors(vector, 1)
    exp, lanes, zero, typed = vector_exp(dtype), vector.lanes, dtype.type(0), dtype.type
    is_valid, valid_rows = make_rows()
    deref, deref_classes, args_of = deref_as(vector.scalar), deref_as(types.int64), args_at(LossArgs)
    integers, floats = pointer_to(types.int64), pointer_to(types.float64)

    def cross_entropy(address):
        args = args_of(address)
        rows, outputs, size, total = args.rows, args.outputs, args.rows * args.outputs, 0.0
        prediction, target = carray(deref(args.prediction), size), carray(deref_classes(args.target), rows)
        gradient = carray(deref(args.gradient), size)
        for row in range(rows):
            first = row * outputs
            largest = prediction[first]
            for j in range(first + 1, first + outputs):
                if prediction[j] > largest:
                    largest = prediction[j]
            for j in range(first, first + outputs):
                gradient[j] = prediction[j] - largest
            if is_valid(args, row):
                if not 0 <= target[row] < outputs:
                    store(floats(args.value), 0, -1.0)
                    store(integers(args.stop), 0, load(integers(args.stop), 1))
                    return
                total -= gradient[first + target[row]]
        whole = size // lanes * lanes
        for j in range(0, whole, lanes):
            place = offset(deref(args.gradient), j)
            store_vectors(place, 0, (exp(load_vectors(place, 0)[0]),))
        for j in range(whole, size):
            gradient[j] = typed(math.exp(gradient[j]))
        count = valid_rows(args)
        for row in range(rows):
            first, last = row * outputs, (row + 1) * outputs
            if not is_valid(args, row):
                gradient[first:last] = zero
                continue
            exponentials = 0.0
            for j in range(first, last):
                exponentials += gradient[j]
            total += math.log(exponentials)
            scale = typed(1 / (exponentials * count))
            for j in range(first, last):
                gradient[j] *= scale
            gradient[first + target[row]] -= typed(1 / count)
        store(floats(args.value), 0, total / count)

    return jit(cross_entropy)
