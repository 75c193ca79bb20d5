"""What travels between files and sessions, and what a converter is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rnnbench.model import Model, Params


@dataclass(frozen=True)
class Trained:
    """A model and its parameters, canonical names and layouts, checked by `Model.check_params`.

    remarks: lines for the user on what is odd in the file, though it can be read.
    """

    model: Model
    params: Params
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Converter:
    """A file format.

    suffix: of its files, with the dot, lower case. read: raises UsageError, one line naming what is wrong, for a file
    that cannot be understood; it executes nothing that the file holds. Its second argument is what the user says the
    cell is, for a file that does not tell. write: raises UsageError for a model that the
    format cannot express. Both import what they need when they are called.
    """

    id: str
    suffix: str
    title: str
    read: Callable[[Path, str | None], Trained]
    write: Callable[[Path, Trained], None]
