"""The mismatch explainer: it names the planted convention, and nothing where there is none to name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import FAULTY, NO_NUMBA, carry_out, load, settings

from rnnbench.backends.numpy_reference import NumpyBackend
from rnnbench.model import Array, Model, Params
from rnnbench.verify.diagnose import diagnose_outputs

DEFECTIVE = str(Path(__file__).parent / "plugins" / "defective.py")
TOLERANCE = 1e-5
T, B, I, H = 6, 7, 4, 4  # square, so that a transposed W fits too


def model(cell: str, **changes: Any) -> Model:
    return replace(Model(cell, I, H, 2, dtype="float32"), **changes)


def x(lengths: Array | None = None) -> Array:
    value = np.random.default_rng(1).standard_normal((T, B, I)).astype("float32")
    if lengths is not None:
        value[np.arange(T)[:, None] >= lengths] = np.nan
    return value


def outputs(model: Model, params: Params, x: Array, lengths: Array | None = None) -> Array:
    """In the model's own dtype, as a backend would give them."""
    y, _ = NumpyBackend(1).session(model, params).forward(x, lengths)
    return y


def guess(asked: Model, params: Params, y: Array, lengths: Array | None = None) -> str | None:
    return diagnose_outputs(asked, params, x(lengths), lengths, y, TOLERANCE)


def blocks(params: Params, kind: str, order: list[int]) -> Params:
    """The rows of every tensor of one kind, in another order."""
    return {
        name: np.ascontiguousarray(value[order]) if name.endswith(f".{kind}") and "head" not in name else value
        for name, value in params.items()
    }


def layer(params: Params, **changes: Array) -> Params:
    return params | {f"layers.0.forward.{kind}": value for kind, value in changes.items()}


@pytest.mark.parametrize(
    ("order", "words"),
    [
        # taken for i o f g: what is in f's place is thought to be o, in g's place f, in o's place g
        ([0, 2, 3, 1], "the gates i f g o were taken for i o f g, the order of ONNX"),
        ([0, 3, 1, 2], "the gates i f g o were taken for i g o f, converted to the order of ONNX once too often"),
        ([1, 0, 2, 3], "the gates i f g o were taken for f i g o, the order of OpenVINO"),
        ([3, 1, 2, 0], "the gates i f g o were taken for o f g i"),
    ],
)
def test_the_gates_of_an_lstm_in_another_order(order: list[int], words: str) -> None:
    asked = model("lstm", layers=2, bidirectional=True, readout="all")
    params = asked.init(0)
    misread = params
    for kind in ("W", "R", "b"):
        misread = blocks(misread, kind, order)
    assert guess(asked, params, outputs(asked, misread, x())) == words


def test_the_gates_of_a_gru_in_the_order_of_onnx() -> None:
    asked = model("gru")
    params = asked.init(0)
    misread = blocks(blocks(blocks(params, "W", [1, 0, 2]), "R", [1, 0, 2]), "b", [1, 0, 2, 3])
    found = guess(asked, params, outputs(asked, misread, x()))
    assert found == "the gates r z n were taken for z r n, the order of ONNX and Keras"


def test_the_candidate_of_a_gru_takes_its_two_biases_along() -> None:
    asked = model("gru")
    params = asked.init(0)
    W, R, b = (params[f"layers.0.forward.{kind}"] for kind in "WRb")
    misread = layer(params, W=W[[2, 1, 0]], R=R[[2, 1, 0]], b=np.stack([b[2] + b[3], b[1], b[0], 0 * b[0]]))
    found = guess(asked, params, outputs(asked, misread, x()))
    assert found == "the gates r z n were taken for n z r"


def test_z_the_other_way_round() -> None:
    asked = model("ugrnn")
    params = asked.init(0)
    flipped = {
        name: value * np.array([-1, 1], "float32").reshape(-1, *[1] * (value.ndim - 1)) if "head" not in name else value
        for name, value in params.items()
    }
    assert guess(asked, params, outputs(asked, flipped, x())) == "z and 1 - z had changed places"


@pytest.mark.parametrize("kinds", ["R", "W", "WR"])
def test_transposed_weights(kinds: str) -> None:
    asked = model("lstm")
    params = asked.init(0)
    turned = layer(params, **{kind: params[f"layers.0.forward.{kind}"].swapaxes(1, 2) for kind in kinds})
    verb = "were both" if len(kinds) > 1 else "was"
    assert guess(asked, params, outputs(asked, turned, x())) == f"{' and '.join(kinds)} {verb} transposed"


@pytest.mark.parametrize(("factor", "words"), [(0, "missing"), (2, "added twice")])
@pytest.mark.parametrize("head", [False, True])
def test_biases_missing_or_added_twice(factor: float, words: str, head: bool) -> None:
    asked = model("lstm", layers=2)
    params = asked.init(0)
    chosen = {name for name in params if name[-2:] == ".b" and (name == "head.b") is head}
    changed = {name: value * np.float32(factor) if name in chosen else value for name, value in params.items()}
    whose = "the head's bias" if head else "the cell's biases"
    assert guess(asked, params, outputs(asked, changed, x())) == f"{whose} were {words}"


def test_a_forget_bias_that_a_framework_adds() -> None:
    asked = model("lstm")
    params = asked.init(0)
    b = params["layers.0.forward.b"] + np.array([0, 1, 0, 0], "float32")[:, None]
    found = guess(asked, params, outputs(asked, layer(params, b=b), x()))
    assert found == "1 was added to the bias of the forget gate"


def test_a_gru_that_resets_on_the_other_side() -> None:
    asked = model("gru")
    params = asked.init(0)
    b = params["layers.0.forward.b"]
    before = layer(params, b=np.stack([b[0], b[1], b[2] + b[3]]))
    found = guess(asked, params, outputs(replace(asked, cell="gru-before"), before, x()))
    assert found == "the reset came before the recurrent product"
    asked = model("gru-before")
    params = asked.init(0)
    b = params["layers.0.forward.b"]
    after = layer(params, b=np.stack([*b, 0 * b[0]]))
    found = guess(asked, params, outputs(replace(asked, cell="gru"), after, x()))
    assert found == "the reset came after the recurrent product"


@pytest.mark.parametrize(("kept", "words"), [(True, "added outside the reset"), (False, "missing")])
def test_the_recurrent_bias_of_a_gru(kept: bool, words: str) -> None:
    asked = model("gru")
    params = asked.init(0)
    b = params["layers.0.forward.b"]
    changed = layer(params, b=np.stack([b[0], b[1], b[2] + kept * b[3], 0 * b[3]]))
    assert guess(asked, params, outputs(asked, changed, x())) == f"the recurrent bias of n were {words}"


def test_another_activation() -> None:
    asked = model("rnn-tanh")
    params = asked.init(0)
    assert guess(asked, params, outputs(replace(asked, cell="rnn-relu"), params, x())) == "the cell were rnn-relu"


def test_layers_dropped() -> None:
    asked = model("lstm", layers=3)
    params = asked.init(0)
    fewer = replace(asked, layers=2)
    y = outputs(fewer, {name: params[name] for name in fewer.parameter_shapes()}, x())
    assert guess(asked, params, y) == "only the first 2 layers were there"


def test_directions_exchanged() -> None:
    asked = model("gru", bidirectional=True, layers=2)
    params = asked.init(0)
    names = {"forward": "reverse", "reverse": "forward"}
    exchanged = {name: params[".".join(names.get(part, part) for part in name.split("."))] for name in params}
    found = guess(asked, params, outputs(asked, exchanged, x()))
    assert found == "the two directions had each other's weights"
    columns = {
        name: np.roll(value, H, axis=-1) if name in ("head.W", "layers.1.forward.W", "layers.1.reverse.W") else value
        for name, value in params.items()
    }
    assert guess(asked, params, outputs(asked, columns, x())) == "the reverse direction's outputs came first"


@pytest.mark.parametrize("readout", ["last", "all"])
def test_lengths_ignored(readout: str) -> None:
    asked = model("lstm", readout=readout)
    params, lengths = asked.init(0), np.array([1, 6, 3, 2, 5, 4, 6])
    y = outputs(asked, params, np.nan_to_num(x(lengths)))
    assert guess(asked, params, y, lengths) == "lengths were ignored"


@pytest.mark.parametrize("cell", ["lstm", "gru", "mingru"])
def test_nothing_is_made_up(cell: str) -> None:
    """A right output needs no explanation, and noise has none."""
    asked = model(cell, bidirectional=True, layers=2)
    params = asked.init(0)
    y = outputs(asked, params, x())
    assert guess(asked, params, y) is None
    assert guess(asked, params, y + np.float32(0.01)) is None


def test_every_cell_can_be_asked_about(cell_id: str) -> None:
    asked = model(cell_id)
    params = asked.init(0)
    doubled = layer(params, b=2 * params["layers.0.forward.b"])
    assert guess(asked, params, outputs(asked, doubled, x())) == "the cell's biases were added twice"


def test_the_row_of_a_mismatch_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch, FAULTY, DEFECTIVE, NO_NUMBA)
    outcome, _ = carry_out(tmp_path, settings(cells=("lstm",), backends=("gate-order", "wrong")))
    reasons = {record.backend: (record.status, record.reason) for record in outcome.records}
    status, reason = reasons["gate-order"]
    assert status == "mismatch"
    assert "; it computes as if the gates i f g o were taken for f i g o, the order of OpenVINO; " in reason
    assert "as if" not in reasons["wrong"][1]
