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


def save_split(path: Path, split: Split) -> None:
    """Write a split, with its windows."""
    lengths = {} if split.lengths is None else {"lengths": split.lengths}
    windows = {} if split.windows is None else _windows(split.windows)
    every_step = np.array(split.every_step)
    save(path, {"x": split.x, "target": split.target, "every_step": every_step, **lengths, **windows})


def load_split(path: Path) -> Split:
    """Read what `save_split` wrote."""
    stored = load(path)
    windows = None
    if "which" in stored:
        series = tuple(np.split(stored["series"], np.cumsum(stored["rows"])[:-1]))
        names, leads = tuple(map(str, stored["names"])), tuple(map(int, stored["leads"]))
        arrays = {name: stored[name] for name in ("which", "origin", "offset", "scale")}
        windows = Windows(series, leads=leads, season=int(stored["season"]) or None, names=names, **arrays)
    return Split(stored["x"], stored["target"], stored.get("lengths"), bool(stored["every_step"]), windows)


def _windows(windows: Windows) -> dict[str, Array]:
    """Return them as arrays: a file of thousands of arrays, one a series, would take long to write."""
    return {
        **{name: getattr(windows, name) for name in ("which", "origin", "offset", "scale")},
        "series": np.concatenate([np.empty(0), *windows.series]),
        "rows": np.array([len(values) for values in windows.series]),
        "leads": np.array(windows.leads),
        "season": np.array(windows.season or 0),
        "names": np.array(windows.names, dtype=np.str_),
    }


def cast(data: Data, dtype: str) -> Data:
    """Return the data as all backends and the reference get them: rounded to the row's dtype, but for class indices."""
    validation = None if data.validation is None else _cast(data.validation, dtype)
    return Data(_cast(data.train, dtype), _cast(data.test, dtype), validation)


def _cast(split: Split, dtype: str) -> Split:
    target = split.target.astype(dtype) if split.target.dtype.kind == "f" else split.target
    return replace(split, x=np.ascontiguousarray(split.x, dtype), target=np.ascontiguousarray(target))
