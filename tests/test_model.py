"""A model's parameters: names, shapes, counts that others publish, initial values, and what is refused."""

import dataclasses

import numpy as np
import pytest

from rnnbench.errors import UnknownName, UsageError
from rnnbench.model import Model
from rnnbench.registry import registry


def lstm(**choices: object) -> Model:
    return Model(**({"cell": "lstm", "input_size": 3, "hidden_size": 5} | choices))


# ---- names, shapes, counts -------------------------------------------------------------------------------------------


def test_canonical_names_and_shapes():
    model = lstm(output_size=2, layers=2, bidirectional=True)
    first, second = {"W": (4, 5, 3), "R": (4, 5, 5), "b": (4, 5)}, {"W": (4, 5, 10), "R": (4, 5, 5), "b": (4, 5)}
    expected = {
        f"layers.{layer}.{side}.{kind}": shape
        for layer, shapes in enumerate((first, second))
        for side in ("forward", "reverse")
        for kind, shape in shapes.items()
    }
    expected |= {"head.W": (2, 10), "head.b": (2,)}
    assert list(model.parameter_shapes().items()) == list(expected.items())  # the order is part of it
    assert (model.directions, model.features) == (2, 10)


def test_a_cell_without_recurrent_products_has_no_R():
    assert Model("mingru", 3, 5).parameter_shapes() == {
        "layers.0.forward.W": (2, 5, 3),
        "layers.0.forward.b": (2, 5),
    }


def test_layers_and_directions_come_in_the_order_of_a_state():
    assert lstm(layers=2, bidirectional=True).prefixes() == [
        (0, False, "layers.0.forward."),
        (0, True, "layers.0.reverse."),
        (1, False, "layers.1.forward."),
        (1, True, "layers.1.reverse."),
    ]


@pytest.mark.parametrize(
    ("model", "canonical", "two_bias"),
    [
        # Keras: LSTM(50) on one input has 10,400, Dense(1) on it 51.
        (Model("lstm", 1, 50, 1), 10_451, 10_651),
        # Keras: SimpleRNN(50) 2,600; GRU(50) has 7,950, and 7,800 with reset_after=False.
        (Model("rnn-tanh", 1, 50), 2_600, 2_650),
        (Model("gru", 1, 50), 7_850, 7_950),
        (Model("gru-before", 1, 50), 7_800, 7_950),
        # torch: nn.LSTM(128, 256) has 395,264; nn.GRU(128, 256) 296,448; nn.RNN(128, 256) 98,816.
        (Model("lstm", 128, 256), 394_240, 395_264),
        (Model("gru", 128, 256), 295_936, 296_448),
        (Model("rnn-relu", 128, 256), 98_560, 98_816),
        # minGRU has two Linear(I, H), each with the one bias.
        (Model("mingru", 64, 128), 16_640, 16_640),
    ],
)
def test_counts_that_others_publish(model, canonical, two_bias):
    assert (model.count_parameters(), model.count_parameters(two_bias=True)) == (canonical, two_bias)


@pytest.mark.parametrize(("cell", "gates"), [("rnn-tanh", 1), ("lstm", 4), ("gru", 3)])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("sides", [1, 2])
def test_two_bias_counts_are_those_of_torch(cell, gates, layers, sides):
    I, H, O = 7, 11, 2
    stack = sum(sides * gates * H * ((I if layer == 0 else sides * H) + H + 2) for layer in range(layers))
    model = Model(cell, I, H, O, layers=layers, bidirectional=sides == 2)
    assert model.count_parameters(two_bias=True) == stack + O * (sides * H + 1)


def test_counts_are_what_init_makes(cell_id):
    model = Model(cell_id, 3, 5, 2, layers=2, bidirectional=True)
    assert model.count_parameters() == sum(value.size for value in model.init(0).values())


def test_two_biases_are_one_for_each_row_of_W_and_of_R(cell_id):
    model, H = Model(cell_id, 3, 5, 2, layers=2, bidirectional=True), 5
    sizes = {name: int(np.prod(shape)) for name, shape in model.parameter_shapes().items()}
    matrices = sum(size for name, size in sizes.items() if name[-1] in "WR")
    cell = model.spec
    rows = (len(cell.w_accumulators) + len(cell.r_accumulators)) * H * 4
    vectors = sum(not a.sees_x and a.operand is None for a in cell.accumulators) * H * 4
    assert model.count_parameters(two_bias=True) == matrices + rows + vectors + sizes["head.b"]


# ---- initial values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recurrent", ["uniform", "orthogonal"])
def test_init_depends_on_the_seed_alone_and_float32_is_float64_rounded(cell_id, recurrent):
    wide = Model(cell_id, 3, 5, 2, layers=2, dtype="float64")
    first, again, other = (wide.init(seed, recurrent) for seed in (7, 7, 8))
    narrow = dataclasses.replace(wide, dtype="float32").init(7, recurrent)
    assert list(first) == list(wide.parameter_shapes())
    for name, value in first.items():
        assert value.shape == wide.parameter_shapes()[name]
        assert value.flags.c_contiguous
        assert (value.dtype, narrow[name].dtype) == ("float64", "float32")
        np.testing.assert_array_equal(value, again[name])
        np.testing.assert_array_equal(narrow[name], value.astype("float32"))
        assert (value != other[name]).any()


def test_init_is_uniform_within_its_bounds():
    model = lstm(hidden_size=25, output_size=9, bidirectional=True, dtype="float64")
    for name, value in model.init(0).items():
        bound = 50**-0.5 if name.startswith("head.") else 0.2
        assert np.abs(value).max() <= bound
        if value.size > 200:  # a uniform variable's standard deviation is bound/√3; of 200 draws within 15 %
            assert value.std() == pytest.approx(bound / 3**0.5, rel=0.15)
            assert np.abs(value).max() > 0.95 * bound


def test_orthogonal_recurrent_matrices(cell_id):
    model = Model(cell_id, 3, 6, 2, layers=2, bidirectional=True, dtype="float64")
    plain, orthogonal = model.init(0), model.init(0, recurrent="orthogonal")
    for name, value in orthogonal.items():
        assert value.shape == plain[name].shape
        if not name.endswith(".R"):
            continue
        for matrix in value:
            np.testing.assert_allclose(matrix @ matrix.T, np.eye(6), rtol=0, atol=1e-14)
        assert len({matrix.tobytes() for matrix in value}) == len(value)  # each accumulator has its own


def test_orthogonal_matrices_are_spread_over_all_rotations():
    """QR alone prefers one sign on the diagonal; corrected (Mezzadri 2007) the entries average to zero."""
    model = Model("lstm", 1, 2, dtype="float64")
    corners = [model.init(seed, "orthogonal")["layers.0.forward.R"][:, 0, 0] for seed in range(100)]
    # 400 draws of cos(uniform angle), whose standard deviation is 0.71: the mean's is 0.035.
    assert abs(np.mean(corners)) < 0.14


def test_the_forget_bias_is_set_on_forget_gates_only():
    model = lstm(output_size=2, layers=2, bidirectional=True, dtype="float64")
    plain, opened = model.init(0), model.init(0, forget_bias=1.0)
    for name, value in opened.items():
        expected = plain[name].copy()
        if name.endswith(".b") and name != "head.b":
            expected[1] = 1.0  # i f g o
        np.testing.assert_array_equal(value, expected)


def test_a_cell_without_a_forget_gate_ignores_the_forget_bias():
    model = Model("gru", 3, 5, 2)
    plain, asked = model.init(0), model.init(0, forget_bias=1.0)
    for name, value in plain.items():
        np.testing.assert_array_equal(asked[name], value)


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["input_size", "hidden_size", "layers", "output_size"])
@pytest.mark.parametrize("value", [0, -1, 2.0, "3", True, np.nan])
def test_a_size_that_is_no_positive_whole_number(name, value):
    with pytest.raises(UsageError) as raised:
        lstm(**{name: value})
    assert str(raised.value) == f"{name} must be a whole number of at least 1; got {value!r}"


def test_a_numpy_integer_is_a_size():
    assert lstm(hidden_size=np.int64(4)).count_parameters() == lstm(hidden_size=4).count_parameters()


@pytest.mark.parametrize(
    ("choice", "line"),
    [
        ({"readout": "first"}, "readout must be one of last, all; got 'first'"),
        ({"readout": ["last"]}, "readout must be one of last, all; got ['last']"),
        ({"dtype": np.dtype("float32")}, "dtype must be one of float32, float64; got dtype('float32')"),
        ({"cell": 7}, "cell must be the id of a cell; got 7"),
        ({"bidirectional": "no"}, "bidirectional must be True or False; got 'no'"),
        ({"bidirectional": 1}, "bidirectional must be True or False; got 1"),
        ({"bidirectional": None}, "bidirectional must be True or False; got None"),
        ({"dtype": "float16"}, "dtype must be one of float32, float64; got 'float16'"),
        ({"cell": "lstn"}, "unknown cell 'lstn'; did you mean 'lstm'?"),
        ({"cell": "gru_before"}, "unknown cell 'gru_before'; did you mean 'gru-before'?"),
    ],
)
def test_an_unknown_name_is_one_line(choice, line):
    with pytest.raises(UsageError) as raised:
        lstm(**choice)
    assert str(raised.value) == line


def test_a_name_near_nothing_lists_what_there_is():
    with pytest.raises(UnknownName) as raised:
        lstm(cell="xyzzy")
    assert str(raised.value) == f"unknown cell 'xyzzy'; known: {', '.join(sorted(registry().cells))}"


def test_an_unknown_initialiser_is_one_line():
    with pytest.raises(UsageError, match="recurrent must be one of uniform, orthogonal; got 'identity'"):
        lstm().init(0, recurrent="identity")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"head.b": None}, "parameter 'head.b' is missing; Model.parameter_shapes() lists them all"),
        ({"extra": np.zeros(1)}, "parameter 'extra' is not one of this model's; Model.parameter_shapes() lists them"),
        ({"head.b": np.zeros(3)}, "parameter 'head.b' must be floating point (2,); got float64 (3,)"),
        ({"head.b": np.zeros(2, int)}, "parameter 'head.b' must be floating point (2,); got int64 (2,)"),
        ({"head.b": np.zeros(2, complex)}, "parameter 'head.b' must be floating point (2,); got complex128 (2,)"),
        (
            {"head.b": np.ma.masked_array(np.zeros(2), [True, False])},
            "parameter 'head.b' is a masked array, and no mask is read; fill it, and give lengths",
        ),
        ({"head.b": np.array([0, None])}, "parameter 'head.b' must be floating point (2,); got object (2,)"),
        (
            {"head.b": np.array([0, np.nan])},
            "parameter 'head.b' holds NaN or infinity in float32; check how it was made",
        ),
        (
            {"head.b": np.array([0, -np.inf])},
            "parameter 'head.b' holds NaN or infinity in float32; check how it was made",
        ),
        ({"head.b": np.array([0, 1e39])}, "parameter 'head.b' holds NaN or infinity in float32; check how it was made"),
    ],
)
def test_parameters_that_do_not_fit_name_the_tensor(change, line):
    model = lstm(output_size=2)
    params = {name: value for name, value in (model.init(0) | change).items() if value is not None}
    with pytest.raises(UsageError) as raised:
        model.check_params(params)
    assert str(raised.value) == line


@pytest.mark.parametrize("given", ["float16", "float64", ">f4", "fortran", "list"])
def test_parameters_are_brought_to_the_model_s_dtype_and_layout(given):
    model = lstm(output_size=2)
    params = model.init(0)
    if given == "fortran":
        changed = {name: np.asfortranarray(value) for name, value in params.items()}
    elif given == "list":
        changed = {name: value.tolist() for name, value in params.items()}
    else:
        changed = {name: value.astype(given) for name, value in params.items()}
    checked = model.check_params(changed)
    assert list(checked) == list(params)
    for name, value in checked.items():
        assert value.dtype == np.dtype("float32")
        assert value.dtype.isnative
        assert value.flags.c_contiguous
        expected = params[name].astype("float16") if given == "float16" else params[name]
        np.testing.assert_array_equal(value, expected)


def test_a_model_is_a_value():
    assert lstm() == lstm()
    assert hash(lstm()) == hash(lstm())
    assert lstm() != lstm(layers=2)
    assert Model(**lstm(output_size=2).as_dict()) == lstm(output_size=2)
