"""Figures that are true and mean nothing: each trap is told from what is ordinary, on scripted times and live."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import numpy as np
import pytest

from rnnbench.comparison import probes, traps
from rnnbench.machine import threads
from rnnbench.tasks.spec import Split
from rnnbench.training import loss_and_gradient


class ScriptedClock:
    """Moves only when a call says how long it took."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def probed(cost):
    """What probing a call gives whose seconds are `cost(x)`."""
    clock = ScriptedClock()

    def call(x):
        clock.now += cost(x)

    return probes.probe(call, np.ones((3, 2, 1), np.float32), clock)


def test_an_ordinary_call_is_in_no_trap():
    found = probed(lambda x: 1.0)
    assert {name: len(values) for name, values in vars(found).items()} == dict.fromkeys(
        ("fresh", "subnormal"), probes.PAIRS
    )
    assert traps.subnormal(found.fresh, found.subnormal) is None


def test_inputs_next_to_zero_that_cost_more_are_noticed():
    found = probed(lambda x: 12.0 if 0 < x.max() < 1e-38 else 1.0)
    assert traps.subnormal(found.fresh, found.subnormal) == pytest.approx(12)


def test_a_probe_of_slow_calls_ends_in_time():
    assert len(probes.probe(lambda x: time.sleep(0.01), np.ones((1, 1, 1), np.float32), seconds=0.0).fresh) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_probing_leaves_the_input_alone_and_gives_what_it_says(dtype):
    x, given = np.ones((3, 2, 1), dtype), []
    probes.probe(lambda value: given.append(value.copy()), x)
    assert (x == 1).all()
    assert len({value.tobytes() for value in given}) == 1 + 2 * probes.PAIRS
    assert min(value.max() for value in given) < np.finfo(dtype).smallest_normal
    assert all(value.min() > 0 for value in given)


STEADY = [1.0, 1.02, 0.99, 1.01, 1.0, 0.98, 1.03, 1.0, 1.01, 0.99, 1.0, 1.02]


def test_work_of_the_first_calls_shows_in_the_first_rounds():
    warming = [3.0, 2.0, 1.5, *STEADY[3:]]
    assert traps.leak(warming, [STEADY]) == pytest.approx(2.0, rel=0.05)
    assert traps.leak([5.0, 3.0, 2.6, *STEADY[3:]], []) == pytest.approx(3.0, rel=0.05)
    assert traps.leak(STEADY, []) is None
    assert traps.leak(STEADY, [STEADY]) is None


def test_one_slow_round_is_no_leak_and_nor_is_a_machine_that_was_slow_for_all():
    assert traps.leak([9.0, *STEADY[1:]], []) is None
    slow_start = [2.0, 2.0, 2.0, *STEADY[3:]]
    assert traps.leak(slow_start, [[5 * v for v in slow_start]]) is None
    assert traps.leak(slow_start, []) is None  # nobody is there to tell the machine from the backend


def test_of_few_rounds_the_first_is_too_often_the_slowest_by_chance():
    assert traps.leak([9.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], [STEADY[:7]]) is None


@pytest.mark.parametrize("seed", range(3))
def test_a_machine_that_is_never_quiet_is_hardly_ever_taken_for_a_leak(seed):
    """Rounds that last a share of a busy core, from a quarter of it to all."""
    rng = np.random.default_rng(seed)
    found = [traps.leak(rng.choice([1.0, 1.1, 2.0, 4.0], 25).tolist(), []) for _ in range(1000)]
    assert sum(times is not None for times in found) <= 5


def test_a_constant_answer_has_the_loss_that_the_best_constant_has():
    """The loss of the mean, or of the classes' frequencies, by the function that training itself uses."""
    rng = np.random.default_rng(0)
    target = rng.standard_normal((50, 2)) + np.arange(1, 3)
    best = np.broadcast_to(target.mean(axis=0), target.shape)
    split = Split(np.zeros((3, 50, 1)), target)
    assert traps.constant_loss("mse", split) == pytest.approx(loss_and_gradient("mse", best, target)[0])
    lengths, classes = rng.integers(1, 5, 50), rng.integers(0, 3, (4, 50))
    ragged = Split(np.zeros((4, 50, 1)), classes, lengths, every_step=True)
    valid = np.arange(4)[:, None] < lengths
    logits = np.log(np.bincount(classes[valid], minlength=3) / valid.sum())
    expected = loss_and_gradient("cross-entropy", np.broadcast_to(logits, (4, 50, 3)), classes, lengths)[0]
    assert traps.constant_loss("cross-entropy", ragged) == pytest.approx(expected)


def test_a_loss_at_a_constant_answer_is_stuck():
    assert traps.stuck([1.2, *[1.0] * 99], 1.0) == pytest.approx(1.0)
    assert traps.stuck(list(np.linspace(1.2, 0.5, 100)), 1.0) is None
    assert traps.stuck([1.0] * 20, 1.0) is None  # has not had the time
    assert traps.stuck([1.0] * 100, 0.0) is None  # there is nothing to learn


def test_steps_that_do_not_add_up_to_their_loop():
    assert traps.unaccounted([(0.1, 0.5)] * 10) == pytest.approx(5)
    assert traps.unaccounted([(0.1, 0.105)] * 10) is None
    assert traps.unaccounted([]) is None


def test_a_neighbour_that_takes_the_core_between_steps_accuses_nobody():
    assert traps.unaccounted([(1e-4, 1.1e-4)] * 6 + [(1e-4, 8e-3)] * 5) is None
    assert traps.leak([9.0, 9.0, 9.0, *STEADY[3:]], [STEADY], [0.5, 0.5, 0.5, *[0.0] * 9]) is None
    assert traps.leak([9.0, 9.0, 9.0, *STEADY[3:]], [STEADY], [0.0] * 12) == pytest.approx(9, rel=0.05)


def test_threads_that_wait_count_as_much_as_those_that_run():
    before = threads.ThreadReading(0.0, 0.0, {"1": (0, 0), "2": (5, 5)})
    shared = threads.ThreadReading(1.0, 1.0, {"1": (500_000_000, 500_000_000), "2": (500_000_005, 500_000_005)})
    assert threads.thread_use(before, shared).threads == pytest.approx(2)
    robbed = threads.ThreadReading(1.0, 0.25, {"1": (250_000_000, 750_000_000), "2": (5, 5)})
    assert threads.thread_use(before, robbed).threads == pytest.approx(1)
    woken = threads.ThreadReading(1.0, 0.5, {"1": (490_000_000, 500_000_000), "2": (1_000_005, 900_000_005)})
    assert threads.thread_use(before, woken).threads == pytest.approx(1, abs=0.02)
    neighbour = threads.ThreadReading(1.0, 0.56, {"1": (500_000_000, 500_000_000), "2": (60_000_005, 900_000_005)})
    assert threads.thread_use(before, neighbour).threads == pytest.approx(1.12)
    waited_before = threads.ThreadReading(1.0, 0.5, {"1": (500_000_000, 2_500_000_000), "2": (5, 5)})
    assert threads.thread_use(before, waited_before).threads == pytest.approx(1)
    short_lived = threads.ThreadReading(1.0, 2.0, {"1": (1_000_000_000, 0), "2": (5, 5)})
    assert threads.thread_use(before, short_lived).threads == pytest.approx(2)
    unknown = threads.ThreadReading(1.0, 1.5, None)
    assert threads.thread_use(before, unknown).threads == pytest.approx(1.5)


@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="the system does not tell")
@pytest.mark.parametrize("count", [1, 3])
def test_threads_that_share_one_core_are_all_counted(count):
    """Pinned as a worker is, on however busy a machine. Hashing lets go of the GIL, so nobody waits for a lock; it
    takes tenths of a second, beside which the moments do not count when this thread itself wants to run."""
    data, cores = b"x" * 20_000_000, os.sched_getaffinity(0)

    def hash_for_long(_):
        for _ in range(12):
            sha256(data)

    os.sched_setaffinity(0, {max(cores)})
    try:
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(time.sleep, [0.01] * count))  # so that all of them are there
            before = threads.ThreadReading.now()
            list(pool.map(hash_for_long, range(count)))
            wanted = threads.thread_use(before, threads.ThreadReading.now()).threads
    finally:
        os.sched_setaffinity(0, cores)
    assert count * 0.6 < wanted < count + 0.3  # one may be done before another has begun
