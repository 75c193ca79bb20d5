"""The compiled kernels against the float64 reference: every registered cell, both dtypes, every kind of shape.

Tolerances are the project's promise: outputs within 1e-12 (float64) and 2e-6 (float32), gradients within 1e-10 and
1e-5, for weights within ±1/√H; what is seen is a tenth of that or less.
"""

import os
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
from gradient_check import Problem, relative_errors

import rnnbench
from rnnbench.backends.numba_cpu import partition, thread_team, workspace
from rnnbench.backends.numba_cpu.plan import Planner
from rnnbench.errors import UsageError
from rnnbench.kernels.args import LossArgs
from rnnbench.kernels.compiled import common
from rnnbench.kernels.records import Slot, record
from rnnbench.model import Model
from rnnbench.registry import registry
from rnnbench.tasks.batches import batches
from rnnbench.tasks.spec import Split
from rnnbench.training import loss_and_gradient
from rnnbench.training_loop import Progress, train

FORWARD = {"float64": 1e-12, "float32": 2e-6}
GRADIENT = {"float64": 1e-10, "float32": 1e-5}
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])

# T, B, I, H, layers, bidirectional, readout, head, ragged
SHAPES = {
    "smallest": (1, 1, 1, 1, 1, False, "last", True, False),
    "one step": (1, 5, 3, 17, 1, True, "all", False, False),
    "one row": (9, 1, 2, 17, 1, False, "all", True, False),
    "one unit": (7, 4, 3, 1, 2, True, "last", True, True),
    "odd": (8, 7, 5, 17, 2, True, "all", True, True),
    "wide input, few rows": (30, 2, 33, 24, 1, True, "last", True, True),
    "wide input, one row": (26, 1, 40, 9, 2, False, "all", False, False),
    "more rows than a scratch holds": (4, 71, 3, 20, 1, True, "last", True, True),
    "more units than a copy holds": (3, 70, 5, 101, 1, False, "last", False, True),
    "weights beyond L2": (2, 33, 1400, 3, 1, False, "all", False, False),
    "a full panel": (5, 12, 16, 64, 1, False, "all", True, False),
}


def problem(cell_id, dtype, shape, seed=0):
    """A problem in float64 whose numbers are exact in `dtype`, and the model that runs in `dtype`."""
    T, B, I, H, layers, bidirectional, readout, head, ragged = shape
    model = Model(cell_id, I, H, 3 if head else None, layers, bidirectional, readout, "float64")
    p = Problem(model, T, B, ragged=ragged, seed=seed)
    scaled = {name: value * max(H, value.shape[-1]) ** -0.5 for name, value in p.params.items()}
    rounded = {name: value.astype(dtype).astype("float64") for name, value in scaled.items()}
    object.__setattr__(p, "params", rounded)
    object.__setattr__(p, "x", p.x.astype(dtype).astype("float64"))
    object.__setattr__(p, "state", tuple(s.astype(dtype).astype("float64") for s in p.state))
    return p, replace(model, dtype=dtype)


def error(value, reference):
    scale = np.abs(reference).max() or 1.0  # a dead ReLU's outputs are all 0
    return float(np.abs(value - reference).max() / scale)


def typed(arrays, dtype):
    return tuple(a.astype(dtype) for a in arrays)


def check(p, model, session):
    """Outputs, final states and gradients of a session against the reference; also that inputs are left alone."""
    dtype = model.dtype
    reference = rnnbench.session("numpy", p.model, p.params)
    x, state = p.x.astype(dtype), typed(p.state, dtype)
    untouched = x.copy(), [s.copy() for s in state]
    y, final = session.forward(x, p.lengths, state)
    expected, expected_final = reference.forward(p.x, p.lengths, p.state)
    assert y.dtype == dtype
    assert y.shape == expected.shape
    assert error(y, expected) <= FORWARD[dtype]
    for value, wanted in zip(final, expected_final, strict=True):
        assert error(value, wanted) <= FORWARD[dtype]
    loss, gradients = session.gradients(x, p.target, p.lengths, state)
    wanted_loss, wanted = reference.gradients(p.x, p.target, p.lengths, p.state)
    assert loss == pytest.approx(wanted_loss, rel=GRADIENT[dtype])
    assert max(relative_errors(gradients, wanted).values()) <= GRADIENT[dtype]
    np.testing.assert_array_equal(x, untouched[0])
    for value, before in zip(state, untouched[1], strict=True):
        np.testing.assert_array_equal(value, before)


@DTYPES
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_agrees_with_the_reference(cell_id, dtype, shape):
    p, model = problem(cell_id, dtype, shape)
    check(p, model, rnnbench.session("numba", model, p.params))


@DTYPES
def test_agrees_on_random_shapes(cell_id, dtype):
    rng = np.random.default_rng(sum(map(ord, cell_id)))
    for seed in range(12):
        T, B, I, H = (int(rng.integers(1, most)) for most in (14, 11, 36, 40))
        flags = [bool(v) for v in rng.integers(0, 2, 4)]
        shape = (T, B, I, H, int(rng.integers(1, 4)), flags[0], "all" if flags[1] else "last", flags[2], flags[3])
        p, model = problem(cell_id, dtype, shape, seed)
        check(p, model, rnnbench.session("numba", model, p.params))


@DTYPES
def test_cross_entropy_gradients(dtype):
    model = Model("lstm", 3, 11, 4, 1, True, "all", "float64")
    p = Problem(model, T=6, B=5, loss="cross-entropy", ragged=True)
    session = rnnbench.session("numba", replace(model, dtype=dtype), p.params, loss="cross-entropy")
    reference = rnnbench.session("numpy", model, p.params, loss="cross-entropy")
    loss, gradients = session.gradients(p.x, p.target, p.lengths)
    right, wanted = reference.gradients(p.x, p.target, p.lengths)
    assert loss == pytest.approx(right, rel=GRADIENT[dtype])
    assert max(relative_errors(gradients, wanted).values()) <= GRADIENT[dtype]


def flat_cross_entropy(prediction, target, lengths=None):
    """The compiled one, on what `loss_and_gradient` takes."""
    gradient, value, stop = np.empty_like(prediction), np.zeros(1), np.array([0, 1])
    prediction, target = np.ascontiguousarray(prediction), np.ascontiguousarray(target)
    held = np.array([array.ctypes.data for array in (prediction, target, gradient)])
    slots = dict(zip(("prediction", "target", "gradient"), (Slot(held[n:].ctypes.data) for n in range(3)), strict=True))
    sizes = {"B": target.shape[-1], "rows": target.size, "outputs": prediction.shape[-1]}
    args = record(LossArgs(lengths=lengths, value=value, stop=stop, **slots, **sizes))
    common("cross-entropy", prediction.dtype.name)(args.address)
    return value[0], gradient


@DTYPES
@pytest.mark.parametrize("classes", [1, 2, 3, 9, 33])
@pytest.mark.parametrize("scale", [1.0, 1e4], ids=["usual", "far apart"])
def test_cross_entropy_of_any_number_of_classes(dtype, classes, scale):
    rng = np.random.default_rng(classes)
    prediction = (scale * rng.standard_normal((5, 4, classes))).astype(dtype)
    target, lengths = rng.integers(0, classes, (5, 4)), np.array([5, 1, 3, 5])
    target[3:, 1] = 99  # past a row's length anything may stand
    for given in (lengths, None):
        clean = target if given is not None else target % classes
        value, gradient = flat_cross_entropy(prediction, clean, given)
        right, wanted = loss_and_gradient("cross-entropy", prediction.astype(np.float64), clean, given)
        assert value == pytest.approx(right, rel=GRADIENT[dtype], abs=GRADIENT[dtype])
        np.testing.assert_allclose(gradient, wanted, rtol=0, atol=GRADIENT[dtype])


def test_cross_entropy_keeps_nan_and_names_what_is_no_class():
    prediction, target = np.zeros((3, 4), np.float32), np.array([0, 3, 1])
    prediction[1, 2] = np.nan
    assert np.isnan(flat_cross_entropy(prediction, target)[0])
    model = Model("gru", 2, 3, 4)
    session = rnnbench.session("numba", model, model.init(0), loss="cross-entropy")
    with pytest.raises(UsageError, match=r"must lie in 0\.\.3; got 1\.\.4"):
        session.train_step(np.zeros((5, 2, 2)), np.array([1, 4]))
    with pytest.raises(UsageError, match="must be class indices"):
        session.train_step(np.zeros((5, 2, 2)), np.array([1.0, 2.0]))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_step_refused_for_its_target_changes_nothing(threads, monkeypatch):
    """The program ends at the loss, in every thread, and the next one is whole."""
    monkeypatch.setattr(partition, "OPERATIONS_WORTH_A_THREAD", 1)
    model = Model("gru", 2, 40, 4)
    x, right, wrong = np.ones((5, 4, 2), np.float32), np.array([1, 2, 0, 3]), np.array([1, 2, 0, 4])
    params = model.init(0)
    session, untouched = (
        rnnbench.session("numba", model, params, threads=threads, loss="cross-entropy") for _ in range(2)
    )
    session.train_step(x, right)
    untouched.train_step(x, right)
    for _ in range(3):
        with pytest.raises(UsageError, match=r"must lie in 0\.\.3"):
            session.train_step(x, wrong)
    for name, value in untouched.parameters().items():
        np.testing.assert_array_equal(session.parameters()[name], value)
    assert session.train_step(x, right) == untouched.train_step(x, right)
    for name, value in untouched.parameters().items():
        np.testing.assert_array_equal(session.parameters()[name], value)


@DTYPES
def test_steps_joined_are_the_sequence(cell_id, dtype):
    p, model = problem(cell_id, dtype, (12, 3, 4, 17, 2, False, "all", True, False))
    session = rnnbench.session("numba", model, p.params)
    x = p.x.astype(dtype)
    whole, final = session.forward(x)
    state, outputs = None, []
    for x_t in x:
        y_t, state = session.step(x_t, state)
        outputs.append(y_t.copy())
    np.testing.assert_allclose(np.stack(outputs), whole, rtol=0, atol=FORWARD[dtype] * np.abs(whole).max())
    for stepped, wanted in zip(state, final, strict=True):
        np.testing.assert_allclose(stepped, wanted, rtol=0, atol=FORWARD[dtype] * np.abs(wanted).max())


def test_a_step_updates_the_state_it_returned_in_place():
    model = Model("lstm", 2, 8, 1)
    session = rnnbench.session("numba", model, model.init(0))
    _, state = session.step(np.ones((1, 2), "float32"), None)
    _, again = session.step(np.ones((1, 2), "float32"), state)
    assert again[0].ctypes.data == state[0].ctypes.data


def test_a_step_leaves_a_state_that_is_not_its_own_alone():
    model = Model("lstm", 2, 8, 1)
    session = rnnbench.session("numba", model, model.init(0))
    x = np.ones((3, 1, 2), "float32")
    _, state = session.forward(x)
    before = [s.copy() for s in state]
    session.step(x[0], state)
    session.step(x[0], tuple(reversed(state)))
    for now, then in zip(state, before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_sequence_that_begins_makes_no_plan_and_leaves_the_one_before_alone(layers, monkeypatch):
    model = Model("lstm", 2, 5, 1, layers=layers)
    session, reference = (rnnbench.session(backend, model, model.init(0)) for backend in ("numba", "numpy"))
    x = np.random.default_rng(0).standard_normal((4, 3, 2)).astype(np.float32)
    before = expected = None
    for x_t in x[:3]:
        _, before = session.step(x_t, before)
        _, expected = reference.step(x_t, expected)
    monkeypatch.setattr(Planner, "plan", None)
    session.step(x[3], None)
    y, _ = session.step(x[3], before)
    np.testing.assert_allclose(y, reference.step(x[3], expected)[0], rtol=1e-5)


def test_a_bidirectional_model_cannot_stream():
    model = Model("gru", 2, 8, 1, bidirectional=True)
    with pytest.raises(rnnbench.Unsupported, match="whole sequence"):
        rnnbench.session("numba", model, model.init(0)).step(np.ones((1, 2), "float32"), None)


def parts(session, T, B):
    """Return into how many parts a session divides the rows, and the units."""
    plan = session._planner.plan(T, B, None)
    return len(plan.rows), plan.launches.by_units


@pytest.mark.slow
@DTYPES
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("shared", ["rows", "units"])
def test_work_split_over_threads_gives_the_same(cell_id, dtype, shared, ragged, monkeypatch):
    monkeypatch.setattr(partition, "OPERATIONS_WORTH_A_THREAD", 1)
    monkeypatch.setattr(partition, "COST_OF_SHARING_UNITS", -1 if shared == "units" else 1)
    p, model = problem(cell_id, dtype, (6, 8, 3, 96, 2, True, "all", True, ragged))
    session = rnnbench.session("numba", model, p.params, threads=3)
    assert parts(session, 6, 8) == ((3, 1) if shared == "rows" else (1, 3))
    check(p, model, session)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity") or os.cpu_count() == 1, reason="needs cores to choose from")
def test_other_threads_keep_off_the_caller_s_core(monkeypatch):
    """Woken after a pause, one would run there, and both would take longer than one thread does."""
    monkeypatch.setattr(partition, "OPERATIONS_WORTH_A_THREAD", 1)
    cores = os.sched_getaffinity(0)
    model, x = Model("gru", 3, 40), np.zeros((5, 4, 3), np.float32)
    session = rnnbench.session("numba", model, model.init(0), threads=2)
    for core in sorted(cores)[:2]:  # the caller moves
        monkeypatch.setattr(thread_team, "_core", lambda core=core: core)
        session.forward(x)
        (other,) = session._team._threads
        assert os.sched_getaffinity(other.native_id) == cores - {core}


def test_threads_without_cores_of_their_own_still_meet(monkeypatch):
    """A thread that waits for one that has no core gives its own up, so the wait is no deadlock."""
    monkeypatch.setattr(partition, "OPERATIONS_WORTH_A_THREAD", 1)
    model = Model("lstm", 3, 200, readout="all")
    params, x = model.init(0), np.random.default_rng(0).standard_normal((20, 1, 3)).astype("float32")
    wanted = rnnbench.session("numba", model, params).forward(x)[0]
    session = rnnbench.session("numba", model, params, threads=5)
    assert parts(session, 20, 1) == (1, 5)
    np.testing.assert_array_equal(session.forward(x)[0], wanted)


def test_sizes_may_change_from_call_to_call():
    """Scratch memory is kept between calls: one of another size, or with lengths, must not see what was left there."""
    model = Model("lstm", 3, 17, 2, layers=2, bidirectional=True, readout="all")
    params = model.init(0)
    session = rnnbench.session("numba", model, params)
    rng = np.random.default_rng(0)
    for T, B in [(5, 9), (1, 1), (7, 2), (5, 9), (3, 40), (7, 2)]:
        x, lengths = rng.standard_normal((T, B, 3)).astype("float32"), rng.integers(1, T + 1, B)
        for given in (None, lengths):
            fresh = rnnbench.session("numba", model, params)
            np.testing.assert_array_equal(session.forward(x, given)[0], fresh.forward(x, given)[0])
            target = rng.standard_normal((T, B, 2))
            kept, new = session.gradients(x, target, given)[1], fresh.gradients(x, target, given)[1]
            for name, value in new.items():
                np.testing.assert_array_equal(kept[name], value)


def test_a_call_with_nan_leaves_nothing_to_the_next():
    """One row and a wide input put x · W where, in a call of more rows, the states' padding lies."""
    model = Model("lstm", 16, 17, readout="all")
    params, rng = model.init(0), np.random.default_rng(0)
    x, target = rng.standard_normal((6, 8, 16)).astype("float32"), rng.standard_normal((6, 8, 17))
    session = rnnbench.session("numba", model, params)
    session.forward(np.full((24, 1, 16), np.nan, "float32"))
    found, wanted = (s.gradients(x, target)[1] for s in (session, rnnbench.session("numba", model, params)))
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value)


def test_a_call_without_memory_leaves_the_session_whole(monkeypatch):
    model = Model("lstm", 3, 40)
    params, x, target = model.init(0), np.ones((9, 4, 3), np.float32), np.ones((4, 40))
    session = rnnbench.session("numba", model, params)
    session.gradients(x[:2], target)
    buffer = workspace.Workspace.buffer

    def full(space, name, shape):
        if name == "dlast":
            raise MemoryError
        return buffer(space, name, shape)

    for _ in range(2):
        with monkeypatch.context() as once:
            once.setattr(workspace.Workspace, "buffer", full)
            with pytest.raises(MemoryError):
                session.gradients(x, target)
    fresh = rnnbench.session("numba", model, params)
    for sequence in (x[:2], x):
        found, wanted = (s.gradients(sequence, target)[1] for s in (session, fresh))
        for name, value in wanted.items():
            np.testing.assert_array_equal(found[name], value)


def test_an_interrupt_at_the_end_of_a_step_leaves_a_whole_step(monkeypatch):
    """Ctrl-C reaches Python when the kernels are done: what was trained is what is used and counted."""
    model = Model("gru", 3, 20, 2)
    params, x, target = model.init(0), np.ones((5, 4, 3), np.float32), np.ones((4, 2))
    session, other = (rnnbench.session("numba", model, params) for _ in range(2))
    session.forward(x)
    run = session._team.run

    def interrupted(program):
        run(program)
        raise KeyboardInterrupt

    with monkeypatch.context() as once:
        once.setattr(session._team, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            session.train_step(x, target)
    other.train_step(x, target)
    np.testing.assert_array_equal(session.forward(x)[0], other.forward(x)[0])
    assert session.train_step(x, target) == other.train_step(x, target)
    np.testing.assert_array_equal(session.forward(x)[0], other.forward(x)[0])


def test_read_only_strided_and_foreign_inputs():
    model = Model("gru", 3, 9, 2)
    session = rnnbench.session("numba", model, model.init(0))
    x = np.random.default_rng(0).standard_normal((5, 4, 3)).astype("float32")
    wanted = session.forward(x)[0]
    frozen = x.copy()
    frozen.flags.writeable = False
    wide = np.zeros((5, 8, 6), "float32")
    wide[:, ::2, ::2] = x
    for given in (frozen, wide[:, ::2, ::2], x.astype(">f4"), np.asfortranarray(x)):
        np.testing.assert_array_equal(session.forward(given)[0], wanted)


def test_nan_in_a_valid_step_stays_in_its_row():
    model = Model("lstm", 2, 9, 1)
    session = rnnbench.session("numba", model, model.init(0))
    x = np.ones((4, 3, 2), "float32")
    x[1, 1, 0] = np.nan
    y, _ = session.forward(x)
    np.testing.assert_array_equal(np.isnan(y[:, 0]), [False, True, False])


@pytest.mark.parametrize("recurrent", ["lstm", "gru"])
def test_fifty_steps_of_training_follow_the_reference(recurrent):
    """Adam, clipping and the batch order included: the two loss curves in float64 differ by rounding alone."""
    task = registry().task("adding")
    data = task.data(0)
    some = Split(data.train.x[:, :200], data.train.target[:200])
    model = Model(recurrent, task.input_size, 16, task.output_size, dtype="float64")
    curves = {}
    for backend in ("numpy", "numba"):
        session = rnnbench.session(backend, model, model.init(0), optimiser=task.budget.optimiser)
        progress = Progress()
        train(session, batches(some, 16, seed=0), 50, progress)
        curves[backend] = np.array(progress.losses)
    assert curves["numba"][-1] != curves["numba"][0]
    np.testing.assert_allclose(curves["numba"], curves["numpy"], rtol=1e-9)


@DTYPES
def test_training_returns_parameters_in_canonical_layout(dtype):
    model = Model("gru-before", 3, 9, 2, layers=2, bidirectional=True, dtype=dtype)
    p, _ = problem("gru-before", dtype, (5, 6, 3, 9, 2, True, "last", True, True))
    target = np.zeros((6, 2))
    one, other = (rnnbench.session(name, replace(model, dtype=dtype), model.init(1)) for name in ("numba", "numpy"))
    for _ in range(3):
        one.train_step(p.x, target, p.lengths)
        other.train_step(p.x, target, p.lengths)
    trained, wanted = one.parameters(), other.parameters()
    assert {name: value.shape for name, value in trained.items()} == model.parameter_shapes()
    # Adam divides by the root of the squared gradient, so rounding errors of tiny gradients grow: 1e-3 of each
    # of three steps.
    atol = 1e-12 if dtype == "float64" else 3e-6
    for name, value in wanted.items():
        np.testing.assert_allclose(trained[name], value, rtol=0, atol=atol)
        assert not np.array_equal(value, model.init(1)[name]), "training changed every tensor"
    trained["head.b"][:] = 7
    assert not np.array_equal(one.parameters()["head.b"], trained["head.b"]), "parameters() gives copies"


def test_a_model_survives_its_own_description():
    model = Model("lstm", 2, 3, 1)
    assert Model(**asdict(model)) == model


def test_the_backend_s_face_is_light():
    """The registry imports it in processes that compute nothing."""
    code = "import sys, rnnbench.backends.numba_cpu; sys.exit('numpy' in sys.modules or 'numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
