"""A workload from a trained model of the user's own: random inputs of a fixed shape, and nothing to learn."""

import hashlib
import json
import re
from functools import partial

import numpy as np

from rnnbench.errors import UsageError
from rnnbench.model import Model, Params
from rnnbench.tasks.spec import Budget, Data, FixedModel, Split

SEQ_LEN = 100
BATCH_SIZE = 32


def model_task(
    name: str, model: Model, params: Params, batch_size: int = BATCH_SIZE, seq_len: int = SEQ_LEN
) -> FixedModel:
    """Return the workload of computing `model` on x [seq_len, batch_size, I] drawn from a normal distribution.

    name: for the id, as far as its characters may be in one. The id carries a digest of the model and of every weight,
    so that a run is not resumed with others. Raises UsageError for a size below 1.
    """
    for what, size in (("batch size", batch_size), ("sequence length", seq_len)):
        if size < 1:
            raise UsageError(f"the {what} must be a whole number of at least 1; got {size}")
    return FixedModel(
        id=_id(name, model, params, seq_len),
        title=f"a trained {model.cell}, {seq_len} random steps",
        source=name,
        input_size=model.input_size,
        output_size=model.output_size,
        readout=model.readout,
        loss="mse",
        budget=Budget(steps=0, batch_size=batch_size, hidden_size=model.hidden_size),
        data=partial(_data, model, batch_size, seq_len),
        params=params,
    )


def _data(model: Model, batch_size: int, seq_len: int, seed: int) -> Data:
    """Draw x; the target, to which nothing is held, has the shape that the loss of a session asks for."""
    x = np.random.default_rng(seed).standard_normal((seq_len, batch_size, model.input_size))
    every_step = model.readout == "all"
    width = model.output_size or model.features
    target = np.zeros((seq_len, batch_size, width) if every_step else (batch_size, width))
    split = Split(x, target, every_step=every_step)
    return Data(split, split)


def _id(name: str, model: Model, params: Params, seq_len: int) -> str:
    digest = hashlib.sha256(json.dumps([model.as_dict(), seq_len], sort_keys=True).encode())
    for key, value in sorted(params.items()):
        digest.update(key.encode() + value.tobytes())
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:32]
    return f"model-{plain}-{digest.hexdigest()[:8]}" if plain else f"model-{digest.hexdigest()[:8]}"
