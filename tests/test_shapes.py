"""The checks of tests/shapes.py, which stand between every test and the public functions: that they bite."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import shapes
from shapes import Misfit, checked

import rnnbench
from rnnbench import Data, Model, Split, Trained

MODEL = Model("lstm", 3, 5, 2, readout="all")
X = np.zeros((4, 6, 3), np.float32)  # [T, B, I]
TARGET = np.zeros((4, 6, 2), np.float32)  # [T, B, O]


@pytest.mark.parametrize("place", shapes.places(), ids=lambda place: f"{place.owner.__name__}.{place.name}")
def test_every_public_function_is_looked_at(place: shapes.Place) -> None:
    assert hasattr(getattr(place.owner, place.name), "__wrapped__")


@pytest.mark.parametrize("backend", shapes.BACKENDS)
def test_what_fits_passes(backend: str) -> None:
    session = rnnbench.session(backend, MODEL, MODEL.init(0))
    _, state = session.forward(X, np.full(6, 4))
    session.forward(X, None, state)
    session.step(X[0], state)
    session.gradients(X.astype(np.float64), TARGET.astype(np.float64))
    session.train_step(X, TARGET)
    session.parameters()


class Wrong:
    """A session that takes anything, and gives what it was made with."""

    model, loss = MODEL, "mse"

    def __init__(self, result: object) -> None:
        self.result = result

    def forward(self, x, lengths=None, state=None):
        return self.result

    def gradients(self, x, target, lengths=None, state=None):
        return self.result

    def step(self, x_t, state):
        return self.result


for name in ("forward", "gradients", "step"):
    setattr(Wrong, name, checked(getattr(Wrong, name), shapes.of_session(name)))
STATE = (np.zeros((1, 6, 5), np.float32),) * 2
Y = np.zeros((4, 6, 2), np.float32)


@pytest.mark.parametrize(
    "result",
    [
        (Y.astype(np.float64), STATE),
        (Y[:, :5], STATE),
        (Y[..., :1], STATE),
        (Y[:3], STATE),
        (Y.tolist(), STATE[:1]),
        (Y, (STATE[0], STATE[1][:, :, :4])),
        (Y, (STATE[0], STATE[1].astype(np.float64))),
        Y,
    ],
    ids=["dtype", "batch", "outputs", "steps", "states", "units", "state's dtype", "no state"],
)
def test_a_wrong_output_shows(result: object) -> None:
    with pytest.raises(Misfit, match=r"Wrong\.forward: return is "):
        Wrong(result).forward(X)


@pytest.mark.parametrize(
    ("x", "more", "argument"),
    [
        (X[..., :2], (), "x"),
        (X[0], (), "x"),
        (X.astype(complex), (), "x"),
        (X, (np.full(5, 4),), "lengths"),
        (X, (np.full(6, 4.0),), "lengths"),
        (X, (None, STATE[:1]), "state"),
    ],
)
def test_what_was_accepted_and_does_not_fit_shows(x: object, more: tuple[object, ...], argument: str) -> None:
    with pytest.raises(Misfit, match=rf"Wrong\.forward: {argument} is "):
        Wrong((Y, STATE)).forward(x, *more)


def test_a_wrong_gradient_or_target_shows() -> None:
    right = MODEL.init(0)
    Wrong((0.5, right)).gradients(X, TARGET)
    for wrong in (
        {name: value for name, value in right.items() if name != "head.b"},
        right | {"head.b": right["head.b"].astype(np.float64)},
        right | {"head.b": np.zeros(3, np.float32)},
    ):
        with pytest.raises(Misfit, match=r"Wrong\.gradients: return"):
            Wrong((0.5, wrong)).gradients(X, TARGET)
    with pytest.raises(Misfit, match="target is float32"):
        Wrong((0.5, right)).gradients(X, TARGET[..., 0])


@pytest.mark.parametrize(
    ("x", "target", "lengths", "every_step"),
    [
        (X, TARGET[0, :5], None, False),
        (X, TARGET, None, False),
        (X[0], TARGET[0], None, False),
        (X, TARGET[:3], None, True),
        (X, TARGET[0], np.full(6, 4, np.int32), False),
        (X, TARGET[0], np.full(5, 4), False),
        (X, np.zeros(6, np.float32), None, False),
    ],
)
def test_a_split_that_does_not_fit_shows(x, target, lengths, every_step) -> None:
    with pytest.raises(Misfit, match=r"Split.__init__"):
        Split(x, target, lengths, every_step)


def test_data_whose_parts_are_unlike_show() -> None:
    with pytest.raises(Misfit, match="Data: "):
        Data(Split(X, TARGET[0]), Split(X[..., :2], TARGET[0]))


def test_weights_that_do_not_fit_their_model_show() -> None:
    with pytest.raises(Misfit, match=r"Trained.__init__: params"):
        Trained(MODEL, Model("lstm", 3, 4).init(0))


def test_a_gradient_of_a_loss_that_is_unlike_its_prediction_shows() -> None:
    def wrong(loss, prediction, target, lengths=None):
        return 0.0, prediction.astype(np.float64)

    with pytest.raises(Misfit, match=r"wrong: return is \(0\.0, float64 \(4, 6, 2\)\)"):
        checked(wrong, shapes.of_loss)("mse", TARGET, TARGET)


def test_outside_tests_nothing_is_looked_at_and_nothing_needed() -> None:
    """The package knows nothing of jaxtyping, installed or not."""
    package = Path(importlib.import_module("rnnbench").__file__).parent
    assert [path for path in package.rglob("*.py") if "jaxtyping" in path.read_text(encoding="utf-8")] == []
    code = (
        "import sys, rnnbench as r; m = r.Model('lstm', 1, 2); r.session('numpy', m, m.init(0));"
        "print('jaxtyping' in sys.modules, hasattr(r.session, '__wrapped__'))"
    )
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "False False\n"
