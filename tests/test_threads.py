"""A session in a threaded program, and in one that forks: what its callers get is what they would get one by one."""

import linecache
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

import rnnbench
from rnnbench.backends import inputs, turns
from rnnbench.backends.graph_session import GraphSession
from rnnbench.backends.numba_cpu import partition
from rnnbench.backends.numpy_reference import NumpyBackend
from rnnbench.errors import UsageError
from rnnbench.model import Model
from rnnbench.training import Adam, fitting_target

BACKENDS = pytest.mark.parametrize("backend", ["numpy", "numba"])
T, B, I, H, O = 6, 4, 3, 20, 2
MODEL = Model("lstm", I, H, O, layers=2, readout="all")
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


@pytest.fixture(autouse=True)
def small_calls_are_shared(monkeypatch):
    monkeypatch.setattr(partition, "OPERATIONS_WORTH_A_THREAD", 1)


def session(backend, threads=1, model=MODEL, **options):
    return rnnbench.session(backend, model, model.init(0), threads=threads, **options)


def calls(seed: int) -> list[Callable]:
    """A caller's own calls of all kinds but training: sizes, lengths and states differ."""
    rng = np.random.default_rng(seed)
    steps, rows = int(rng.integers(2, 9)), int(rng.integers(1, 7))
    x, lengths = rng.standard_normal((steps, rows, I)).astype("f4"), rng.integers(1, steps + 1, rows)
    state = tuple(rng.standard_normal((2, rows, H)).astype("f4") for _ in "hc")
    target = rng.standard_normal((steps, rows, O))

    def stream(one):
        after, outputs = None, []
        for x_t in x:
            y, after = one.step(x_t, after)
            outputs.append(y)
        return outputs, [a.copy() for a in after]

    return [
        lambda one: one.forward(x),
        lambda one: one.forward(x, lengths, state),
        stream,
        lambda one: one.gradients(x, target, lengths, state),
        lambda one: one.parameters(),
    ]


def equal(found, wanted) -> bool:
    if isinstance(wanted, dict):
        return all(np.array_equal(found[name], value) for name, value in wanted.items())
    if isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(map(equal, found, wanted))
    return np.array_equal(found, wanted)


@pytest.mark.parametrize(("backend", "threads"), [("numpy", 1), ("numba", 1), ("numba", 2)])
def test_threads_in_one_session_get_what_they_would_get_alone(backend, threads):
    callers, rounds = 6, 3 if backend == "numpy" else 15
    shared, alone = session(backend, threads), session(backend, threads)
    work = [calls(seed) for seed in range(callers)]
    wanted = [[call(alone) for call in mine] for mine in work]
    start = threading.Barrier(callers)

    def caller(number):
        start.wait()
        return all(
            equal(call(shared), right)
            for _ in range(rounds)
            for call, right in zip(work[number], wanted[number], strict=True)
        )

    with ThreadPoolExecutor(callers) as pool:
        assert list(pool.map(caller, range(callers))) == [True] * callers


@pytest.mark.parametrize(("backend", "threads"), [("numpy", 1), ("numba", 1), ("numba", 2)])
def test_training_from_many_threads_is_training_one_step_after_the_other(backend, threads):
    """The same step from all: its order does not show. Others infer meanwhile."""
    steps, callers = 8, 4
    rng = np.random.default_rng(1)
    x, target = rng.standard_normal((T, B, I)).astype("f4"), rng.standard_normal((T, B, O))
    lengths = np.array([T, 1, 3, T])
    shared, alone = session(backend, threads), session(backend, threads)
    losses = [alone.train_step(x, target, lengths) for _ in range(steps * callers)]
    states = [alone.forward(x)[0]]

    def train(_):
        return [shared.train_step(x, target, lengths) for _ in range(steps)]

    def infer(_):
        return all(np.isfinite(shared.forward(x, lengths)[0]).all() for _ in range(steps))

    with ThreadPoolExecutor(2 * callers) as pool:
        inferring = pool.map(infer, range(callers))
        found = sorted((loss for some in pool.map(train, range(callers)) for loss in some), reverse=True)
        assert all(inferring)
    assert found == sorted(losses, reverse=True)
    assert equal(shared.parameters(), alone.parameters())
    assert equal([shared.forward(x)[0]], states)


@pytest.mark.parametrize("threads", [1, 2])
def test_sessions_of_their_own_run_side_by_side(threads):
    """Made side by side too: kernels are compiled, or read, once."""
    cells = ["lstm", "gru", "rnn-tanh", "gru"]
    models = [Model(cell, I, H, O, readout="all") for cell in cells]
    rng = np.random.default_rng(2)
    x, target = rng.standard_normal((T, B, I)).astype("f4"), rng.standard_normal((T, B, O))

    def work(model):
        one = session("numba", threads, model)
        losses = [one.train_step(x, target) for _ in range(10)]
        return losses, [one.forward(x) for _ in range(10)], one.parameters()

    with ThreadPoolExecutor(len(models)) as pool:
        together = list(pool.map(work, models))
    assert all(equal(found, work(model)) for found, model in zip(together, models, strict=True))


def within_calls(monkeypatch, model: Model, work: Callable[[], object]) -> None:
    """Have every call of sessions of this very model do `work` on its way, as a signal handler would."""
    checked = inputs.sequence

    def on_its_way(of, *given):
        if of is model:
            work()
        return checked(of, *given)

    monkeypatch.setattr(inputs, "sequence", on_its_way)


@BACKENDS
def test_a_call_within_a_call_is_refused_and_the_session_works_on(backend, monkeypatch):
    one, other, x = session(backend), session(backend, model=replace(MODEL)), np.ones((T, B, I), np.float32)
    wanted = one.forward(x)[0]
    with monkeypatch.context() as patched:
        within_calls(patched, one.model, lambda: one.step(x[0], None))
        with pytest.raises(UsageError, match="takes one call at a time") as raised:
            one.forward(x)
    assert "\n" not in str(raised.value)
    np.testing.assert_array_equal(one.forward(x)[0], wanted)
    within_calls(monkeypatch, one.model, lambda: other.forward(x))
    np.testing.assert_array_equal(one.forward(x)[0], wanted)


def test_a_runtime_that_only_infers_is_called_by_one_at_a_time():
    inside, most = [0], [0]

    def infer(feed):
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.001)
        inside[0] -= 1
        rows = feed["x"].shape[1]
        return [feed["x"], *(np.zeros((1, rows, I), "float32") for _ in "hc")]

    model = Model("lstm", I, I, readout="all")
    one = GraphSession(model, model.init(0), infer, "it infers only")

    def caller(number):
        x = np.full((T, B, I), number, np.float32)
        return all(np.array_equal(one.forward(x)[0], x) for _ in range(5))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(caller, range(4)))
    assert most == [1]


# ---- inputs that another thread changes ------------------------------------------------------------------------------


def changing(array: np.ndarray, wrong: np.ndarray) -> Callable[[], None]:
    """Keep writing over an array, and give what ends that."""
    right, stop = array.copy(), threading.Event()

    def write():
        while not stop.is_set():
            array[...] = wrong
            array[...] = right

    thread = threading.Thread(target=write)
    thread.start()

    def end():
        stop.set()
        thread.join()

    return end


@BACKENDS
def test_lengths_and_classes_that_change_meanwhile_reach_no_memory_but_their_own(backend):
    """Either what was right is used, or what was wrong is refused: a class out of range was written to, 400 kB away."""
    model = Model("gru", I, H, O, readout="all")
    one = session(backend, model=model, loss="cross-entropy")
    x, target, lengths = np.zeros((T, 64, I), "f4"), np.zeros((T, 64), np.int64), np.full(64, T)
    one.train_step(x, target, lengths)
    end = [changing(target, np.full_like(target, 100_000)), changing(lengths, np.full_like(lengths, 1 << 40))]
    refused, until = 0, time.monotonic() + 0.5
    while time.monotonic() < until:
        try:
            assert np.isfinite(one.train_step(x, target, lengths))
        except UsageError:
            refused += 1
    for stop in end:
        stop()
    assert all(np.isfinite(value).all() for value in one.parameters().values())


def test_the_lengths_and_classes_that_are_checked_are_those_that_are_used():
    lengths, classes = np.full(B, T), np.zeros((T, B), np.int64)
    checked = inputs.valid_lengths(lengths, T, B)
    used = fitting_target("cross-entropy", (T, B, O), "float32", classes)
    assert not np.shares_memory(checked, lengths)
    assert not np.shares_memory(used, classes)


def test_a_shape_that_changes_meanwhile_is_not_the_one_that_is_used():
    x = np.zeros((T, B, I), np.float32)
    ready, _ = inputs.sequence(MODEL, x)
    x.resize((1, 1, T * B * I), refcheck=False)
    assert ready.shape == (T, B, I)


# ---- fork ------------------------------------------------------------------------------------------------------------


def in_child(work: Callable[[], bool]) -> bool:
    """Return what `work` gives in a child of fork; False where it takes too long."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return False


ON_TWO = pytest.mark.filterwarnings("ignore:.*use of fork.. may lead to deadlocks:DeprecationWarning")


@FORKS
@ON_TWO
@pytest.mark.parametrize("threads", [1, 2])
def test_a_session_works_on_in_a_child_of_fork_and_in_its_parent(threads):
    x, target = np.ones((T, B, I), np.float32), np.ones((T, B, O))
    one, alone = session("numba", threads), session("numba", threads)
    one.train_step(x, target)  # its threads are there
    wanted = [alone.train_step(x, target) for _ in range(4)]

    def work():
        return [one.train_step(x, target) for _ in range(3)] == wanted[1:]

    assert in_child(work)
    assert in_child(lambda: in_child(work))  # a child's child
    assert work()


@FORKS
@ON_TWO
def test_a_session_works_in_the_processes_of_multiprocessing():
    one, x = session("numba", 2), np.ones((T, B, I), np.float32)
    wanted = one.forward(x)[0]
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    children = [context.Process(target=lambda: answers.put(one.forward(x)[0])) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0]
    for _ in children:
        np.testing.assert_array_equal(answers.get(), wanted)
    np.testing.assert_array_equal(one.forward(x)[0], wanted)


@FORKS
@ON_TWO
def test_a_fork_while_another_thread_calls_leaves_that_session_refused_and_others_free(monkeypatch):
    busy, free, x = session("numpy"), session("numpy", model=replace(MODEL)), np.ones((T, B, I), np.float32)
    entered, leave = threading.Event(), threading.Event()

    def wait():
        entered.set()
        leave.wait()

    within_calls(monkeypatch, busy.model, wait)
    thread = threading.Thread(target=busy.forward, args=(x,))
    thread.start()
    entered.wait()

    def work():
        free.forward(x)
        try:
            busy.forward(x)
        except UsageError as error:
            return "after a fork during another" in str(error)
        return False

    refused = in_child(work)
    leave.set()
    thread.join()
    assert refused
    busy.forward(x)


@pytest.mark.slow
@pytest.mark.parametrize(
    "last", ["pass", "os.fork() or sys.exit(3)", "threading.Thread(target=one.forward, args=(x,)).start()"]
)
def test_the_interpreter_ends_whatever_the_threads_do(last):
    code = f"""
import os, sys, threading, numpy as np, rnnbench
from rnnbench.backends.numba_cpu import partition
from rnnbench.backends.numpy_reference import NumpyBackend
partition.OPERATIONS_WORTH_A_THREAD = 1
model = rnnbench.Model("gru", 3, 40)
one, x = rnnbench.session("numba", model, model.init(0), threads=2), np.ones((5, 4, 3), np.float32)
one.forward(x)
{last}
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


# ---- a training step is whole, or it has not been --------------------------------------------------------------------


@pytest.mark.parametrize(("backend", "threads"), [("numpy", 1), ("numba", 1), ("numba", 2)])
@pytest.mark.parametrize("fault", ["target", "class", "lengths", "x", "array"])
def test_a_refused_training_step_has_not_been(backend, threads, fault):
    x, target = np.ones((T, B, I), np.float32), np.zeros((T, B), np.int64)
    wrong = {
        "target": (x, target.astype(float)),
        "class": (x, np.where(np.arange(B) == B - 1, 9, target)),
        "lengths": (x, target, [T + 1] * B),
        "x": (x[..., :1], target),
        "array": (x, np.ma.masked_array(target)),
    }[fault]
    one, untouched = (session(backend, threads, loss="cross-entropy", optimiser=Adam(clip_norm=0.1)) for _ in range(2))
    for each in (one, untouched):
        each.train_step(x, target)
    for _ in range(3):
        with pytest.raises(UsageError):
            one.train_step(*wrong)
    assert equal(one.parameters(), untouched.parameters())
    for _ in range(2):
        assert one.train_step(x, target) == untouched.train_step(x, target)
    assert equal(one.parameters(), untouched.parameters())


def interruptible(step: Callable[[], float], event: int) -> bool:
    """Take a step, and raise KeyboardInterrupt at the event-th line of ours that it comes to; False: it has fewer."""
    seen = 0

    def trace(frame, kind, _):
        nonlocal seen
        if "rnnbench" not in frame.f_code.co_filename or frame.f_code.co_name == "_stop":  # of a session now collected
            return None
        # Python looks for interrupts after calls: between this line and the one above it there is none.
        between = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip() == "params.update(after)"
        if kind in ("line", "return") and not between:
            seen += 1
            if seen == event:
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        step()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


@pytest.mark.parametrize(("backend", "threads"), [("numpy", 1), ("numba", 1), ("numba", 2)])
def test_an_interrupt_at_any_line_leaves_a_whole_step_or_none(backend, threads):
    """Weights, moments and the count of steps move together: two steps later all is as after one or two or three."""
    model = Model("gru", 2, 5, 1)
    x, target = np.ones((2, 3, 2), np.float32), np.ones((3, 1))
    one, alone = (session(backend, threads, model, optimiser=Adam(learning_rate=0.1)) for _ in range(2))
    history = [alone.parameters()]
    event, stride, taken = 1, 5 if backend == "numba" else 11, 0
    while interruptible(lambda: one.train_step(x, target), event):
        while len(history) < taken + 3:
            alone.train_step(x, target)
            history.append(alone.parameters())
        now = one.parameters()
        taken += equal(now, history[taken + 1])
        assert equal(now, history[taken]), f"half a step at line {event}"
        event += stride
    assert event > 10
    taken += 1
    while len(history) <= taken + 1:
        alone.train_step(x, target)
        history.append(alone.parameters())
    one.train_step(x, target)
    assert equal(one.parameters(), history[taken + 1])


def test_a_lock_that_an_interrupt_left_with_nobody_is_taken_over(monkeypatch):
    monkeypatch.setattr(turns, "LOOK_SECONDS", 0.01)
    session = NumpyBackend(1).session(Model("gru", 1, 2, 1), Model("gru", 1, 2, 1).init(0))
    session._turn.lock.acquire()
    assert session.forward(np.zeros((1, 1, 1), np.float32))[0].shape == (1, 1)
    assert session.forward(np.zeros((1, 1, 1), np.float32))[0].shape == (1, 1)
