"""What a user may ask of a comparison, by the names of the command line, and the settings and tasks this stands for."""

import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, fields
from math import isfinite
from numbers import Integral, Real
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import warn

from rnnbench.comparison.plan import Settings
from rnnbench.errors import RnnbenchWarning, UsageError
from rnnbench.loading import load_weights
from rnnbench.tables.options import TableOptions
from rnnbench.tasks.forecast import ForecastTask
from rnnbench.tasks.model_file import BATCH_SIZE, SEQ_LEN, model_task
from rnnbench.tasks.own_table import CutOptions, own_task
from rnnbench.tasks.spec import Workload
from rnnbench.verify.agreement import disagreement
from rnnbench.weights.spec import Trained
from rnnbench.workers.failure import Failure

if TYPE_CHECKING:
    import pandas as pd

# What a model's file says itself, or what only training has.
SETTLED_BY_MODEL = ("task", "csv", "hidden", "layers", "bidirectional", "dtype", "steps", "lr", "folds")
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
OF_TABLE = tuple(field.name for field in fields(TableOptions) if field.name != "source")
OF_CUT = tuple(field.name for field in fields(CutOptions))
OF_CSV = (*OF_TABLE, "features", *OF_CUT)
NAMES_OF_COLUMNS = ("target", "features", "past", "known", "static")
OF_MODEL = ("against", "seq_len")


@dataclass(frozen=True)
class Options(CutOptions):
    """As given; None, False and () leave a choice open. csv: a file, "-" for standard input, or a frame. features: the
    old name of past. model: a file, or a `Trained` in memory."""

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
    folds: int | None = None
    all_backends: bool = False
    no_baselines: bool = False
    csv: "str | pd.DataFrame | None" = None
    target: tuple[str, ...] = ()
    time: str | None = None
    id: str | None = None
    past: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    fill: str | None = None
    frequency: str | None = None
    season: int | None = None
    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    day_first: bool | None = None
    sheet: str | None = None
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
        values = {
            **{name: getattr(self, name) for name in NAMES},
            "csv": self.csv is not None,
        }  # a frame is never equal
        given = {name: value for name, value in values.items() if value not in (None, ()) and value is not False}
        tasks = (*self._model_tasks(given), *self._csv_tasks(given))
        if tasks:
            given["task"] = (*given.get("task", ()), *(task.id for task in tasks))
        if self.quick:
            given.setdefault("seeds", 1)
        return Settings(**{FIELDS.get(name, name): value for name, value in given.items()}), tasks

    def _csv_tasks(self, given: dict[str, Any]) -> tuple[Workload, ...]:
        """Take the options of a table out of `given`."""
        own = [name for name in OF_CSV if given.pop(name, None) is not None]
        if own and self.csv is None:
            raise UsageError(f"--{own[0].replace('_', '-')} belongs to --csv FILE, which is missing")
        given.pop("csv", None)
        return () if self.csv is None else (self.own_task(),)

    def own_task(self) -> ForecastTask:
        """Read the table that is given, and return the task of forecasting it. Raises UsageError."""
        if self.csv is None:
            raise UsageError("no table is given; name one with --csv FILE")
        past = tuple(name for name in dict.fromkeys((*self.past, *self.features)) if name not in self.target)
        table = {name: getattr(self, name) for name in OF_TABLE} | {"source": self.csv, "past": past}
        return own_task(TableOptions(**table), self)

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
    if (name == "model" and isinstance(value, Trained)) or (name == "csv" and _is_frame(value)):
        return value
    several, kind = declared.startswith("tuple"), re.findall(r"str|int|float|bool", declared)[0]
    if several and isinstance(value, str) and name not in NAMES_OF_COLUMNS:
        value = [item.strip() for item in value.split(",")]
    items = list(value) if several and isinstance(value, Iterable) and not isinstance(value, str) else [value]
    coerced = tuple(dict.fromkeys(_item(name, kind, item) for item in items))
    return coerced if several else coerced[0]


def _is_frame(value: object) -> bool:
    """Tell whether this is a frame of pandas, which nobody can have made without importing it."""
    return (pandas := sys.modules.get("pandas")) is not None and isinstance(value, pandas.DataFrame)


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
