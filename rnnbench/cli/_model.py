"""`compare --model FILE`: what the file says takes the place of what would otherwise be asked for."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnbench.tasks.spec import Task

# By option: what the file says itself, or what only training has.
SETTLED = {
    "tasks": "--task",
    "csv": "--csv",
    "cells": "--cell",
    "hidden_sizes": "--hidden",
    "layers": "--layers",
    "bidirectional": "--bidirectional",
    "dtypes": "--dtype",
    "steps": "--steps",
    "learning_rate": "--lr",
}


def model_tasks(options: dict[str, Any]) -> "tuple[Task, ...]":
    """The task of --model, whose sizes replace those in `options`; none without --model. Raises UsageError."""
    from pathlib import Path

    from rnnbench.api import load_weights
    from rnnbench.errors import UsageError
    from rnnbench.tasks.model_file import BATCH_SIZE, SEQ_LEN, model_task

    path, seq_len = options.pop("model"), options.pop("seq_len")
    if path is None:
        if seq_len is not None:
            raise UsageError("--seq-len belongs to --model FILE, which is missing")
        return ()
    if given := [flag for name, flag in SETTLED.items() if _was_given(options[name])]:
        raise UsageError(f"{given[0]} does not go with --model: the file settles it, and nothing is trained")
    trained = load_weights(path)
    model = trained.model
    options |= {
        "cells": (model.cell,),
        "hidden_sizes": (model.hidden_size,),
        "layers": (model.layers,),
        "bidirectional": model.bidirectional,
        "dtypes": (model.dtype,),
        "steps": 0,
    }
    batch_size = BATCH_SIZE if options["batch_size"] is None else options["batch_size"]
    length = SEQ_LEN if seq_len is None else seq_len
    return (model_task(Path(path).stem, model, trained.params, batch_size, length),)


def _was_given(value: Any) -> bool:
    """0 steps is a choice; no flag, no value and no items are none."""
    return value is not None and value is not False and value != ()
