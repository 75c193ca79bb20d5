"""What a user may ask of a comparison, by the names of the command line, and the settings and tasks this stands for."""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, fields
from math import isfinite
from numbers import Integral, Real
from os import PathLike, fspath
from pathlib import Path
from typing import Any
from warnings import warn

from rnnbench.comparison.plan import Settings
from rnnbench.errors import RnnbenchWarning, UsageError
from rnnbench.loading import load_weights
from rnnbench.tasks.csv_file import csv_task
from rnnbench.tasks.model_file import BATCH_SIZE, SEQ_LEN, model_task
from rnnbench.tasks.spec import Workload
from rnnbench.verify.agreement import disagreement
from rnnbench.weights.spec import Trained
from rnnbench.workers.failure import Failure

# What a model's file says itself, or what only training has.
SETTLED_BY_MODEL = ("task", "csv", "hidden", "layers", "bidirectional", "dtype", "steps", "lr")
# The field of `Settings` that an option fills, where its name is another.
FIELDS = {
    "task": "tasks",
    "cell": "cells",
    "backend": "backends",
    "hidden": "hidden_sizes",
    "dtype": "dtypes",
    "batch": "batch_size",
    "lr": "learning_rate",
}
OF_CSV = ("target", "features", "window", "horizon")
OF_MODEL = ("against", "seq_len")


@dataclass(frozen=True)
class Options:
    """As given; None, False and () leave a choice open. model: a file, or a `Trained` in memory."""

    task: tuple[str, ...] = ()
    cell: tuple[str, ...] = ()
    backend: tuple[str, ...] = ()
    hidden: tuple[int, ...] = ()
    layers: tuple[int, ...] = ()
    bidirectional: bool = False
    dtype: tuple[str, ...] = ()
    batch: int | None = None
    steps: int | None = None
    lr: float | None = None
    seeds: int | None = None
    seed: int | None = None
    threads: tuple[int, ...] = ()
    quick: bool = False
    no_baselines: bool = False
    csv: str | None = None
    target: str | None = None
    features: tuple[str, ...] = ()
    window: int | None = None
    horizon: int | None = None
    model: str | Trained | None = None
    against: str | None = None
    seq_len: int | None = None

    @classmethod
    def of(cls, **given: Any) -> "Options":
        """Return options from single values or several, names with commas between them too. Raises UsageError for a
        value of a wrong type."""
        kinds = {field.name: str(field.type) for field in fields(cls)}
        return cls(**{name: _coerced(name, kinds[name], value) for name, value in given.items() if value is not None})

    def resolve(self) -> tuple[Settings, tuple[Workload, ...]]:
        """Return the settings, and the tasks that no plugin offers. Raises UsageError for options that do not go
        together or a file that cannot be used, Failure where `against` holds another network than `model`."""
        given = {
            name: value for name in NAMES if (value := getattr(self, name)) not in (None, ()) and value is not False
        }
        tasks = (*self._model_tasks(given), *self._csv_tasks(given))
        if tasks:
            given["task"] = (*given.get("task", ()), *(task.id for task in tasks))
        if self.quick:
            given.setdefault("seeds", 1)
        return Settings(**{FIELDS.get(name, name): value for name, value in given.items()}), tasks

    def _csv_tasks(self, given: dict[str, Any]) -> tuple[Workload, ...]:
        """Take the options of a CSV file out of `given`."""
        own = {name: given.pop(name) for name in OF_CSV if name in given}
        if (path := given.pop("csv", None)) is None:
            if own:
                raise UsageError(f"--{next(iter(own))} belongs to --csv FILE, which is missing")
            return ()
        if "target" not in own:
            raise UsageError("--csv needs --target COLUMN: which column is to be forecast?")
        return (csv_task(path, **own),)

    def _model_tasks(self, given: dict[str, Any]) -> tuple[Workload, ...]:
        """Take the options of a trained model out of `given`, and put in what the model settles."""
        own = {name: given.pop(name) for name in OF_MODEL if name in given}
        if given.pop("model", None) is None:
            if own:
                raise UsageError(f"--{next(iter(own)).replace('_', '-')} belongs to --model FILE, which is missing")
            return ()
        if settled := [name for name in SETTLED_BY_MODEL if name in given]:
            raise UsageError(f"--{settled[0]} does not go with --model: the file settles it, and nothing is trained")
        name, trained = self._trained()
        model = trained.model
        given |= {"cell": (model.cell,), "hidden": (model.hidden_size,), "layers": (model.layers,)}
        given |= {"bidirectional": model.bidirectional, "dtype": (model.dtype,), "steps": 0}
        batch_size = BATCH_SIZE if self.batch is None else self.batch
        return (model_task(name, model, trained.params, batch_size, own.get("seq_len", SEQ_LEN)),)

    def _trained(self) -> tuple[str, Trained]:
        """Return the model's name and itself. Its cell may be given for a file that does not tell its own."""
        if len(self.cell) > 1:
            raise UsageError("--cell takes one name with --model, that of the cell in the file")
        cell = self.cell[0] if self.cell else None
        if isinstance(self.model, Trained):
            name, title, trained = self.model.model.cell, "the model", self.model
            if cell not in (None, name):
                raise UsageError(f"the model's cell is {name}, not {cell}; leave the cell out")
        else:
            name, title, trained = Path(str(self.model)).stem, repr(self.model), load_weights(str(self.model), cell)
        for remark in trained.remarks:
            warn(f"{title}: {remark}", RnnbenchWarning, stacklevel=2)
        if self.against is not None and (why := disagreement(load_weights(self.against, cell), trained)):
            raise Failure("mismatch", f"{title} does not hold what {self.against!r} holds: {why}")
        return name, trained


NAMES = tuple(field.name for field in fields(Options))
# By the type that a field is declared with: what is taken, and what it is called in a complaint.
_KINDS: dict[str, tuple[type, str]] = {
    "str": (str, "a text"),
    "int": (Integral, "a whole number"),
    "float": (Real, "a number"),
    "bool": (bool, "True or False"),
}


def _coerced(name: str, declared: str, value: object) -> Any:
    """Return an option's value as its field, declared so, has it. Raises UsageError for a value of another type."""
    if name == "model" and isinstance(value, Trained):
        return value
    several, kind = declared.startswith("tuple"), re.findall(r"str|int|float|bool", declared)[0]
    if several and isinstance(value, str) and name != "features":
        value = [item.strip() for item in value.split(",")]
    items = list(value) if several and isinstance(value, Iterable) and not isinstance(value, str) else [value]
    coerced = tuple(dict.fromkeys(_item(name, kind, item) for item in items))
    return coerced if several else coerced[0]


def _item(name: str, kind: str, value: object) -> object:
    taken, called = _KINDS[kind]
    if kind == "str" and isinstance(value, PathLike):
        value = fspath(value)
    if not isinstance(value, taken) or (isinstance(value, bool) and kind != "bool") or value == "":
        raise UsageError(f"--{name.replace('_', '-')} takes {called}; got {value!r:.60}")
    if isinstance(value, Integral) and kind == "int":
        return int(value)
    if isinstance(value, Real) and kind == "float":
        with suppress(OverflowError):  # of a whole number that no float holds
            if isfinite(value):
                return float(value)
        raise UsageError(f"--{name} takes a finite number; got {value!r:.60}")
    return value
