"""What a user may hand to a session: a defined result, or one clear line."""

import numpy as np
import pytest

import rnnbench
from rnnbench.backends import inputs
from rnnbench.backends.numpy_reference import NumpyBackend, NumpySession
from rnnbench.errors import UsageError
from rnnbench.model import Model

T, B, I, H = 4, 3, 2, 5
LSTM = Model("lstm", I, H, dtype="float32")


@pytest.fixture
def x() -> np.ndarray:
    """Small whole numbers, which every dtype below holds exactly."""
    return np.random.default_rng(0).integers(-3, 4, (T, B, I)).astype(np.float32)


@pytest.fixture
def session() -> NumpySession:
    return NumpyBackend(1).session(LSTM, LSTM.init(0))


def one_line(raised: pytest.ExceptionInfo[UsageError]) -> str:
    text = str(raised.value)
    assert "\n" not in text
    return text


# ---- a defined result ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "int64", ">f4", ">i8", "longdouble"])
def test_every_real_dtype_gives_the_same_result(x, session, dtype):
    expected, _ = session.forward(x)
    y, state = session.forward(x.astype(dtype))
    np.testing.assert_array_equal(y, expected)
    assert {value.dtype for value in (y, *state)} == {np.dtype("float32")}


@pytest.mark.parametrize(
    "same",
    [
        lambda x: np.asfortranarray(x),
        lambda x: np.repeat(x, 2, axis=0)[::2],
        lambda x: x[::-1].copy()[::-1],
        lambda x: np.ascontiguousarray(x.transpose(1, 0, 2)).transpose(1, 0, 2),
        lambda x: x.tolist(),
    ],
    ids=["fortran", "strided", "negative stride", "batch first", "list"],
)
def test_every_layout_gives_the_same_result(x, session, same):
    np.testing.assert_array_equal(session.forward(same(x))[0], session.forward(x)[0])


def test_broadcast_input_is_read_only_and_accepted(session):
    x = np.broadcast_to(np.float32(0.5), (T, B, I))
    np.testing.assert_array_equal(session.forward(x)[0], session.forward(x.copy())[0])


def test_a_ready_array_is_not_copied(x):
    ready, lengths = inputs.sequence(LSTM, x)
    assert ready.ctypes.data == x.ctypes.data
    assert lengths is None
    full, _ = inputs.sequence(LSTM, x, np.full(B, T))  # there is no padding to clear
    assert full.ctypes.data == x.ctypes.data


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("poison", [np.nan, np.inf, "largest"])
def test_padding_is_cleared_in_a_copy(x, dtype, poison):
    """Warnings are errors here: the largest float64 in the padding must not be cast to float32 on the way."""
    x = x.astype(dtype)
    clean, lengths = x.copy(), np.array([1, 4, 2])
    past = np.arange(T)[:, None] >= lengths
    x[past] = np.finfo(dtype).max if poison == "largest" else poison
    clean[past] = 0
    before = x.copy()
    ready, checked = inputs.sequence(LSTM, x, lengths)
    np.testing.assert_array_equal(ready, clean)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(checked, lengths)


@pytest.mark.parametrize("lengths", [[1, 4, 2], np.array([1, 4, 2], "uint8"), np.array([1, 4, 2], ">i4")])
def test_lengths_become_int64(lengths):
    checked = inputs.valid_lengths(lengths, T, B)
    np.testing.assert_array_equal(checked, [1, 4, 2])
    assert checked.dtype == np.dtype("int64")
    assert checked.dtype.isnative


def test_nan_within_a_sequence_reaches_the_output(x, session):
    x[1, 0, 0] = np.nan
    y, _ = session.forward(x)
    assert np.isnan(y[0]).all()
    assert np.isfinite(y[1:]).all()  # rows do not touch each other


def test_states_of_any_dtype_and_layout(x, session):
    h, c = np.random.default_rng(1).integers(-2, 3, (2, 1, B, H)).astype(np.float32)
    expected, _ = session.forward(x, state=(h, c))
    for given in (
        (h.astype(np.float16), c.astype(">f8")),
        [h.tolist(), c.astype(int)],
        (np.asfortranarray(h), c[:, ::-1].copy()[:, ::-1]),
    ):
        np.testing.assert_array_equal(session.forward(x, state=given)[0], expected)


def test_a_step_takes_what_a_sequence_takes(x, session):
    expected, _ = session.step(x[0], None)
    for given in (
        x[0].astype(np.float16),
        x[0].astype(">f8"),
        x[0].astype(int),
        x[0].tolist(),
        np.asfortranarray(x[0]),
    ):
        np.testing.assert_array_equal(session.step(given, None)[0], expected)


# ---- one clear line --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (np.zeros((B, I)), "x must be [T, B, 2]; got shape (3, 2)"),
        (np.zeros((T, B, I, 1)), "x must be [T, B, 2]; got shape (4, 3, 2, 1)"),
        (np.zeros((T, B, 3)), "x must be [T, B, 2]; got shape (4, 3, 3)"),
        (np.zeros((T, B, 0)), "x must be [T, B, 2]; got shape (4, 3, 0)"),
        (np.float32(1), "x must be [T, B, 2]; got shape ()"),
        (np.zeros((0, B, I)), "x needs at least one step and one row; got shape (0, 3, 2)"),
        (np.zeros((T, 0, I)), "x needs at least one step and one row; got shape (4, 0, 2)"),
        (np.zeros((T, B, I), complex), "x must hold real numbers; got dtype complex128"),
        (np.zeros((T, B, I), bool), "x must hold real numbers; got dtype bool"),
        (np.full((T, B, I), "1"), "x must hold real numbers; got dtype <U1"),
        (np.full((T, B, I), None), "x must hold real numbers; got dtype object"),
    ],
)
def test_an_x_that_cannot_be(session, wrong, line):
    with pytest.raises(UsageError) as raised:
        session.forward(wrong)
    assert one_line(raised) == line


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ([0, 1, 1], "lengths must lie in 1..4; got 0..1"),
        ([1, 1, 5], "lengths must lie in 1..4; got 1..5"),
        ([-1, 1, 1], "lengths must lie in 1..4; got -1..1"),
        (np.array([1, 1, 2**64 - 1], np.uint64), f"lengths must lie in 1..4; got 1..{2**64 - 1}"),
        ([1, 1], "lengths must be 3 whole numbers; got int64 (2,)"),
        ([[1, 1, 1]], "lengths must be 3 whole numbers; got int64 (1, 3)"),
        (4, "lengths must be 3 whole numbers; got int64 ()"),
        ([1.0, 2.0, 3.0], "lengths must be 3 whole numbers; got float64 (3,)"),
        ([True, True, True], "lengths must be 3 whole numbers; got bool (3,)"),
    ],
)
def test_lengths_that_cannot_be(x, session, wrong, line):
    with pytest.raises(UsageError) as raised:
        session.forward(x, wrong)
    assert one_line(raised) == line


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ((), "state must hold h, c; got 0 arrays"),
        ((np.zeros((1, B, H)),), "state must hold h, c; got 1 arrays"),
        ((np.zeros((1, B, H)), np.zeros((B, H))), "state c must be (1, 3, 5); got (3, 5)"),
        ((np.zeros((2, B, H)), np.zeros((1, B, H))), "state h must be (1, 3, 5); got (2, 3, 5)"),
        ((np.zeros((1, B, H)), np.zeros((1, B, H), complex)), "state c must hold real numbers; got dtype complex128"),
        ((np.full((1, B, H), "0"), np.zeros((1, B, H))), "state h must hold real numbers; got dtype <U1"),
    ],
)
def test_states_that_cannot_be(x, session, wrong, line):
    with pytest.raises(UsageError) as raised:
        session.forward(x, state=wrong)
    assert one_line(raised) == line


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (np.zeros((B, 3)), "x_t must be [B, 2]; got shape (3, 3)"),
        (np.zeros((1, B, I)), "x_t must be [B, 2]; got shape (1, 3, 2)"),
        (np.zeros((0, I)), "x_t must be [B, 2]; got shape (0, 2)"),
        (np.float32(1), "x_t must be [B, 2]; got shape ()"),
        (np.zeros((B, I), complex), "x_t must hold real numbers; got dtype complex128"),
        (np.full((B, I), "1"), "x_t must hold real numbers; got dtype <U1"),
    ],
)
def test_a_step_that_cannot_be(session, wrong, line):
    with pytest.raises(UsageError) as raised:
        session.step(wrong, None)
    assert one_line(raised) == line


def test_a_gradient_s_inputs_are_checked_too(x, session):
    with pytest.raises(UsageError, match=r"x must be \[T, B, 2\]"):
        session.gradients(x[:, :, :1], np.zeros((B, H)))
    with pytest.raises(UsageError, match=r"lengths must lie in 1\.\.4"):
        session.train_step(x, np.zeros((B, H)), np.array([0, 1, 2]))
    with pytest.raises(UsageError, match=r"the target of mse must be real numbers \(3, 5\)"):
        session.train_step(x, np.zeros((B, 1)))


# ---- targets, for a framework's own loss -----------------------------------------------------------------------------

LENGTHS = np.array([1, 4, 2])
EVERY_STEP = Model("lstm", I, H, 2, readout="all")


def test_a_padded_target_of_numbers_is_cleared_and_counted():
    target = np.ones((T, B, 2))
    target[np.arange(T)[:, None] >= LENGTHS] = np.nan
    cleared, count = inputs.targets(EVERY_STEP, "mse", target, T, B, LENGTHS)
    assert cleared.dtype == "float32"
    assert cleared.sum() == count == 2 * LENGTHS.sum()


def test_a_padded_target_of_classes_is_ignored_and_counted():
    target = np.ones((T, B), np.int32)
    target[np.arange(T)[:, None] >= LENGTHS] = 99
    cleared, count = inputs.targets(EVERY_STEP, "cross-entropy", target, T, B, LENGTHS)
    assert cleared.dtype == "int64"
    assert (cleared == 1).sum() == count == LENGTHS.sum()
    assert (cleared == inputs.IGNORED).sum() == T * B - count


def test_lengths_leave_a_target_of_the_last_step_alone():
    target = np.ones((B, H), np.float32)
    cleared, count = inputs.targets(LSTM, "mse", target, T, B, LENGTHS)
    np.testing.assert_array_equal(cleared, target)
    assert count == B * H


@pytest.mark.parametrize(
    ("loss", "target", "says"),
    [
        ("mse", np.zeros((T, B, 3)), r"must be real numbers \(4, 3, 2\); got float64 \(4, 3, 3\)"),
        ("cross-entropy", np.zeros((T, B)), r"must be class indices \(4, 3\); got float64 \(4, 3\)"),
        ("cross-entropy", np.full((T, B), 2), r"must lie in 0\.\.1; got 2\.\.2"),
        ("hinge", np.zeros((T, B)), "loss must be one of mse, cross-entropy; got 'hinge'"),
    ],
    ids=["shape", "dtype", "class", "loss"],
)
def test_a_target_that_does_not_fit_is_one_clear_line(loss, target, says):
    with pytest.raises(UsageError, match=says) as raised:
        inputs.targets(EVERY_STEP, loss, target, T, B)
    one_line(raised)


# ---- wrong types, for every backend alike ----------------------------------------------------------------------------

MASKED = np.ma.masked_array(np.zeros((T, B, I)), np.arange(T * B * I).reshape(T, B, I) > 9)
X, ALL = np.zeros((T, B, I), np.float32), (np.zeros((1, B, H)),) * 2
WRONG = {
    "masked x": (lambda s: s.forward(MASKED), "x is a masked array, and no mask is read; fill it, and give lengths"),
    "ragged x": (lambda s: s.forward([[[1.0, 2.0]], [[1.0]]]), "x must be an array; NumPy says: setting an array"),
    "masked x_t": (lambda s: s.step(MASKED[0], None), "x_t is a masked array"),
    "masked lengths": (lambda s: s.forward(X, np.ma.array([1, 2, 3], mask=[1, 0, 0])), "lengths is a masked array"),
    "object lengths": (lambda s: s.forward(X, np.array([1, 2, 3], object)), "lengths must be 3 whole numbers"),
    "masked state": (lambda s: s.forward(X, None, (np.ma.array(ALL[0]), ALL[1])), "state h is a masked array"),
    "state of one number": (lambda s: s.forward(X, None, 1.0), "state must hold h, c; got float"),
    "state by name": (lambda s: s.forward(X, None, {"h": ALL[0], "c": ALL[1]}), "state must hold h, c; got dict"),
    "state too many": (lambda s: s.forward(X, None, (*ALL, ALL[0])), "state must hold h, c; got 3 arrays"),
    "object state": (lambda s: s.step(X[0], (ALL[0].astype(object), ALL[1])), "state h must hold real numbers"),
    "complex target": (lambda s: s.train_step(X, np.zeros((B, 2), complex)), "the target of mse must be real numbers"),
    "object target": (lambda s: s.gradients(X, np.zeros((B, 2), object)), "the target of mse must be real numbers"),
    "masked target": (lambda s: s.gradients(X, np.ma.array(np.zeros((B, 2)))), "target is a masked array"),
    "target of text": (lambda s: s.train_step(X, "target"), "the target of mse must be real numbers (3, 2)"),
}


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize(("call", "says"), WRONG.values(), ids=WRONG)
def test_what_is_of_a_wrong_type_is_refused_by_every_backend_alike(backend, call, says):
    model = Model("lstm", I, H, 2)
    session = rnnbench.session(backend, model, model.init(0))
    with pytest.raises(UsageError) as raised:
        call(session)
    assert one_line(raised).startswith(says)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_lists_are_taken_where_arrays_are_wanted(backend):
    model = Model("lstm", I, H, 2, readout="all")
    one, other = (rnnbench.session(backend, model, model.init(0)) for _ in range(2))
    target, lengths = np.ones((T, B, 2)), np.array([1, 4, 2])
    assert one.train_step(X, target.tolist(), [1, 4, 2]) == other.train_step(X, target, lengths)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"threads": 2.0}, "threads must be a whole number of at least 1; got 2.0"),
        ({"threads": "2"}, "threads must be a whole number of at least 1; got '2'"),
        ({"threads": True}, "threads must be a whole number of at least 1; got True"),
        ({"threads": 0}, "threads must be a whole number of at least 1; got 0"),
        ({"loss": "hinge"}, "loss must be one of mse, cross-entropy; got 'hinge'"),
        ({"optimiser": 1e-3}, "optimiser must be of type Adam; got float"),
        ({"model": "lstm"}, "model must be of type Model; got str"),
        ({"params": None}, "params must be of type Mapping; got NoneType"),
    ],
)
def test_a_session_of_what_cannot_be(backend, wrong, line):
    with pytest.raises(UsageError) as raised:
        rnnbench.session(backend, **({"model": LSTM, "params": LSTM.init(0)} | wrong))
    assert one_line(raised) == line


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("output", [None, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_past_a_row_s_length_y_is_zero_whatever_the_row_holds(backend, output, bidirectional, poison):
    model = Model("rnn-relu", I, H, output, layers=2, bidirectional=bidirectional, readout="all")
    lengths = np.array([1, 4, 2])
    x = np.ones((T, B, I), np.float32)
    x[0] = poison
    with np.errstate(invalid="ignore"):
        y = rnnbench.session(backend, model, model.init(0)).forward(x, lengths)[0]
    past = np.arange(T)[:, None] >= lengths
    assert not y[past].any()
    assert not np.isfinite(y[0]).all()
