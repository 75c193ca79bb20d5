"""Inputs that no timed call has had before, and what training steps are told by."""

from itertools import islice

import numpy as np
import pytest

from rnnbench.backends.numpy_reference import NumpyBackend
from rnnbench.comparison import fresh_inputs
from rnnbench.comparison.fresh_inputs import FreshInputs, stream
from rnnbench.model import Model
from rnnbench.tasks.batches import batches
from rnnbench.tasks.spec import Split
from rnnbench.training import Adam
from rnnbench.verify.update import EARLIEST, EXPLAINED, EXPLAINED_ONCE, WINDOW, explained


def base(dtype="float32", steps=5, rows=4, width=2, ragged=False):
    rng = np.random.default_rng(0)
    x, lengths = rng.standard_normal((steps, rows, width)).astype(dtype), None
    if ragged:
        lengths = rng.integers(1, steps + 1, rows)
        x[np.arange(steps)[:, None] >= lengths] = np.nan
    return Split(x, np.zeros((rows, 1), dtype), lengths)


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("calls", [1, 2, 7, 500])
def test_no_call_has_a_row_or_a_beginning_that_was_there_and_the_last_has_those_of_the_seed(dtype, ragged, calls):
    inputs = FreshInputs(base(dtype, ragged=ragged))
    rows, beginnings = [], []
    for seed in (3, 4):
        inputs.renew(seed)
        for x in inputs.windows(calls):
            assert x.flags.c_contiguous
            assert x.ctypes.data % 64 == 0
            rows += [x[:, row].tobytes() for row in range(4)]
            beginnings.append(x[:1].tobytes())
        expected = FreshInputs(base(dtype, ragged=ragged))
        expected.renew(seed)
        np.testing.assert_array_equal(x, expected.split().x)
        np.testing.assert_array_equal(inputs.lengths, expected.split().lengths)
    assert len(set(rows)) == 8 * calls
    assert len(set(beginnings)) == 2 * calls


def test_more_calls_than_windows_go_round_and_end_the_same(monkeypatch):
    monkeypatch.setattr(fresh_inputs, "MOST_WINDOWS", 3)
    inputs = FreshInputs(base())
    inputs.renew(1)
    seen = list(inputs.windows(7))
    assert len(seen) == 7
    assert (seen[-1] == inputs.x).all()
    assert not (seen[-2] == inputs.x).any()


def test_rows_keep_their_lengths_and_their_padding():
    inputs = FreshInputs(base(ragged=True))
    inputs.renew(1)
    assert (np.isfinite(inputs.x).all(axis=2).sum(axis=0) == inputs.lengths).all()
    assert sorted(inputs.lengths) == sorted(base(ragged=True).lengths)


def test_what_comes_before_a_sample_has_other_inputs_elsewhere():
    inputs = FreshInputs(base())
    inputs.renew(1)
    windows = inputs.windows(3)
    first = next(iter(windows))
    others = [windows.other(number) for number in range(3)]
    assert not any((x == first).any() or np.shares_memory(x, first) for x in others)
    assert len({x.tobytes() for x in others}) == 3


def test_a_stream_is_as_long_as_wanted_and_new_in_every_pass():
    row = base().x[:, :1]
    passes = [stream(row, 7, number, 16) for number in range(3)]
    assert {len(each) for each in passes} == {20}
    assert not np.isin(passes[0], passes[1]).any()
    np.testing.assert_array_equal(passes[2], stream(row, 7, 2, 16))


def trained(share, dtype="float32", frozen=False, cell="gru", **settings):
    """What is explained of a window of steps on so many rows of each batch."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 256, 1)).astype(dtype)
    split = Split(x, np.tanh(x.sum(axis=0)))
    model, adam = Model(cell, 1, 8, 1, dtype=dtype), Adam(0.01, **settings)
    session = NumpyBackend(1).session(model, model.init(0), "mse", adam)
    weights, gradients = [session.parameters()], []
    for number, batch in enumerate(islice(batches(split, 32, 0), EARLIEST + WINDOW)):
        if number >= EARLIEST:
            found = session.gradients(batch.x, batch.target)[1]
            norm = float(np.sqrt(sum(np.vdot(g, g) for g in found.values())))
            gradients.append({name: g.astype(float) * adam.clip_scale(norm) for name, g in found.items()})
        rows = batch.rows(slice(0, int(32 * share) if number >= EARLIEST else 32))
        if not (frozen and number >= EARLIEST):
            session.train_step(rows.x, rows.target)
        weights = [*weights, session.parameters()] if number >= EARLIEST else [session.parameters()]
    return explained(adam, EARLIEST, weights, gradients)


@pytest.mark.parametrize("settings", [{}, {"clip_norm": 0.1}, {"beta1": 0.0}, {"epsilon": 1e-30}, {"epsilon": 0.1}])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_of_adam_are_explained_by_their_gradients(dtype, settings):
    assert trained(1.0, dtype, **settings) > 0.9999


def test_steps_of_any_cell_are(cell_id):
    assert trained(1.0, cell=cell_id) > 0.9999


@pytest.mark.parametrize(
    ("rows", "most"), [(1, EXPLAINED_ONCE), (4, EXPLAINED_ONCE), (16, EXPLAINED_ONCE), (31, EXPLAINED)]
)
def test_steps_on_a_part_of_the_batch_are_not(rows, most):
    assert trained(rows / 32) < most


def test_steps_that_change_nothing_are_not():
    assert trained(1.0, frozen=True) == 0
