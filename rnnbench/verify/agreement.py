"""Whether two files hold the same network: what an export or a conversion is held to."""

from dataclasses import replace

import numpy as np

from rnnbench.backends.numpy_reference import NumpyBackend
from rnnbench.model import Array
from rnnbench.verify import parity
from rnnbench.verify.diagnose import diagnose_outputs
from rnnbench.weights.spec import Trained

STEPS, ROWS, SEED = 20, 4, 0
SIZES = ("input_size", "hidden_size", "output_size", "layers", "bidirectional")


def disagreement(asked: Trained, found: Trained) -> str | None:
    """Tell how `found` departs from `asked`, and by which convention; None where both give the same outputs.

    Both are computed by the float64 reference on random inputs. The readout is `found`'s: a state_dict tells none.
    """
    for size in SIZES:
        ours, theirs = getattr(asked.model, size), getattr(found.model, size)
        if ours != theirs:
            return f"its {size} is {theirs}, not {ours}"
    asked = replace(asked, model=replace(asked.model, readout=found.model.readout))
    x = np.random.default_rng(SEED).standard_normal((STEPS, ROWS, asked.model.input_size))
    expected = _outputs(asked, x)
    y = _outputs(found, x)
    error, allowed = parity.error(y, expected), parity.FORWARD_TOLERANCE["float32"]  # files may be rounded to that
    if error <= allowed:
        return None
    guess = diagnose_outputs(replace(asked.model, dtype="float64"), asked.params, x, None, y, allowed)
    differs = f"its outputs differ by {error:.1e} (allowed: {allowed:g})"
    return f"{differs}; it computes as if {guess}" if guess else differs


def _outputs(trained: Trained, x: Array) -> Array:
    wide = {name: value.astype("float64") for name, value in trained.params.items()}
    y: Array = NumpyBackend(1).session(replace(trained.model, dtype="float64"), wide).forward(x)[0]
    return y
