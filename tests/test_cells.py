"""Cells against their papers: formulas written again, unit by unit, in plain Python.

A gradient check cannot see a wrong formula whose derivative is right; these can.
"""

import math
import re
import sys
from dataclasses import replace

import numpy as np
import pytest

from rnnbench.backends.numpy_reference import NumpyBackend
from rnnbench.cells.maths import numpy_maths
from rnnbench.cells.spec import Accumulator, Cell, Stage
from rnnbench.model import Model, Params
from rnnbench.registry import registry

H, I, T = 2, 3, 4
Vector = list[float]
# A dozen float64 operations a step on values near 1, over four steps.
ROUNDING = 1e-14


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def dot(row: Vector, vector: Vector) -> float:
    return sum(a * b for a, b in zip(row, vector, strict=True))


class Scalars:
    """One layer's parameters as nested lists, looked up by the accumulator's name and the unit."""

    def __init__(self, cell: Cell, params: Params) -> None:
        def named(accumulators, kind):
            rows = params.get("layers.0.forward." + kind, np.empty((0,)))
            return {a.name: row.tolist() for a, row in zip(accumulators, rows, strict=True)}

        self.W, self.R = named(cell.w_accumulators, "W"), named(cell.r_accumulators, "R")
        self.b = named(cell.accumulators, "b")

    def x(self, name: str, k: int, x: Vector) -> float:
        return dot(self.W[name][k], x)

    def h(self, name: str, k: int, h: Vector) -> float:
        return dot(self.R[name][k], h)

    def both(self, name: str, k: int, x: Vector, h: Vector) -> float:
        return self.x(name, k, x) + self.h(name, k, h) + self.b[name][k]


def elman_tanh(p: Scalars, x: Vector, h: Vector) -> tuple[Vector]:
    """Elman 1990: h' = tanh(W x + R h + b)."""
    return ([math.tanh(p.both("h", k, x, h)) for k in range(H)],)


def elman_relu(p: Scalars, x: Vector, h: Vector) -> tuple[Vector]:
    """Le, Jaitly and Hinton 2015: h' = max(0, W x + R h + b)."""
    return ([max(0.0, p.both("h", k, x, h)) for k in range(H)],)


def lstm(p: Scalars, x: Vector, h: Vector, c: Vector) -> tuple[Vector, Vector]:
    """Gers, Schmidhuber and Cummins 2000, without peepholes."""
    new_h, new_c = [], []
    for k in range(H):
        i, f, o = (sigmoid(p.both(name, k, x, h)) for name in "ifo")
        new_c.append(c[k] * f + i * math.tanh(p.both("g", k, x, h)))
        new_h.append(o * math.tanh(new_c[k]))
    return new_h, new_c


def gru(p: Scalars, x: Vector, h: Vector) -> tuple[Vector]:
    """torch.nn.GRU's documentation: n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn)), h' = (1 − z) ⊙ n + z ⊙ h."""
    new = []
    for k in range(H):
        r, z = sigmoid(p.both("r", k, x, h)), sigmoid(p.both("z", k, x, h))
        n = math.tanh(p.x("n", k, x) + p.b["n"][k] + r * (p.h("q", k, h) + p.b["q"][k]))
        new.append((1 - z) * n + z * h[k])
    return (new,)


def gru_before(p: Scalars, x: Vector, h: Vector) -> tuple[Vector]:
    """ONNX GRU, linear_before_reset = 0: ht = g(Xt*(Wh^T) + (rt (.) Ht-1)*(Rh^T) + Rbh + Wbh)."""
    r = [sigmoid(p.both("r", k, x, h)) for k in range(H)]
    reset = [r[k] * h[k] for k in range(H)]
    z = [sigmoid(p.both("z", k, x, h)) for k in range(H)]
    n = [math.tanh(p.both("n", k, x, reset)) for k in range(H)]
    return ([(1 - z[k]) * n[k] + z[k] * h[k] for k in range(H)],)


def ugrnn(p: Scalars, x: Vector, h: Vector) -> tuple[Vector]:
    """Collins, Sohl-Dickstein and Sussillo 2016, eqs. 9-11: h' = g ⊙ h + (1 − g) ⊙ c."""
    new = []
    for k in range(H):
        c, g = math.tanh(p.both("n", k, x, h)), sigmoid(p.both("z", k, x, h))
        new.append(g * h[k] + (1 - g) * c)
    return (new,)


def mingru(p: Scalars, x: Vector, h: Vector) -> tuple[Vector]:
    """Feng et al. 2024: z = σ(Linear(x)), h~ = Linear(x), h' = (1 − z) ⊙ h + z ⊙ h~."""
    new = []
    for k in range(H):
        z, candidate = sigmoid(p.x("z", k, x) + p.b["z"][k]), p.x("n", k, x) + p.b["n"][k]
        new.append((1 - z) * h[k] + z * candidate)
    return (new,)


FORMULAS = {
    "rnn-tanh": elman_tanh,
    "rnn-relu": elman_relu,
    "lstm": lstm,
    "gru": gru,
    "gru-before": gru_before,
    "ugrnn": ugrnn,
    "mingru": mingru,
}


def small(cell: str) -> Model:
    return Model(cell=cell, input_size=I, hidden_size=H, readout="all", dtype="float64")


def drawn(model: Model, seed: int = 0) -> tuple[Params, np.ndarray, tuple[np.ndarray, ...]]:
    """Random parameters, x [T, 1, I] and initial states [1, 1, H]."""
    rng = np.random.default_rng(seed)
    params = {name: rng.uniform(-1, 1, shape) for name, shape in model.parameter_shapes().items()}
    states = tuple(rng.uniform(-1, 1, (1, 1, H)) for _ in model.spec.states)
    return params, rng.standard_normal((T, 1, I)), states


def run(model: Model, params: Params, x: np.ndarray, states: tuple[np.ndarray, ...]) -> np.ndarray:
    return NumpyBackend(1).session(model, params).forward(x, state=states)[0]


@pytest.mark.parametrize("cell", FORMULAS)
@pytest.mark.parametrize("seed", range(3))
def test_the_cell_is_what_its_paper_says(cell, seed):
    model = small(cell)
    params, x, states = drawn(model, seed)
    y, final = NumpyBackend(1).session(model, params).forward(x, state=states)
    scalars, state = Scalars(model.spec, params), tuple(s[0, 0].tolist() for s in states)
    for step in range(T):
        state = FORMULAS[cell](scalars, x[step, 0].tolist(), *state)
        np.testing.assert_allclose(y[step, 0], state[0], rtol=0, atol=ROUNDING)
    for value, expected in zip(final, state, strict=True):
        np.testing.assert_allclose(value[0, 0], expected, rtol=0, atol=ROUNDING)


# ---- the two GRUs, and the one that is none --------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["gru", "gru-before", "ugrnn"])
def test_negating_the_update_block_gives_the_other_convention(cell):
    """Cho et al. v3 and Chung et al. write h' = (1 − z) ⊙ h + z ⊙ n."""
    model = small(cell)
    params, x, states = drawn(model)
    rows = {"W": model.spec.w_accumulators, "R": model.spec.r_accumulators, "b": model.spec.accumulators}
    negated = {name: value.copy() for name, value in params.items()}
    for kind, accumulators in rows.items():
        negated["layers.0.forward." + kind][[a.name for a in accumulators].index("z")] *= -1
    ours, theirs = run(model, params, x[:1], states), run(model, negated, x[:1], states)
    # z·h + (1−z)·n and (1−z)·h + z·n add up to h + n, so n follows from either and has to be the same tanh.
    n = ours + theirs - states[0]
    scalars = Scalars(model.spec, params)
    for k in range(H):
        z = sigmoid(scalars.both("z", k, x[0, 0].tolist(), states[0][0, 0].tolist()))
        assert theirs[0, 0, k] == pytest.approx((1 - z) * states[0][0, 0, k] + z * n[0, 0, k], abs=ROUNDING)


def as_gru(before: Params) -> Params:
    """A gru's parameters from a gru-before's: the candidate's R becomes that of q, whose own bias is zero."""
    name = "layers.0.forward.b"
    return before | {name: np.concatenate([before[name], np.zeros((1, H))])}


@pytest.mark.parametrize(("reset_bias", "agree"), [(50.0, True), (0.0, False)])
def test_the_two_grus_agree_only_while_the_reset_gate_is_open(reset_bias, agree):
    model = small("gru-before")
    params, x, states = drawn(model)
    params["layers.0.forward.b"][0] = reset_bias  # σ(50) is 1 to within 2e-22
    params["layers.0.forward.b"][2] = 0.3
    before, after = run(model, params, x, states), run(small("gru"), as_gru(params), x, states)
    assert np.allclose(before, after, rtol=0, atol=ROUNDING) is agree


def test_a_gru_that_ignores_its_reset_gate_is_a_ugrnn():
    model = small("gru-before")
    params, x, states = drawn(model)
    params["layers.0.forward.b"][0] = 50.0
    without_reset = {name: value[1:] for name, value in params.items()}
    y = run(small("ugrnn"), without_reset, x, states)
    np.testing.assert_allclose(run(model, params, x, states), y, rtol=0, atol=ROUNDING)


# ---- the canonical layout --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "states", "W", "R", "b"),
    [
        ("rnn-tanh", "h", "h", "h", "h"),
        ("rnn-relu", "h", "h", "h", "h"),
        ("lstm", "hc", "ifgo", "ifgo", "ifgo"),
        ("gru", "h", "rzn", "rzq", "rznq"),
        ("gru-before", "h", "rzn", "rzn", "rzn"),
        ("ugrnn", "h", "zn", "zn", "zn"),
        ("mingru", "h", "zn", "", "zn"),
    ],
)
def test_the_canonical_order_of_rows(cell, states, W, R, b):
    spec = registry().cell(cell)
    assert spec.states == tuple(states)
    for accumulators, names in ((spec.w_accumulators, W), (spec.r_accumulators, R), (spec.accumulators, b)):
        assert [a.name for a in accumulators] == list(names)


@pytest.mark.parametrize(
    ("cell", "counts"), [("lstm", (5,)), ("gru", (4,)), ("gru-before", (1, 2)), ("rnn-tanh", (1,)), ("mingru", (2,))]
)
def test_saved_values_are_counted_by_running_the_pair(cell, counts):
    assert registry().cell(cell).saved_counts == counts


def test_every_cell_names_itself_and_its_source(cell_id):
    cell = registry().cell(cell_id)
    assert cell.id == cell_id
    assert cell.title
    assert cell.source


def test_every_cell_s_file_begins_with_its_formula_and_source(cell_id):
    """Every accumulator with just the W, R and b that the data give it, every state, and the first author."""
    cell = registry().cell(cell_id)
    text = sys.modules[cell.stages[0].pair.__module__].__doc__
    for a in cell.accumulators:
        assert (f"W_{a.name} x" in text, f"R_{a.name} " in text) == (a.sees_x, a.operand is not None)
        assert f"b_{a.name}" in text
        assert re.search(rf"\b{a.name}'? = ", text)
    for state in cell.states:
        assert f"{state}' = " in text
    assert cell.source.split()[0] in text


def test_every_pair_is_elementwise_and_keeps_the_dtype(cell_id):
    """Arrays, and single float32 scalars, give the same values: nothing mixes units, nothing widens."""
    cell, rng = registry().cell(cell_id), np.random.default_rng(0)
    m = numpy_maths(np.dtype("float32"))
    for stage in cell.stages:
        forward, backward = stage.pair(m)
        pre = tuple(rng.standard_normal(4, np.float32) for _ in stage.accumulators)
        prev = tuple(rng.standard_normal(4, np.float32) for _ in cell.states)
        result, saved = forward(pre, prev)
        dresult = tuple(rng.standard_normal(4, np.float32) for _ in result)
        groups = (result, saved, *backward(saved, prev, dresult))
        for unit in range(4):
            alone = forward(tuple(v[unit] for v in pre), tuple(v[unit] for v in prev))
            back = backward(alone[1], tuple(v[unit] for v in prev), tuple(v[unit] for v in dresult))
            for whole, single in zip(groups, (*alone, *back), strict=True):
                for value, expected in zip(whole, single, strict=True):
                    assert np.asarray(value).dtype == np.asarray(expected).dtype == np.float32
                    # NumPy's vectorised exp and tanh may round the last bit otherwise than its scalar ones.
                    np.testing.assert_allclose(np.broadcast_to(value, 4)[unit], expected, rtol=1e-5, atol=1e-6)


# ---- a cell that cannot be -------------------------------------------------------------------------------------------


A_STAGE = Stage((Accumulator("h"),), lambda m: registry().cell("rnn-tanh").stages[0].pair(m))
FINE = Cell("toy", "Toy", ("h",), (A_STAGE,), "nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stages": ()}, "needs a stage with an accumulator"),
        ({"stages": (Stage((), A_STAGE.pair),)}, "needs a stage with an accumulator"),
        ({"states": ()}, "its first state must be 'h'"),
        ({"states": ("c", "h")}, "its first state must be 'h'"),
        ({"stages": (Stage((Accumulator("a", operand="x"),), A_STAGE.pair),)}, "'a' cannot multiply 'x'"),
        ({"stages": (Stage((Accumulator("a", operand="stage"),), A_STAGE.pair),)}, "'a' cannot multiply 'stage'"),
        ({"stages": (A_STAGE, A_STAGE)}, "names an accumulator twice"),
    ],
)
def test_a_malformed_cell_names_itself_and_its_fault(change, message):
    with pytest.raises(ValueError, match=message) as raised:
        replace(FINE, **change)
    assert "'toy'" in str(raised.value)


# ---- the gate functions ----------------------------------------------------------------------------------------------

REACH = np.array([-1e30, -1000.0, -90.0, -1.5, 0.0, 1e-6, 1.5, 90.0, 1000.0, 1e30])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gate_functions_hold_at_every_magnitude(dtype):
    """Warnings are errors here, so this also says that no overflow reaches the user."""
    m, x = numpy_maths(np.dtype(dtype)), REACH.astype(dtype)
    roundoff = float(np.finfo(dtype).eps)

    def exact_sigmoid(v: float) -> float:
        return sigmoid(v) if v > -700 else 0.0

    for function, exact in ((m.sigmoid, exact_sigmoid), (m.tanh, math.tanh), (m.relu, lambda v: max(0.0, v))):
        value = function(x)
        assert value.dtype == dtype
        expected = [exact(float(v)) for v in x]
        np.testing.assert_allclose(value, expected, rtol=4 * roundoff, atol=float(np.finfo(dtype).tiny))
    assert m.zero.dtype == m.one.dtype == dtype
    assert (m.zero, m.one) == (0, 1)


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu"])
def test_derivatives_take_outputs(name):
    m, x = numpy_maths(np.dtype("float64")), np.array([-3.0, -0.4, 0.2, 1.0, 5.0])
    function, derivative = getattr(m, name), getattr(m, "d_" + name)
    # 1 − t² cancels as t nears 1, so its error is absolute: that of numbers near 1.
    np.testing.assert_allclose(derivative(function(x)), function(x + 1e-30j).imag / 1e-30, rtol=0, atol=5e-16)


def test_nan_is_not_hidden_by_a_gate():
    m = numpy_maths(np.dtype("float64"))
    for function in (m.sigmoid, m.tanh, m.relu):
        assert np.isnan(function(np.array([np.nan]))).all()


def test_the_operands_of_a_stage_name_its_accumulators_and_their_rows() -> None:
    cell = registry().cell("gru-before")
    operands = [cell.operands(stage) for stage in cell.stages]
    assert [[operand.places for operand in stage] for stage in operands] == [[(0,), (0,), ()], [(0, 1), (0,), (1,)]]
    assert [[operand.rows for operand in stage] for stage in operands] == [[(0,), (0,), ()], [(1, 2), (1,), (2,)]]
