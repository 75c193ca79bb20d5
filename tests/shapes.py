"""Shapes and dtypes of the public functions, held to in every call that a test makes; conftest.py installs this.

A call is looked at when it is done: what it was given, and has accepted, and what it gives must fit. So a misfit that
is refused, as it should be, stays the function's own matter. Nothing in the package knows of this, and kernels are not
looked at.

T time steps, B batch, I inputs, H units, O outputs, L layers, D directions; a letter stands for one size in a call.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from typing import Any, NamedTuple, get_type_hints

import numpy as np
from jaxtyping import AbstractDtype, Bool, Float, Float32, Float64, Int64, Integer, jaxtyped

from rnnbench import loading
from rnnbench.cells.spec import Cell
from rnnbench.model import Model

Array = np.ndarray
# A type for isinstance, one for each name of a mapping, or one for each item of a sequence.
Hint = type | dict[str, "Hint"] | tuple["Hint", ...]
Hints = dict[str, Hint]  # by argument; "return" is what is given back
BACKENDS, METHODS = ("numba", "numpy"), ("forward", "step", "gradients", "train_step", "parameters")
DTYPES = {"float32": Float32, "float64": Float64}


class Real(AbstractDtype):
    """Any real number's: what a session converts."""

    dtypes = re.compile(r"u?int\d+|float\d+|longdouble")


class Misfit(AssertionError):
    """An array of another shape or dtype than the function's contract says."""


def fits(value: object, hint: Hint) -> bool:
    """Tell whether it does; a list counts as the array it is converted to."""
    if isinstance(hint, dict):
        return isinstance(value, Mapping) and value.keys() == hint.keys() and all(fits(value[n], hint[n]) for n in hint)
    if isinstance(hint, tuple):
        same = isinstance(value, Sequence) and len(value) == len(hint)
        return same and all(map(fits, value, hint))
    return isinstance(np.asarray(value) if isinstance(value, list) else value, hint)


def told(value: object) -> str:
    """Describe an array by its dtype and shape, anything else as it is."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    if isinstance(value, Mapping):
        return str({name: told(item) for name, item in value.items()})
    return f"({', '.join(map(told, value))})" if isinstance(value, tuple | list) else repr(value)


def hold(name: str, values: Mapping[str, object], hints: Hints) -> None:
    """Raise Misfit unless every value fits its hint, a letter being the same size in all of them."""
    with jaxtyped("context"):
        for argument, hint in hints.items():
            if argument in values and not fits(values[argument], hint):
                raise Misfit(f"{name}: {argument} is {told(values[argument])}, not {hint}")


def checked(function: Callable[..., Any], hints_of: Callable[[dict[str, Any]], Hints]) -> Callable[..., Any]:
    """Return the function, each of whose calls is held to the hints that `hints_of` has for arguments and result."""
    signature = inspect.signature(function)

    @wraps(function)
    def looked_at(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        values = {**given.arguments, "return": result}
        hold(function.__qualname__, values, hints_of(values))
        return result

    return looked_at


# ---- what fits -------------------------------------------------------------------------------------------------------


def params_of(model: Model) -> Hint:
    return _params_of(model, model.spec)


@cache
def _params_of(model: Model, _: Cell) -> Hint:
    """Heed the cell too: a test may put another one in its place."""
    kind = DTYPES[model.dtype]
    return {name: kind[Array, " ".join(map(str, shape))] for name, shape in model.parameter_shapes().items()}


@cache
def session_of(model: Model, _: Cell, loss: str) -> dict[str, Hints]:
    """Return hints by method. Inputs may be of any real dtype; what comes back is of the model's."""
    kind, outputs = DTYPES[model.dtype], model.output_size or model.features
    steps = "T B" if model.readout == "all" else "B"
    start = f"{model.layers * model.directions} B {model.hidden_size}"
    states = len(model.spec.states)
    state, given_state = (kind[Array, start],) * states, (Real[Array, start],) * states
    x, lengths = Real[Array, f"T B {model.input_size}"], Integer[Array, "B"]
    target = Real[Array, f"{steps} {outputs}"] if loss == "mse" else Integer[Array, steps]
    return {
        "forward": {
            "x": x,
            "lengths": lengths,
            "state": given_state,
            "return": (kind[Array, f"{steps} {outputs}"], state),
        },
        "step": {
            "x_t": Real[Array, f"B {model.input_size}"],
            "state": given_state,
            "return": (kind[Array, f"B {outputs}"], state),
        },
        "gradients": {
            "x": x,
            "target": target,
            "lengths": lengths,
            "state": given_state,
            "return": (float, params_of(model)),
        },
        "train_step": {"x": x, "target": target, "lengths": lengths, "return": float},
        "parameters": {"return": params_of(model)},
    }


def of_session(name: str) -> Callable[[dict[str, Any]], Hints]:
    def hints(call: dict[str, Any]) -> Hints:
        session = call["self"]
        return present(session_of(session.model, session.model.spec, session.loss)[name], call)

    return hints


def of_loss(call: dict[str, Any]) -> Hints:
    prediction = call["prediction"]
    kind, steps = DTYPES[prediction.dtype.name], "T B" if prediction.ndim == 3 else "B"
    target = Real[Array, f"{steps} O"] if call["loss"] == "mse" else Integer[Array, steps]
    hints = {"prediction": kind[Array, f"{steps} O"], "target": target, "lengths": Integer[Array, "B"]}
    return present(hints | {"return": (float, kind[Array, f"{steps} O"])}, call)


def of_split(call: dict[str, Any]) -> Hints:
    """Take a target of floats, or of class indices."""
    steps = "T N" if call["every_step"] else "N"
    target = Float[Array, f"{steps} O"] | Integer[Array, steps]
    hints = {"x": Real[Array, "T N I"], "target": target, "lengths": Int64[Array, "N"], "ahead": Real[Array, "_ N I"]}
    return present(hints, call)


def of_data(call: dict[str, Any]) -> Hints:
    """Raise Misfit unless the test part has what the training part has, but for its steps and sequences."""
    train, test = call["train"], call["test"].first_step()
    same = (test.x.shape[2], test.target.shape[2 if test.every_step else 1 :], test.every_step)
    if same != (train.x.shape[2], train.target.shape[2 if train.every_step else 1 :], train.every_step):
        raise Misfit(f"Data: {told((train.x, train.target))} to train on, {told((test.x, test.target))} to test on")
    return {}


def of_windows(call: dict[str, Any]) -> Hints:
    """Take series of any lengths, as many as there are offsets."""
    hints = {"which": Int64[Array, "N"], "origin": Int64[Array, "N"]}
    return (
        hints
        | present({"level": Float64[Array, "N"]}, call)
        | {
            "offset": Float64[Array, "S"],
            "scale": Float64[Array, "S"],
            "series": (Float64[Array, "_"],) * len(call["series"]),
        }
    )


def of_series(call: dict[str, Any]) -> Hints:
    """Take as many rows of past and of what was filled as of the target; known columns may go on after its end."""
    return {
        "target": Float64[Array, "n"],
        "past": Float64[Array, "n P"],
        "known": Float64[Array, "m K"],
        "static": Float64[Array, "S"],
        "filled": Bool[Array, "n"],
    }


def present(hints: Hints, call: dict[str, Any]) -> Hints:
    """Keep the hints of what was given: None stands for what may be left out."""
    return {name: hint for name, hint in hints.items() if call.get(name) is not None}


class Place(NamedTuple):
    owner: Any
    name: str
    hints: Callable[[dict[str, Any]], Hints]


def places() -> list[Place]:
    """List every function that is looked at. Sessions: those of `numba` and of the reference."""
    from rnnbench import training
    from rnnbench.backends.base import Session, load_factory
    from rnnbench.baselines.least_squares import LinearMap
    from rnnbench.forecasting import conformal
    from rnnbench.registry import registry
    from rnnbench.tables.reading import Table
    from rnnbench.tables.series import Series
    from rnnbench.tasks.cut import Cutter
    from rnnbench.tasks.forecast_scores import Scoring
    from rnnbench.tasks.spec import Data, Split, Windows
    from rnnbench.weights import state_dict
    from rnnbench.weights.spec import Trained

    factories = [load_factory(registry().backend(name).factory) for name in BACKENDS]
    sessions = [get_type_hints(factory.session)["return"] for factory in factories]
    return [
        *(Place(kind, name, of_session(name)) for kind in sessions for name in METHODS),
        Place(loading, "session", lambda call: {"return": Session}),
        Place(loading, "load_weights", lambda call: {"return": Trained}),
        Place(Model, "init", lambda call: {"return": params_of(call["self"])}),
        Place(Model, "check_params", lambda call: {"return": params_of(call["self"])}),
        Place(
            Trained, "__init__", lambda call: {"params": params_of(call["model"])}
        ),  # what readers give and writers take
        Place(state_dict, "from_state_dict", lambda call: {"return": params_of(call["model"])}),
        Place(training, "loss_and_gradient", of_loss),
        Place(LinearMap, "__init__", lambda call: {"weights": Float64[Array, "P O"], "intercept": Float64[Array, "O"]}),
        Place(Table, "numbers", lambda call: {"return": Float64[Array, str(len(call["self"].rows))]}),
        Place(Split, "__init__", of_split),
        Place(Data, "__init__", of_data),
        Place(conformal, "intervals", lambda call: {"errors": Float[Array, "N O"]}),
        Place(conformal, "coverage", lambda call: {"errors": Float[Array, "N O"]}),
        Place(Windows, "__init__", of_windows),
        *(
            Place(Windows, name, lambda call: {"values": Float[Array, "N O"], "return": Float[Array, "N O"]})
            for name in ("scaled", "unscaled")
        ),
        Place(Series, "__init__", of_series),
        Place(Cutter, "split", lambda call: {"which": Int64[Array, "N"], "target": Float64[Array, "N O"]}),
        Place(Scoring, "losses", lambda call: {"prediction": Float[Array, "N O"], "return": Float64[Array, "M"]}),
        Place(Scoring, "by_lead", lambda call: {"prediction": Float[Array, "N O"], "return": Float64[Array, "O"]}),
    ]


def install() -> None:
    """Put the checks in place: once, before anything takes a function by its name."""
    for owner, name, hints in places():
        setattr(owner, name, checked(getattr(owner, name), hints))
