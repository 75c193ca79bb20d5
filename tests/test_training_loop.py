"""Training batches, and the loop that is the same for every backend."""

import math
from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest

from rnnbench.backends.numpy_reference import NumpyBackend
from rnnbench.model import Model
from rnnbench.tasks.batches import batches
from rnnbench.tasks.spec import Split
from rnnbench.training import Adam
from rnnbench.training_loop import Progress, train


def numbered(count: int, every_step: bool = False) -> Split:
    """Sequences whose every value, target and length says which one it is."""
    x = np.broadcast_to(np.arange(count, dtype=float)[None, :, None], (3, count, 2))
    target = x[:, :, :1] if every_step else x[0, :, :1]
    return Split(x, target, np.arange(count) + 1, every_step)


@pytest.mark.parametrize("every_step", [False, True])
def test_an_epoch_visits_each_sequence_once(every_step):
    split = numbered(10, every_step)
    epochs = [[], []]
    for number, batch in enumerate(islice(batches(split, 4, seed=3), 6)):
        assert batch.count == (4, 4, 2)[number % 3]
        ids = batch.x[0, :, 0]
        np.testing.assert_array_equal(batch.target[..., 0], np.broadcast_to(ids, batch.target.shape[:-1]))
        np.testing.assert_array_equal(batch.lengths, ids + 1)
        assert batch.x.flags.c_contiguous
        epochs[number // 3].extend(ids.tolist())
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert epochs[0] != epochs[1]  # an order of its own for each epoch


def test_the_order_depends_on_the_seed_alone():
    def order(split: Split, seed: int) -> list[float]:
        return [float(i) for batch in islice(batches(split, 4, seed), 6) for i in batch.x[0, :, 0]]

    np.random.seed(1)  # noqa: NPY002  the global generator must not matter
    first = order(numbered(10), 0)
    np.random.seed(2)  # noqa: NPY002
    assert order(numbered(10), 0) == first
    assert order(numbered(10, every_step=True), 0) == first
    assert order(numbered(10), 1) != first


def test_a_batch_larger_than_the_data_is_all_of_it():
    assert [batch.count for batch in islice(batches(numbered(3), 32, 0), 2)] == [3, 3]


class Scripted:
    """A session that answers with the losses it was given."""

    def __init__(self, losses: list[float]) -> None:
        self.losses = iter(losses)
        self.seen: list[tuple] = []

    def train_step(self, x, target, lengths=None) -> float:
        self.seen.append((x, target, lengths))
        return next(self.losses)


def ticking() -> Callable[[], float]:
    """A clock that is 0.25 s later at each look."""
    ticks = iter(range(1000))
    return lambda: next(ticks) * 0.25


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_training_stops_at_a_loss_that_is_not_finite(bad):
    session, progress = Scripted([3.0, 2.0, bad, 1.0]), Progress()
    train(session, batches(numbered(4), 2, 0), 4, progress, ticking())
    np.testing.assert_array_equal(progress.losses, [3.0, 2.0, bad])
    assert len(session.seen) == len(progress.step_seconds) == 3


def test_training_adds_to_progress_and_times_each_step():
    session, progress, data = Scripted([3.0, 2.0, 1.0]), Progress(), batches(numbered(4), 2, 0)
    train(session, data, 2, progress, ticking())
    train(session, data, 1, progress, ticking())
    assert progress.losses == [3.0, 2.0, 1.0]
    assert progress.step_seconds == [0.25] * 3
    assert sum(progress.step_seconds) == 0.75
    expected = list(islice(batches(numbered(4), 2, 0), 3))
    for (x, target, lengths), batch in zip(session.seen, expected, strict=True):
        np.testing.assert_array_equal(x, batch.x)
        np.testing.assert_array_equal(target, batch.target)
        np.testing.assert_array_equal(lengths, batch.lengths)


def test_no_steps_is_no_training():
    progress = Progress()
    train(Scripted([]), batches(numbered(4), 2, 0), 0, progress)
    assert (progress.losses, progress.step_seconds) == ([], [])


def test_the_loop_learns_what_can_be_learned(cell_id):
    """The mean of a short sequence, from every cell: a loop that trains in the wrong direction cannot do this."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (4, 64, 1))
    model = Model(cell=cell_id, input_size=1, hidden_size=8, output_size=1, dtype="float64")
    session = NumpyBackend(1).session(model, model.init(0), "mse", Adam(learning_rate=1e-2, clip_norm=1.0))
    progress = Progress()
    train(session, batches(Split(x, x.mean(axis=0)), 16, 0), 150, progress)
    assert np.mean(progress.losses[-4:]) < 0.2 * np.mean(progress.losses[:4])
