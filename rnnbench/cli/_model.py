"""`compare --model FILE`: what the file says takes the place of what would otherwise be asked for."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnbench.tasks.spec import Task
    from rnnbench.weights.spec import Trained

# By option: what the file says itself, or what only training has.
SETTLED = {
    "tasks": "--task",
    "csv": "--csv",
    "hidden_sizes": "--hidden",
    "layers": "--layers",
    "bidirectional": "--bidirectional",
    "dtypes": "--dtype",
    "steps": "--steps",
    "learning_rate": "--lr",
}


def model_tasks(options: dict[str, Any]) -> "tuple[Task, ...]":
    """Return the task of --model, whose sizes replace those in `options`; none without --model. Raises UsageError, and
    Failure where the file of --against holds another network."""
    from pathlib import Path

    from rnnbench.errors import UsageError
    from rnnbench.tasks.model_file import BATCH_SIZE, SEQ_LEN, model_task

    path, seq_len, against = (options.pop(name) for name in ("model", "seq_len", "against"))
    if path is None:
        for flag, value in (("--seq-len", seq_len), ("--against", against)):
            if value is not None:
                raise UsageError(f"{flag} belongs to --model FILE, which is missing")
        return ()
    if given := [flag for name, flag in SETTLED.items() if _was_given(options[name])]:
        raise UsageError(f"{given[0]} does not go with --model: the file settles it, and nothing is trained")
    trained = _load(path, options["cells"], against)
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


def _load(path: str, cells: tuple[str, ...], against: str | None) -> "Trained":
    """Load the file of --model. cells: one at most, for a file that does not say its own."""
    from rnnbench.cli._console import warn
    from rnnbench.errors import UsageError
    from rnnbench.loading import load_weights
    from rnnbench.verify.agreement import disagreement
    from rnnbench.workers.failure import Failure

    if len(cells) > 1:
        raise UsageError("--cell takes one name with --model, that of the cell in the file")
    cell = cells[0] if cells else None
    trained = load_weights(path, cell)
    for remark in trained.remarks:
        warn(f"{path!r}: {remark}")
    if against is not None and (why := disagreement(load_weights(against, cell), trained)):
        raise Failure("mismatch", f"{path!r} does not hold what {against!r} holds: {why}")
    return trained


def _was_given(value: object) -> bool:
    """Return whether an option was given: 0 steps is a choice; no flag, no value and no items are none."""
    return value is not None and value is not False and value != ()
