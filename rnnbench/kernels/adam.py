"""Adam's step on flat parameters, after clipping by the gradient's norm (the formulas of `training.py`)."""

import math

from numba import carray, types

from rnnbench.kernels.args import AdamArgs
from rnnbench.kernels.barrier import barrier
from rnnbench.kernels.pointers import deref_as, load, offset, pointer_to, store, vectors
from rnnbench.kernels.records import args_at
from rnnbench.kernels.target import jit, target
from rnnbench.kernels.vector import constant, lane_sum, multiply_add, vector_type

SUMS = 4  # vectors side by side: one would wait for its own additions
SEGMENT = 1024  # values whose squares are summed in the dtype before they count in float64


def make_adam(dtype):
    """Return adam(address), of one record `AdamArgs`: it changes theta, mean and square; parts take a share each."""
    vector = vector_type(dtype.name, target().lanes(dtype))
    lanes, typed = vector.lanes, dtype.type
    load_vectors, zeros = vectors(vector, SUMS)[0], constant(vector, 0)
    reals, integers, floats = pointer_to(vector.scalar), pointer_to(types.int64), pointer_to(types.float64)
    deref, args_of = deref_as(vector.scalar), args_at(AdamArgs)

    def sum_of_squares(values, first, last):
        total, at = 0.0, first
        while last - at >= SEGMENT:
            p, q, r, s = zeros(), zeros(), zeros(), zeros()
            for i in range(at, at + SEGMENT, SUMS * lanes):
                e, f, g, h = load_vectors(offset(values, i), lanes)
                p, q, r, s = multiply_add(e, e, p), multiply_add(f, f, q), multiply_add(g, g, r), multiply_add(h, h, s)
            total += float(lane_sum((p + q) + (r + s)))
            at += SEGMENT
        for i in range(at, last):
            total += float(load(values, i)) ** 2
        return total

    sum_of_squares = jit(sum_of_squares)

    def adam(address):
        args = args_of(address)
        first, last = args.size * args.part // args.parts, args.size * (args.part + 1) // args.parts
        scale = typed(1)
        if args.clip < math.inf:
            store(floats(args.sums), args.part, sum_of_squares(deref(args.gradient), first, last))
            if args.parts > 1:
                barrier(integers(args.arrivals), integers(args.expected), args.parts)
            norm = 0.0
            for part in range(args.parts):
                norm += load(floats(args.sums), part)
            norm = math.sqrt(norm)
            if norm > args.clip:
                scale = typed(args.clip / norm)
        size = last - first
        theta, mean = carray(offset(reals(args.theta), first), size), carray(offset(reals(args.mean), first), size)
        square = carray(offset(reals(args.square), first), size)
        gradient = carray(offset(deref(args.gradient), first), size)
        rate, spread = typed(load(floats(args.scales), 0)), typed(load(floats(args.scales), 1))
        epsilon = typed(args.epsilon)
        weight1, weight2 = typed(1 - args.beta1), typed(1 - args.beta2)
        for i in range(size):
            g = gradient[i] * scale
            mean[i] += weight1 * (g - mean[i])
            square[i] += weight2 * (g * g - square[i])
            theta[i] -= rate * mean[i] / (typed(math.sqrt(square[i] * spread)) + epsilon)
        if args.part == 0:
            store(integers(args.steps), 0, load(integers(args.steps), 0) + 1)

    return jit(adam)
