"""Runs the kernels with every array they are given in guarded memory; see test_kernel_memory.py, which starts it.

python guarded_kernels.py SIDE all DTYPE CELL...  all shapes, results compared with those in ordinary memory
python guarded_kernels.py SIDE short KEY          a session whose scratch memory KEY lacks its last vector
python guarded_kernels.py SIDE dropped            sessions let go while a thread may still stand at their barrier
"""

import faulthandler
import itertools
import sys
import weakref
from contextlib import contextmanager
from dataclasses import fields
from unittest import mock

import numpy as np
from guarded_memory import Memory

import rnnbench
from rnnbench.backends.numba_cpu import launches, partition, thread_team, workspace
from rnnbench.backends.numba_cpu import session as numba_session
from rnnbench.backends.numba_cpu.partition import Rows
from rnnbench.backends.numba_cpu.workspace import Workspace
from rnnbench.kernels import layer, records
from rnnbench.kernels.args import AdamArgs, TeamShare
from rnnbench.kernels.compiled import common
from rnnbench.kernels.records import KernelArgs, Slot, record
from rnnbench.kernels.target import target
from rnnbench.model import Model

SHAPES_DRAWN = 5
SESSIONS_DROPPED = 30
SHARED = {"OPERATIONS_WORTH_A_THREAD": 1}  # two threads share whatever there is
# Rows and units that fill their tiles and vectors to the brim: nothing is left over at the end of the scratch memory.
FULL = (5, 64, 3, 32, 1, False, "last", False, 1, None)
ZERO = 0
GIVEN = ("sequence.0", "target")  # slots of what the caller brings


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

    def zeros(self, shape, dtype=np.float64):
        return self._memory.array(shape, dtype, ZERO)

    def _copying(name):
        def made(self, *arguments):
            return self._memory.copy(getattr(np, name)(*arguments))

        return made

    array, arange, asarray, full, stack, concatenate, ascontiguousarray = map(
        _copying, ("array", "arange", "asarray", "full", "stack", "concatenate", "ascontiguousarray")
    )


@contextmanager
def guarded(memory):
    """Guard everything that kernels read or write: parameters tensor by tensor, gradients, packed weights, tape,
    scratch, indices, records, programs, states, inputs and outputs."""
    words, split = KernelArgs.words, Rows.split
    bind, views = Workspace.bind, numba_session.NumbaSession._views

    def guarded_words(args):
        given = [getattr(args, f.name) for f in fields(args)]
        assert all(memory.holds(value) for value in given if isinstance(value, np.ndarray)), args
        return words(args)

    def guarded_split(*arguments):
        return [Rows(*(memory.copy(getattr(r, f.name)) for f in fields(r))) for r in split(*arguments)]

    def guarded_bind(workspace, name, array):
        if not memory.holds(array):
            assert name in GIVEN, name
            array = memory.copy(array)
        bind(workspace, name, array)

    def guarded_views(session, flat):
        return {name: memory.copy(view) for name, view in views(session, flat).items()}

    def aligned(size, dtype):
        return memory.array(size, dtype, ZERO)

    numpy = GuardedNumPy(memory)
    with (
        mock.patch.object(numba_session, "np", numpy),
        mock.patch.object(launches, "np", numpy),
        mock.patch.object(layer, "np", numpy),
        mock.patch.object(layer, "aligned", aligned),
        mock.patch.object(workspace, "aligned", aligned),
        mock.patch.object(thread_team, "aligned", aligned),
        mock.patch.object(records, "np", numpy),
        mock.patch.object(KernelArgs, "words", guarded_words),
        mock.patch.object(Rows, "split", guarded_split),
        mock.patch.object(Workspace, "bind", guarded_bind),
        mock.patch.object(numba_session.NumbaSession, "_views", guarded_views),
    ):
        yield
    memory.check()


def shapes():
    """Yield (T, B, I, H, layers, bidirectional, readout, ragged, threads, head): what is special first, then some
    drawn."""
    yield FULL
    yield 1, 1, 1, 1, 1, False, "last", False, 1, 1
    yield 30, 1, 33, 9, 1, False, "all", False, 1, None  # one row and a wide input: x · W for many steps at once
    yield 2, 67, 3, 17, 1, False, "last", True, 1, 33  # more rows than one scratch holds
    yield 5, 9, 3, 40, 2, True, "all", True, 2, 64  # threads share the rows
    yield 5, 1, 18, 40, 1, True, "all", False, 2, 3  # threads share the units
    rng = np.random.default_rng(0)
    for _ in range(SHAPES_DRAWN):
        T, B, I, H = (int(rng.integers(1, most)) for most in (8, 12, 24, 37))
        layers, threads = (int(rng.integers(1, 3)) for _ in range(2))
        bidirectional, ragged, readout = (rng.integers(2) for _ in range(3))
        head = (None, int(rng.integers(1, 70)))[rng.integers(2)]
        yield T, B, I, H, layers, bool(bidirectional), ("last", "all")[readout], bool(ragged), threads, head


def results(cell, dtype, shape):
    """Return outputs, final states, gradients and stepped outputs of one shape, in a fixed order."""
    T, B, I, H, layers, bidirectional, readout, ragged, threads, head = shape
    model = Model(cell, I, H, head, layers, bidirectional, readout, dtype)
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
        with mock.patch.multiple(partition, **SHARED):
            expected = results(cell, dtype, shape)
            with guarded(Memory(side)):
                found = results(cell, dtype, shape)
        for value, wanted in zip(found, expected, strict=True):
            np.testing.assert_array_equal(value, wanted)
            assert np.isfinite(value).all()
    update_parameters(Memory(side), dtype)


def update_parameters(memory, dtype):
    """Run Adam's kernel, whose arrays are flat and of one size."""
    for size in (1, 7, 64, 1001, 5000):
        theta, gradient, mean, square = (memory.array(size, dtype, ZERO) for _ in range(4))
        slot, one = memory.copy(np.array([gradient.ctypes.data])), memory.array(1, np.float64, ZERO)
        share = TeamShare(part=0, parts=1, arrivals=one, expected=one)
        memories = {
            "steps": memory.copy(np.zeros(1, np.int64)),
            "theta": theta,
            "mean": mean,
            "square": square,
            "sums": one,
            "scales": memory.copy(np.ones(2)),
        }
        settings = {"clip": 1.0, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
        with mock.patch.object(records, "np", GuardedNumPy(memory)):
            args = record(AdamArgs(share=share, gradient=Slot(slot.ctypes.data), size=size, **memories, **settings))
        common("adam", dtype)(args.address)
    memory.check()


def short(side, key):
    """Run a session whose scratch memory under `key` ("forward-work", say) is a vector too short."""
    scratch, lanes = Workspace.scratch, target().lanes(np.dtype("float32"))

    def too_small(workspace, name, size, kind=None):
        return scratch(workspace, name, size - lanes if "-".join(name[:2]) == key else size, kind)

    with mock.patch.object(Workspace, "scratch", too_small), guarded(Memory(side)):
        results("lstm", "float32", FULL)


def dropped(side):
    """Let go of sessions as soon as a call of theirs returns, while a thread may still stand at its barrier."""
    model = Model("lstm", 3, 40, None)
    with mock.patch.multiple(partition, **SHARED):
        for _ in range(SESSIONS_DROPPED):
            with guarded(Memory(side)):
                session = rnnbench.session("numba", model, model.init(0), threads=2)
                session.forward(np.zeros((5, 9, 3), "float32"))
                gone = weakref.ref(session)
                del session
                assert gone() is None


def main(side, action, *what):
    faulthandler.enable()
    {"all": compare, "short": short, "dropped": dropped}[action](side, *what)


if __name__ == "__main__":
    main(*sys.argv[1:])
