"""The reference against what torch computed: committed vectors, written by tools/make_golden.py.

They stand in for torch where it is not installed; where it is, the last test computes them anew.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from gradient_check import relative_errors

from rnnbench.backends.numpy_reference import NumpyBackend, backward_model, forward_model
from rnnbench.model import Array, Model, Params
from rnnbench.training import Adam, loss_and_gradient

GOLDEN = Path(__file__).parent / "golden"
GENERATOR = Path(__file__).parents[1] / "tools" / "make_golden.py"
CELLS = sorted(path.stem for path in GOLDEN.glob("*.npz"))
# Two float64 implementations that add in another order.
TOLERANCE = 1e-10
# Adam divides by √v̂, so its first steps enlarge the rounding of small gradients.
CURVE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Golden:
    """One file of golden vectors, and the model it belongs to; tools/make_golden.py says what the arrays are."""

    arrays: dict[str, Array]
    model: Model

    @classmethod
    def load(cls, cell: str) -> "Golden":
        with np.load(GOLDEN / f"{cell}.npz", allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        model = Model(
            cell=cell,
            input_size=arrays["x"].shape[2],
            hidden_size=arrays["features"].shape[2] // 2,
            output_size=arrays["target"].shape[2],
            layers=2,
            bidirectional=True,
            readout="all",
            dtype="float64",
        )
        return cls(arrays, model)

    def group(self, name: str) -> Params:
        return {k.removeprefix(name + "/"): v for k, v in self.arrays.items() if k.startswith(name + "/")}

    def states(self, name: str) -> tuple[Array, ...]:
        return tuple(self.arrays[f"{name}/{state}"] for state in self.model.spec.states)


@pytest.fixture(params=CELLS)
def golden(request) -> Golden:
    return Golden.load(request.param)


def error(value: Array, reference: Array) -> float:
    return float(np.abs(value - reference).max() / np.abs(reference).max())


def test_the_cells_that_torch_has_are_all_there():
    assert CELLS == ["gru", "lstm", "rnn-relu", "rnn-tanh"]


def test_features_and_final_states(golden):
    headless = Model(**(golden.model.as_dict() | {"output_size": None}))
    params = {name: value for name, value in golden.group("params").items() if not name.startswith("head.")}
    session = NumpyBackend(1).session(headless, params)
    y, final = session.forward(golden.arrays["x"], golden.arrays["lengths"], golden.states("state"))
    assert error(y, golden.arrays["features"]) < TOLERANCE
    for value, expected in zip(final, golden.states("final"), strict=True):
        assert error(value, expected) < TOLERANCE


def test_loss_and_all_gradients(golden):
    x, lengths, params = golden.arrays["x"], golden.arrays["lengths"], golden.group("params")
    past = np.arange(len(x))[:, None] >= lengths
    x = np.where(past[:, :, None], 0, x)
    done = forward_model(golden.model, params, x, lengths, golden.states("state"))
    loss, dprediction = loss_and_gradient("mse", done.prediction, golden.arrays["target"], lengths)
    gradients, dstate = backward_model(golden.model, params, done, dprediction)
    gradients |= {f"state.{name}": d for name, d in zip(golden.model.spec.states, dstate, strict=True)}
    expected = golden.group("gradient") | {f"state.{k}": v for k, v in golden.group("state_gradient").items()}
    assert gradients.keys() == expected.keys()
    assert loss == pytest.approx(float(golden.arrays["loss"]), rel=TOLERANCE)
    assert max(relative_errors(gradients, expected).values()) < TOLERANCE


def test_ten_steps_of_adam(golden):
    session = NumpyBackend(1).session(golden.model, golden.group("params"), "mse", Adam(learning_rate=1e-2))
    batch = (golden.arrays["x"], golden.arrays["target"], golden.arrays["lengths"])
    losses = [session.train_step(*batch) for _ in golden.arrays["curve"]]
    np.testing.assert_allclose(losses, golden.arrays["curve"], rtol=CURVE_TOLERANCE)
    assert len(losses) == 10
    assert losses[-1] < 0.99 * losses[0]  # the curve goes somewhere, so following it says something


def test_torch_counts_two_biases(golden):
    assert golden.model.count_parameters(two_bias=True) == golden.arrays["torch_parameters"]


@pytest.mark.torch
def test_torch_still_says_the_same(tmp_path):
    """Skipped without torch: the committed vectors, which all tests above use, stand in for it."""
    pytest.importorskip("torch")
    spec = importlib.util.spec_from_file_location("make_golden", GENERATOR)
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    generator.main(tmp_path)
    assert sorted(path.stem for path in tmp_path.iterdir()) == CELLS
    for cell in CELLS:
        committed = Golden.load(cell).arrays
        with np.load(tmp_path / f"{cell}.npz", allow_pickle=False) as fresh:
            assert set(fresh.files) == committed.keys()
            for name, value in committed.items():
                np.testing.assert_allclose(
                    fresh[name], value, rtol=CURVE_TOLERANCE, atol=1e-12, err_msg=f"{cell}: {name}"
                )
