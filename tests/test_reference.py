"""The float64 reference is the oracle of every backend: here it is held against the complex step and its own rules."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from gradient_check import TOLERANCE, Problem, directional_error, elementwise_error, relative_errors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnnbench.backends.numpy_reference import NumpyBackend, NumpySession, forward_model
from rnnbench.cells.maths import numpy_maths
from rnnbench.cells.spec import Cell, Stage
from rnnbench.errors import Unsupported, UsageError
from rnnbench.model import Model
from rnnbench.registry import registry

# The same float64 operations, in another order at most: BLAS picks its own for another shape.
ROUNDING = 1e-13


def model_of(cell: str, **choices: object) -> Model:
    sizes = {"input_size": 2, "hidden_size": 3, "dtype": "float64"}
    return Model(cell=cell, **(sizes | choices))


def session_of(problem: Problem) -> NumpySession:
    return NumpyBackend(threads=1).session(problem.model, problem.params, problem.loss)


# ---- gradients -------------------------------------------------------------------------------------------------------


def test_every_gradient_element_agrees_with_the_complex_step(cell_id):
    model = model_of(cell_id, hidden_size=2, output_size=2, readout="all", bidirectional=True)
    assert elementwise_error(Problem(model, T=3, B=2, ragged=True)) < TOLERANCE


@pytest.mark.parametrize(
    ("readout", "loss", "head"), list(product(("last", "all"), ("mse", "cross-entropy"), (None, 3)))
)
def test_gradients_of_each_readout_loss_and_head(cell_id, readout, loss, head):
    model = model_of(cell_id, output_size=head, readout=readout, layers=2, bidirectional=True)
    assert directional_error(Problem(model, T=4, B=3, loss=loss, ragged=True)) < TOLERANCE


@pytest.mark.parametrize(
    ("T", "B", "sizes"),
    [
        (1, 1, {"input_size": 1, "hidden_size": 1, "output_size": 1}),
        (1, 3, {"bidirectional": True}),
        (6, 1, {"output_size": 2}),
        (5, 4, {"hidden_size": 17, "layers": 2, "readout": "all"}),
        (3, 2, {"layers": 3, "readout": "all"}),
    ],
)
@pytest.mark.parametrize("ragged", [False, True])
def test_gradients_at_the_edges_of_shape(cell_id, T, B, sizes, ragged):
    assert directional_error(Problem(model_of(cell_id, **sizes), T, B, ragged=ragged)) < TOLERANCE


@st.composite
def problems(draw: st.DrawFn, cell_id: str) -> Problem:
    model = Model(
        cell=cell_id,
        input_size=draw(st.integers(1, 5)),
        hidden_size=draw(st.integers(1, 6)),
        output_size=draw(st.none() | st.integers(1, 3)),
        layers=draw(st.integers(1, 3)),
        bidirectional=draw(st.booleans()),
        readout=draw(st.sampled_from(["last", "all"])),
        dtype="float64",
    )
    one_class = (model.output_size or model.features) == 1  # cross-entropy of one class is 0, and so is its gradient
    return Problem(
        model,
        T=draw(st.integers(1, 6)),
        B=draw(st.integers(1, 4)),
        loss="mse" if one_class else draw(st.sampled_from(["mse", "cross-entropy"])),
        ragged=draw(st.booleans()),
        seed=draw(st.integers(0, 999)),
    )


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_gradients_of_random_models(cell_id, data):
    assert directional_error(data.draw(problems(cell_id))) < TOLERANCE


def test_relu_gradients_agree_with_central_differences_away_from_the_kinks(monkeypatch):
    """A second opinion on the one cell with kinks, which does not rest on how complex numbers compare."""
    seen: list[np.ndarray] = []
    monkeypatch.setitem(registry().cells, "rnn-relu", watched(registry().cell("rnn-relu"), seen))
    model = model_of("rnn-relu", output_size=2, readout="all", layers=2, bidirectional=True)
    problem = Problem(model, T=4, B=3, ragged=True)
    gradients = problem.analytic()
    # Rounding of the loss over 2h is about 1e-9 for this h, and the third derivative times h² far less.
    h = 1e-6
    assert min(np.abs(pre).min() for pre in seen) > 100 * h, "another seed, please: a pre-activation is near its kink"

    def central(name: str) -> np.ndarray:
        slopes = []
        for index in np.ndindex(gradients[name].shape):
            losses = []
            for shift in (h, -h):
                params = {key: value.copy() for key, value in problem.params.items()}
                params[name][index] += shift
                losses.append(problem.complex_loss(params, problem.state).real)
            slopes.append((losses[0] - losses[1]) / (2 * h))
        return np.reshape(slopes, gradients[name].shape)

    names = [name for name in gradients if not name.startswith("state.")]
    assert max(relative_errors(gradients, {name: central(name) for name in names}).values()) < 1e-6


def watched(cell: Cell, seen: list[np.ndarray]) -> Cell:
    """The same cell, noting every pre-activation."""

    def pair(m):
        forward, backward = cell.stages[0].pair(m)

        def watching(pre, prev):
            seen.extend(pre)
            return forward(pre, prev)

        return watching, backward

    return replace(cell, stages=(Stage(cell.stages[0].accumulators, pair),))


# ---- the check itself must be able to fail ---------------------------------------------------------------------------


def mutated(cell: Cell, stage: int, group: int, position: int, factor: float) -> Cell:
    """The same cell with one value that one stage's backward returns multiplied by `factor`."""

    def pair(m):
        forward, backward = cell.stages[stage].pair(m)

        def wrong(saved, prev, dresult):
            groups = [list(values) for values in backward(saved, prev, dresult)]
            groups[group][position] = groups[group][position] * factor
            return tuple(tuple(values) for values in groups)

        return forward, wrong

    stages = list(cell.stages)
    stages[stage] = Stage(stages[stage].accumulators, pair)
    return replace(cell, stages=tuple(stages))


def backward_values(cell: Cell):
    """(stage, group, position) of every value that the cell's backward returns and that is not always zero."""
    m, rng = numpy_maths(np.dtype("float64")), np.random.default_rng(0)
    prev = tuple(rng.uniform(0.1, 1, 3) for _ in cell.states)
    for number, stage in enumerate(cell.stages):
        forward, backward = stage.pair(m)
        result, saved = forward(tuple(rng.uniform(0.1, 1, 3) for _ in stage.accumulators), prev)
        for group, values in enumerate(backward(saved, prev, tuple(rng.uniform(0.1, 1, 3) for _ in result))):
            for position, value in enumerate(values):
                if np.any(value):
                    yield number, group, position


@pytest.mark.parametrize("factor", [-1.0, 1 + 1e-6], ids=["sign", "one part in a million"])
def test_a_mutated_backward_fails_the_gradient_check(cell_id, factor, monkeypatch):
    cell = registry().cell(cell_id)
    places = list(backward_values(cell))
    assert len(places) >= len(cell.accumulators)  # at least every pre-activation has a gradient
    for place in places:
        monkeypatch.setitem(registry().cells, cell_id, mutated(cell, *place, factor))
        problem = Problem(model_of(cell_id, output_size=2, readout="all"), T=3, B=2)
        assert directional_error(problem) > 100 * TOLERANCE, f"{place} (stage, dpre or dprev, position) went unnoticed"


# ---- properties ------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["last", "all"])
def ragged(request, cell_id) -> Problem:
    model = model_of(cell_id, output_size=2, readout=request.param, layers=2, bidirectional=True)
    return Problem(model, T=5, B=4, ragged=True)


def test_what_the_padding_holds_changes_nothing(ragged):
    session = session_of(ragged)
    results = []
    for x in (ragged.x, ragged.cleared, np.nan_to_num(ragged.x, nan=np.inf), np.nan_to_num(ragged.x, nan=-1e300)):
        y, state = session.forward(x, ragged.lengths, ragged.state)
        loss, gradients = session.gradients(x, ragged.target, ragged.lengths, ragged.state)
        results.append([y, *state, np.array(loss), *gradients.values()])
    assert all(np.isfinite(value).all() for value in results[0])
    for result in results[1:]:
        for value, expected in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(value, expected)


def test_each_row_is_computed_as_if_alone(ragged):
    y, state = session_of(ragged).forward(ragged.x, ragged.lengths, ragged.state)
    for row, length in enumerate(ragged.lengths):
        start = tuple(s[:, row : row + 1] for s in ragged.state)
        alone, after = session_of(ragged).forward(ragged.x[:length, row : row + 1], state=start)
        mine = y[row : row + 1] if ragged.model.readout == "last" else y[:length, row : row + 1]
        np.testing.assert_allclose(mine, alone, rtol=0, atol=ROUNDING)
        for value, expected in zip(state, after, strict=True):
            np.testing.assert_allclose(value[:, row : row + 1], expected, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("head", [None, 2])
def test_y_is_zero_past_a_length(cell_id, head):
    problem = Problem(model_of(cell_id, output_size=head, readout="all", bidirectional=True), T=5, B=4, ragged=True)
    y, _ = session_of(problem).forward(problem.x, problem.lengths, problem.state)
    past = np.arange(problem.T)[:, None] >= problem.lengths
    assert not y[past].any()
    assert past.any()
    assert y[~past].any()


def test_inputs_are_not_changed(ragged):
    before = {"x": ragged.x.copy(), "target": ragged.target.copy(), "lengths": ragged.lengths.copy()}
    states, params = [s.copy() for s in ragged.state], {name: value.copy() for name, value in ragged.params.items()}
    session = session_of(ragged)
    session.forward(ragged.x, ragged.lengths, ragged.state)
    session.gradients(ragged.x, ragged.target, ragged.lengths, ragged.state)
    session.train_step(ragged.x, ragged.target, ragged.lengths)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(ragged, name), value)
    for value, expected in zip(ragged.state, states, strict=True):
        np.testing.assert_array_equal(value, expected)
    for name, value in params.items():
        np.testing.assert_array_equal(ragged.params[name], value)
        assert (session.parameters()[name] != value).any()  # training moved the session's own copy


def test_the_reverse_direction_is_the_forward_one_on_the_flipped_sequence(cell_id):
    both = Problem(model_of(cell_id, bidirectional=True, readout="all"), T=5, B=3)
    H = both.model.hidden_size
    params = {n.replace("reverse", "forward"): v for n, v in both.params.items() if "reverse" in n}
    y, state = session_of(both).forward(both.x, state=both.state)
    one_way = NumpyBackend(1).session(model_of(cell_id, readout="all"), params)
    flipped, after = one_way.forward(both.x[::-1], state=tuple(s[1:] for s in both.state))
    np.testing.assert_allclose(y[:, :, H:], flipped[::-1], rtol=0, atol=ROUNDING)
    for value, expected in zip(state, after, strict=True):
        np.testing.assert_allclose(value[1:], expected, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("readout", ["last", "all"])
def test_steps_in_a_row_equal_forward(cell_id, readout):
    problem = Problem(model_of(cell_id, output_size=2, layers=2, readout=readout), T=5, B=3)
    session = session_of(problem)
    y, after = session.forward(problem.x)
    outputs, state = [], None
    for x_t in problem.x:
        y_t, state = session.step(x_t, state)
        outputs.append(y_t)
    np.testing.assert_allclose(outputs[-1] if readout == "last" else np.stack(outputs), y, rtol=0, atol=ROUNDING)
    for value, expected in zip(state, after, strict=True):
        np.testing.assert_allclose(value, expected, rtol=0, atol=ROUNDING)


def test_the_final_state_continues_a_sequence(cell_id):
    problem = Problem(model_of(cell_id, layers=2, readout="all"), T=6, B=3)
    session = session_of(problem)
    y, after = session.forward(problem.x, state=problem.state)
    first, between = session.forward(problem.x[:2], state=problem.state)
    second, final = session.forward(problem.x[2:], state=between)
    np.testing.assert_allclose(np.concatenate([first, second]), y, rtol=0, atol=ROUNDING)
    for value, expected in zip(final, after, strict=True):
        np.testing.assert_allclose(value, expected, rtol=0, atol=ROUNDING)


def test_the_last_readout_is_the_final_state_of_each_direction(cell_id):
    every = Problem(model_of(cell_id, layers=2, bidirectional=True, readout="all"), T=5, B=4, ragged=True)
    H = every.model.hidden_size
    features, _ = session_of(every).forward(every.x, every.lengths, every.state)
    last = NumpyBackend(1).session(replace(every.model, readout="last"), every.params)
    y, state = last.forward(every.x, every.lengths, every.state)
    np.testing.assert_array_equal(y, np.concatenate([state[0][2], state[0][3]], axis=-1))
    rows = np.arange(every.B)
    np.testing.assert_array_equal(y[:, :H], features[every.lengths - 1, rows, :H])
    np.testing.assert_array_equal(y[:, H:], features[0, :, H:])


def test_float32_stays_float32_and_close(cell_id):
    wide = Problem(model_of(cell_id, output_size=2, readout="all", layers=2, bidirectional=True), T=5, B=3, ragged=True)
    narrow = NumpyBackend(1).session(replace(wide.model, dtype="float32"), wide.params)
    y, state = narrow.forward(wide.x, wide.lengths, wide.state)
    loss, gradients = narrow.gradients(wide.x, wide.target, wide.lengths)
    narrow.train_step(wide.x, wide.target, wide.lengths)
    arrays = [y, *state, *gradients.values(), *narrow.parameters().values()]
    assert {value.dtype for value in arrays} == {np.dtype("float32")}
    exact = session_of(wide)
    assert loss == pytest.approx(exact.gradients(wide.x, wide.target, wide.lengths)[0], rel=1e-5)
    # Float32 has a unit roundoff of 6e-8; fifty chained operations on values near 1 stay well within 1e-5.
    np.testing.assert_allclose(y, exact.forward(wide.x, wide.lengths, wide.state)[0], rtol=1e-5, atol=1e-5)


def test_the_initial_state_defaults_to_zeros(cell_id):
    problem = Problem(model_of(cell_id), T=3, B=2)
    zeros = tuple(np.zeros_like(s) for s in problem.state)
    default, given_zeros = (session_of(problem).forward(problem.x, state=s)[0] for s in (None, zeros))
    np.testing.assert_array_equal(default, given_zeros)
    assert (default != session_of(problem).forward(problem.x, state=problem.state)[0]).any() or not uses_state(cell_id)


def uses_state(cell_id: str) -> bool:
    problem = Problem(model_of(cell_id), T=1, B=1)
    shifted = tuple(s + 1 for s in problem.state)
    passes = [forward_model(problem.model, problem.params, problem.x, None, s) for s in (problem.state, shifted)]
    return bool((passes[0].prediction != passes[1].prediction).any())


# ---- the session's own rules -----------------------------------------------------------------------------------------


def test_a_bidirectional_model_cannot_step():
    problem = Problem(model_of("gru", bidirectional=True), T=3, B=2)
    with pytest.raises(Unsupported, match="a bidirectional model needs the whole sequence"):
        session_of(problem).step(problem.x[0], None)


def test_the_session_keeps_its_own_parameters():
    problem = Problem(model_of("lstm", output_size=1), T=3, B=2)
    session = session_of(problem)
    y, _ = session.forward(problem.x)
    problem.params["head.b"] += 1
    session.parameters()["head.b"][:] = 9
    np.testing.assert_array_equal(session.forward(problem.x)[0], y)


def test_gradients_leave_the_parameters_as_they_are():
    problem = Problem(model_of("lstm", output_size=1), T=3, B=2)
    session = session_of(problem)
    before = session.parameters()
    session.gradients(problem.x, problem.target)
    for name, value in session.parameters().items():
        np.testing.assert_array_equal(value, before[name])


def test_an_unknown_loss_is_one_line():
    problem = Problem(model_of("lstm", output_size=1), T=3, B=2)
    session = NumpyBackend(1).session(problem.model, problem.params, "hinge")
    with pytest.raises(UsageError, match="loss must be one of mse, cross-entropy; got 'hinge'"):
        session.gradients(problem.x, problem.target)
