"""Files as people have them, each once taken for another network, or refused for a reason that was not the true one."""

from pathlib import Path

import pytest

import rnnbench

FIELD = Path(__file__).parent / "field"
REFUSED = {
    "lstm-carry.onnx": "LSTM starts from a state that the graph computes",
    "start-from-input.onnx": "LSTM starts from a state that the graph computes",
    "c0-of-6.onnx": "starts from a state of shape (1, 2, 6), 'c0'; it must be (1, 2, 4)",
    "embedding-lstm.safetensors": "'embedding.weight' (50, 8) may be an embedding before the recurrent layer",
    "not-stored.onnx": "GRU takes its weights from an input of the graph, 'W', so the file does not hold them",
    "unrolled.onnx": "it holds no recurrent operator",
    "cast-input.onnx": "LSTM takes lengths from the graph's input 'm'",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_the_network_it_looks_like_is_refused_by_name(name):
    pytest.importorskip("onnx")
    with pytest.raises(rnnbench.UsageError) as caught:
        rnnbench.load_weights(FIELD / name)
    assert REFUSED[name] in str(caught.value)
    assert str(caught.value).isprintable()


def test_each_of_them_has_its_line_and_its_outcome():
    table = (FIELD / "README.md").read_text()
    files = {path.name for path in FIELD.iterdir() if path.suffix != ".csv"} - {"README.md"}
    assert files == REFUSED.keys()
    assert all(f"`{name}`" in table for name in files)
