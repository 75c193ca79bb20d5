"""Runs the kernels with every array they are given in guarded memory; see test_kernel_memory.py, which starts it.

python guarded_kernels.py SIDE all DTYPE CELL...  all shapes, results compared with those in ordinary memory
python guarded_kernels.py SIDE short KEY          a session whose scratch memory KEY lacks its last vector
python guarded_kernels.py SIDE dropped            sessions let go while a thread may still stand at their barrier
"""

import faulthandler
import itertools
import sys
from contextlib import contextmanager
from dataclasses import fields
from unittest import mock

import numpy as np
from guarded_memory import Memory

import rnnbench
from rnnbench.backends import numba_cpu, numba_crew, numba_plan
from rnnbench.backends.numba_plan import Rows
from rnnbench.kernels import layer, layout, library
from rnnbench.model import Model

SHAPES_DRAWN = 5
SESSIONS_DROPPED = 30
SHARED = {"OPERATIONS_WORTH_A_THREAD": 1, "OPERATIONS_A_MEETING": 0}  # two threads share whatever there is
# Rows and units that fill their tiles and vectors to the brim: nothing is left over at the end of the scratch memory.
FULL = (5, 64, 3, 32, 1, False, "last", False, 1)
ZERO = 0


class GuardedNumPy:
    """NumPy as the modules under test see it: what makes an array makes it in guarded memory."""

    def __init__(self, memory):
        self._memory = memory

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, shape, dtype):
        return self._memory.array(shape, dtype)

    def empty_like(self, array):
        return self._memory.array(array.shape, array.dtype)

    def array(self, values, dtype):
        return self._memory.copy(np.array(values, dtype))

    def zeros(self, shape, dtype):
        return self._memory.array(shape, dtype, ZERO)

    def stack(self, arrays):
        return self._memory.copy(np.stack(arrays))

    def ascontiguousarray(self, array):
        return self._memory.copy(array)


@contextmanager
def guarded(memory):
    """Everything that kernels read or write: parameters and gradients tensor by tensor, packed weights, tape, scratch,
    indices, records, states, inputs and outputs."""
    record, split = numba_plan._record, Rows.split
    run, views = numba_crew.Crew.run, numba_cpu.NumbaSession._views

    def kept(array):
        return array if memory.holds(array) else memory.copy(array)

    def guarded_record(plan, kind, values):
        assert all(memory.holds(value) for value in values.values() if isinstance(value, np.ndarray)), values.keys()
        return record(plan, kind, values)

    def guarded_split(*arguments):
        return [Rows(*(memory.copy(getattr(r, f.name)) for f in fields(r))) for r in split(*arguments)]

    def guarded_run(crew, kernel, arrays, calls):
        x, *others = arrays
        assert all(memory.holds(array) for array in others), "every array but the caller's x lies in guarded memory"
        run(crew, kernel, (kept(x), *others), [kept(call) for call in calls])

    def guarded_views(session, flat):
        return {name: memory.copy(view) for name, view in views(session, flat).items()}

    def aligned(size, dtype):
        return memory.array(size, dtype, ZERO)

    numpy = GuardedNumPy(memory)
    with (
        mock.patch.object(numba_cpu, "np", numpy),
        mock.patch.object(layer, "np", numpy),
        mock.patch.object(layer, "aligned", aligned),
        mock.patch.object(layout, "aligned", aligned),
        mock.patch.object(numba_plan, "_record", guarded_record),
        mock.patch.object(Rows, "split", guarded_split),
        mock.patch.object(numba_crew.Crew, "run", guarded_run),
        mock.patch.object(numba_cpu.NumbaSession, "_views", guarded_views),
    ):
        yield
    memory.check()


def shapes():
    """(T, B, I, H, layers, bidirectional, readout, ragged, threads): what is special first, then some drawn."""
    yield FULL
    yield 1, 1, 1, 1, 1, False, "last", False, 1
    yield 30, 1, 33, 9, 1, False, "all", False, 1  # one row and a wide input: x · W for many steps at once
    yield 2, 67, 3, 17, 1, False, "last", True, 1  # more rows than one scratch holds
    yield 5, 9, 3, 40, 2, True, "all", True, 2  # threads share the rows
    yield 5, 1, 18, 40, 1, True, "all", False, 2  # threads share the units
    rng = np.random.default_rng(0)
    for _ in range(SHAPES_DRAWN):
        T, B, I, H = (int(rng.integers(1, most)) for most in (8, 12, 24, 37))
        layers, threads = (int(rng.integers(1, 3)) for _ in range(2))
        bidirectional, ragged, readout = (rng.integers(2) for _ in range(3))
        yield T, B, I, H, layers, bool(bidirectional), ("last", "all")[readout], bool(ragged), threads


def results(cell, dtype, shape):
    """Outputs, final states, gradients and stepped outputs of one shape, in a fixed order."""
    T, B, I, H, layers, bidirectional, readout, ragged, threads = shape
    model = Model(cell, I, H, None, layers, bidirectional, readout, dtype)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((T, B, I)).astype(dtype)
    lengths = rng.integers(1, T + 1, B) if ragged else None
    state = tuple(rng.standard_normal((layers * model.directions, B, H)).astype(dtype) for _ in model.spec.states)
    session = rnnbench.session("numba", model, model.init(0), threads=threads)
    y, final = session.forward(x, lengths, state)
    _, gradients = session.gradients(x, np.zeros_like(y), lengths, state)
    stepped = [] if bidirectional else [np.copy(session.step(x_t, state)[0]) for x_t in x]
    return [y, *final, *gradients.values(), *stepped]


def compare(side, dtype, *cells):
    for cell, shape in itertools.product(cells, shapes()):
        sys.stdout.write(f"{cell} {dtype} {shape}\n")  # the last line is what a crash belongs to
        sys.stdout.flush()
        with mock.patch.multiple(numba_plan, **SHARED):
            expected = results(cell, dtype, shape)
            with guarded(Memory(side)):
                found = results(cell, dtype, shape)
        for value, wanted in zip(found, expected, strict=True):
            np.testing.assert_array_equal(value, wanted)
            assert np.isfinite(value).all()
    update_parameters(Memory(side), dtype)


def update_parameters(memory, dtype):
    """Adam's kernel, whose arrays are flat and of one size."""
    for size in (1, 7, 64, 1001):
        arrays = [memory.array(size, dtype, ZERO) for _ in range(4)]
        library.adam(dtype)(*arrays, 1.0, 0.9, 0.999, 0.01, 1.0, 1e-8)
    memory.check()


def short(side, key):
    """A session whose scratch memory under `key` ("forward-work", say) is a vector too short."""
    space = numba_plan.Planner._space

    def too_small(planner, name, size, kind=None):
        lanes = planner.layers[0].layout.lanes
        return space(planner, name, size - lanes if "-".join(name[:2]) == key else size, kind)

    with mock.patch.object(numba_plan.Planner, "_space", too_small), guarded(Memory(side)):
        results("lstm", "float32", FULL)


def dropped(side):
    """Sessions let go as soon as a call of theirs returns, while a thread may still stand at its barrier."""
    model = Model("lstm", 3, 40, None)
    with mock.patch.multiple(numba_plan, **SHARED):
        for _ in range(SESSIONS_DROPPED):
            with guarded(Memory(side)):
                rnnbench.session("numba", model, model.init(0), threads=2).forward(np.zeros((5, 9, 3), "float32"))


def main(side, action, *what):
    faulthandler.enable()
    {"all": compare, "short": short, "dropped": dropped}[action](side, *what)


if __name__ == "__main__":
    main(*sys.argv[1:])
