"""A torch state_dict as .safetensors, without a word on its model: what its names and shapes tell, and what not."""

import numpy as np
import pytest
from safetensors.numpy import save_file

import rnnbench
from rnnbench.cli import main
from rnnbench.weights.state_dict import from_state_dict, to_state_dict

I, H, O = 3, 5, 2


def written(tmp_path, model, recurrent="", head="head.", **more):
    """What `safetensors.torch.save_file(module.state_dict())` writes; more: further tensors, or None for one less."""
    state = to_state_dict(model, model.init(1), recurrent, head) | more
    path = tmp_path / "net.safetensors"
    save_file({name: value for name, value in state.items() if value is not None}, path, {"format": "pt"})
    return path


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("layers", "both", "head"), [(1, False, None), (2, True, O), (3, False, O)])
def test_the_model_is_told_by_names_and_shapes(cell, dtype, layers, both, head, tmp_path):
    model = rnnbench.Model(cell, I, H, head, layers, both, dtype=dtype)
    found = rnnbench.load_weights(written(tmp_path, model, "encoder.rnn.", "classifier."))
    assert found.model == model
    for name, value in model.init(1).items():
        assert found.params[name].tobytes() == value.tobytes()


@pytest.mark.parametrize("cell", ["rnn-tanh", "rnn-relu"])
def test_an_rnn_s_nonlinearity_is_asked_for(cell, tmp_path):
    model = rnnbench.Model(cell, I, H, O)
    path = written(tmp_path, model)
    with pytest.raises(rnnbench.UsageError, match="name the cell: --cell rnn-tanh or --cell rnn-relu"):
        rnnbench.load_weights(path)
    assert rnnbench.load_weights(path, cell).model == model


def test_a_layer_without_biases_has_biases_of_zero(tmp_path):
    model = rnnbench.Model("lstm", I, H)
    path = written(tmp_path, model, bias_ih_l0=None, bias_hh_l0=None)
    assert not rnnbench.load_weights(path).params["layers.0.forward.b"].any()


def test_two_biases_of_a_gate_are_one_and_those_of_a_candidate_stay_two():
    model = rnnbench.Model("gru", I, H, dtype="float64")
    state = to_state_dict(model, model.init(0))
    rng = np.random.default_rng(0)
    one, two = (rng.standard_normal((3, H)) for _ in range(2))
    found = from_state_dict(model, state | {"bias_ih_l0": one.ravel(), "bias_hh_l0": two.ravel()})
    expected = np.stack([one[0] + two[0], one[1] + two[1], one[2], two[2]])
    np.testing.assert_array_equal(found["layers.0.forward.b"], expected)


def floats(*shape, dtype="float32"):
    return np.zeros(shape, dtype)


LSTM = rnnbench.Model("lstm", I, H, O)
STRANGE = {
    "a second module": ({"other.weight_ih_l0": floats(4 * H, I)}, "it holds 2 recurrent modules ('', 'other.')"),
    "a second head": ({"norm.weight": floats(H)}, "'norm.weight' besides; one linear layer is understood"),
    "a projection": ({"weight_hr_l0": floats(2, H)}, "has a projection (proj_size)"),
    "another operator": ({"weight_ih_l0": floats(2 * H, I), "weight_hh_l0": floats(2 * H, H)}, "has 2 gates; nn.LSTM"),
    "half precision": ({"head.bias": floats(O, dtype="float16")}, "its tensors are float16 and float32; all float32"),
    "misfit": ({"weight_hh_l0": floats(4 * H, H + 1)}, "which no layer of torch's has"),
    "a missing tensor": ({"weight_hh_l0": None}, "(20, 3) and nothing"),
    "a layer in one direction": ({"weight_ih_l0_reverse": floats(4 * H, I)}, "has no 'weight_hh_l0_reverse'"),
    "a layer left out": ({"weight_ih_l2": floats(4 * H, I)}, "'weight_ih_l2' has no place in this model"),
    "a head of another size": ({"head.weight": floats(O, H + 2)}, "'head.weight' must be (2, 5) for this model"),
}


@pytest.mark.parametrize(("more", "expected"), STRANGE.values(), ids=STRANGE)
def test_what_is_not_understood_is_named_in_one_line(more, expected, tmp_path):
    with pytest.raises(rnnbench.UsageError) as caught:
        rnnbench.load_weights(written(tmp_path, LSTM, **more))
    assert expected in str(caught.value)
    assert "net.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cell_that_is_not_the_file_s(tmp_path):
    path = written(tmp_path, LSTM)
    with pytest.raises(rnnbench.UsageError, match="has 4 gates a step, so it is lstm, not gru"):
        rnnbench.load_weights(path, "gru")


def test_what_may_be_an_embedding_is_asked_for(tmp_path):
    """Of one size with the features: nothing but the user tells an embedding before the layer from a head after it."""
    square = rnnbench.Model("lstm", H, H, 50)
    state = to_state_dict(square, square.init(1), "lstm.", "embedding.")
    del state["embedding.bias"]
    path = tmp_path / "net.safetensors"
    save_file(state, path, {"format": "pt"})
    with pytest.raises(rnnbench.UsageError, match=r"may be an embedding before .* metadata=\{'head': 'embedding'\}"):
        rnnbench.load_weights(path)
    save_file(state, path, {"format": "pt", "head": "embedding"})
    assert rnnbench.load_weights(path).model == square


def test_a_layer_that_comes_before_is_not_a_head(tmp_path):
    path = written(tmp_path, LSTM, **{"head.weight": floats(I, 7), "head.bias": floats(I)})
    with pytest.raises(rnnbench.UsageError, match=r"'head.weight' \(3, 7\) comes before the recurrent layer"):
        rnnbench.load_weights(path)


def test_what_is_taken_of_a_state_dict_is_said_unless_the_file_says_it(tmp_path):
    state = to_state_dict(LSTM, LSTM.init(1), "rnn.", "fc.")
    path = tmp_path / "net.safetensors"
    save_file(state, path)
    (remark,) = rnnbench.load_weights(path).remarks
    assert "taken: fc, on the final state" in remark
    for readout in ("last", "all"):
        save_file(state, path, {"readout": readout, "head": "fc"})
        found = rnnbench.load_weights(path)
        assert (found.model.readout, found.remarks) == (readout, ())
    for metadata, expected in (
        ({"readout": "first"}, "the readout is 'first'; it must be last or all"),
        ({"head": "gc"}, "the head is 'gc'; the linear layer it holds is 'fc'"),
    ):
        save_file(state, path, metadata)
        with pytest.raises(rnnbench.UsageError, match=expected):
            rnnbench.load_weights(path)


def test_it_is_converted_and_compared(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, rnnbench.Model("rnn-relu", I, H, O), "rnn.", "fc.")
    assert main(["convert", path.name, "ours.safetensors", "--cell", "rnn-relu"]) == 0
    assert rnnbench.load_weights("ours.safetensors").model.cell == "rnn-relu"
    options = ["--backend", "numpy", "--quick", "--batch", "2", "--seq-len", "4"]
    assert main(["compare", "--model", path.name, "--cell", "rnn-relu", *options]) == 0
    said = capsys.readouterr()
    assert "rnn-relu" in said.out
    assert "a state_dict does not tell what is read of the recurrent layer; taken: fc" in said.err
    assert main(["compare", "--model", path.name, *options]) == 2
    assert "name the cell: --cell rnn-tanh" in capsys.readouterr().err
