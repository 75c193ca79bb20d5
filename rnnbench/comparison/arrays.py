"""Named arrays in a file, never a pickle: how data, parameters and outputs travel between parent and workers."""

import os
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from rnnbench.model import Array
from rnnbench.tasks.spec import Data, Split, Windows
from rnnbench.workers.failure import Failure, explain
from rnnbench.workers.worker import memory_limit

WINDOWS = "windows "  # begins the names of what a split's windows are


def save(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write the arrays. Raises ValueError for one of objects."""
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **dict(arrays))


def load(path: Path) -> dict[str, Array]:
    """Read the arrays. Raises Failure for what is no regular file of arrays, of ours or a worker's: one of objects, a
    link, or more than a process may hold."""
    try:
        with open(path, "rb", opener=_without_following) as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise ValueError("it is no regular file")
            with zipfile.ZipFile(file) as archive:
                if max(about.st_size, sum(info.file_size for info in archive.infolist())) > memory_limit():
                    raise ValueError("it is too large")
            file.seek(0)
            with np.load(file, allow_pickle=False) as named:
                return {name: named[name] for name in named.files}
    except Exception as error:  # what is in such a file decides which
        raise Failure("bad_output", f"its file of arrays cannot be read: {explain(error)}") from error


def _without_following(path: str, flags: int) -> int:
    """Open neither a link nor, waiting for whoever writes to it, a pipe."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def data_paths(stem: Path, data: Data) -> dict[str, str]:
    """Return the files of the splits that the data have, by name."""
    return {name: f"{stem}-{name}.npz" for name, split in vars(data).items() if split is not None}


def save_data(stem: Path, data: Data) -> None:
    """Write a file for each split that there is."""
    for name, path in data_paths(stem, data).items():
        save_split(Path(path), getattr(data, name))


def load_data(stem: Path) -> Data:
    """Read the splits that were written. Raises Failure."""
    train, test, validation = (Path(f"{stem}-{name}.npz") for name in ("train", "test", "validation"))
    return Data(load_split(train), load_split(test), load_split(validation) if validation.exists() else None)


def save_split(path: Path, split: Split) -> None:
    lengths = {} if split.lengths is None else {"lengths": split.lengths}
    windows = {} if split.windows is None else _flat(split.windows)
    ahead = {} if split.ahead is None else {"ahead": split.ahead}
    shared = {"x": split.x, "target": split.target, "every_step": np.array(split.every_step)}
    save(path, shared | lengths | windows | ahead)


def load_split(path: Path) -> Split:
    stored = load(path)
    windows = _windows(stored) if f"{WINDOWS}which" in stored else None
    every_step = bool(stored["every_step"])
    return Split(stored["x"], stored["target"], stored.get("lengths"), every_step, windows, stored.get("ahead"))


def _flat(windows: Windows) -> dict[str, Array]:
    """Return windows as arrays: the series one after the other, and how long each is; no season is 0."""
    arrays = {
        "series": np.concatenate([np.empty(0), *windows.series]),
        "counts": np.array([len(values) for values in windows.series], np.int64),
        "leads": np.array(windows.leads),
        "season": np.array(windows.season or 0),
        "names": np.array(windows.names, np.str_),
        **{name: getattr(windows, name) for name in ("which", "origin", "offset", "scale")},
        **({} if windows.level is None else {"level": windows.level}),
    }
    return {f"{WINDOWS}{name}": values for name, values in arrays.items()}


def _windows(stored: Mapping[str, Array]) -> Windows:
    own = {name.removeprefix(WINDOWS): values for name, values in stored.items() if name.startswith(WINDOWS)}
    ends = np.cumsum(own.pop("counts"))
    return Windows(
        series=tuple(np.split(own.pop("series"), ends[:-1])) if len(ends) else (),
        leads=tuple(own.pop("leads").tolist()),
        season=int(own.pop("season")) or None,
        names=tuple(own.pop("names").tolist()),
        **own,
    )


def cast(data: Data, dtype: str) -> Data:
    """Return the data as all backends and the reference get them: rounded to the row's dtype, but for class indices."""
    validation = None if data.validation is None else cast_split(data.validation, dtype)
    return Data(cast_split(data.train, dtype), cast_split(data.test, dtype), validation)


def cast_split(split: Split, dtype: str) -> Split:
    """Return a split rounded to a dtype, but for class indices."""
    target = split.target.astype(dtype) if split.target.dtype.kind == "f" else split.target
    ahead = None if split.ahead is None else np.ascontiguousarray(split.ahead, dtype)
    return replace(split, x=np.ascontiguousarray(split.x, dtype), target=np.ascontiguousarray(target), ahead=ahead)
