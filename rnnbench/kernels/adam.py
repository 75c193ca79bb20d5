"""Adam's step on flat parameters, after clipping by the gradient's norm (the formulas of `training.py`)."""

import math

from numba import carray, types

from rnnbench.kernels.call import ADAM
from rnnbench.kernels.target import jit, target
from rnnbench.kernels.vector import (
    constant,
    get,
    held,
    lane_sum,
    meet,
    multiply_add,
    pointer_to,
    put,
    record_at,
    shift,
    vector_type,
    vectors,
)  # fmt: skip

SUMS = 4  # vectors side by side: one would wait for its own additions
STRETCH = 1024  # values whose squares are summed in the dtype before they count in float64


def make_adam(dtype):
    """adam(address), of one record `call.ADAM`: changes theta, mean and square; parts take a share each."""
    vector = vector_type(dtype.name, target().lanes(dtype))
    lanes, typed, tag = vector.lanes, dtype.type, dtype.name
    load, nothing = vectors(vector, SUMS)[0], constant(vector, 0)
    reals, integers, floats = pointer_to(vector.scalar), pointer_to(types.int64), pointer_to(types.float64)
    behind, told = held(vector.scalar), record_at(ADAM)

    def sum_of_squares(values, first, last):
        total, at = 0.0, first
        while last - at >= STRETCH:
            p, q, r, s = nothing(), nothing(), nothing(), nothing()
            for i in range(at, at + STRETCH, SUMS * lanes):
                e, f, g, h = load(shift(values, i), lanes)
                p, q, r, s = multiply_add(e, e, p), multiply_add(f, f, q), multiply_add(g, g, r), multiply_add(h, h, s)
            total += float(lane_sum((p + q) + (r + s)))
            at += STRETCH
        for i in range(at, last):
            total += float(get(values, i)) ** 2
        return total

    sum_of_squares = jit(sum_of_squares, tag)

    def adam(address):
        c = told(address)
        first, last = c.size * c.part // c.parts, c.size * (c.part + 1) // c.parts
        scale = typed(1)
        if c.clip < math.inf:
            put(floats(c.sums), c.part, sum_of_squares(behind(c.gradient), first, last))
            if c.parts > 1:
                meet(integers(c.barrier), integers(c.mine), c.parts)
            norm = 0.0
            for part in range(c.parts):
                norm += get(floats(c.sums), part)
            norm = math.sqrt(norm)
            if norm > c.clip:
                scale = typed(c.clip / norm)
        size = last - first
        theta, gradient = carray(shift(reals(c.theta), first), size), carray(shift(behind(c.gradient), first), size)
        mean, square = carray(shift(reals(c.mean), first), size), carray(shift(reals(c.square), first), size)
        rate, spread = typed(get(floats(c.pace), 0)), typed(get(floats(c.pace), 1))
        epsilon = typed(c.epsilon)
        keep1, keep2 = typed(1 - c.beta1), typed(1 - c.beta2)
        for i in range(size):
            g = gradient[i] * scale
            mean[i] += keep1 * (g - mean[i])
            square[i] += keep2 * (g * g - square[i])
            theta[i] -= rate * mean[i] / (typed(math.sqrt(square[i] * spread)) + epsilon)

    return jit(adam, tag)
