"""Named arrays in a file, never a pickle: how data, parameters and outputs travel between parent and workers."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rnnbench.model import Array
from rnnbench.tasks.spec import Data, Split


def save(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write the arrays. Raises ValueError for one of objects."""
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **dict(arrays))


def load(path: Path) -> dict[str, Array]:
    """Read the arrays. Raises ValueError for one of objects."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def save_split(path: Path, split: Split) -> None:
    lengths = {} if split.lengths is None else {"lengths": split.lengths}
    save(path, {"x": split.x, "target": split.target, "every_step": np.array(split.every_step), **lengths})


def load_split(path: Path) -> Split:
    stored = load(path)
    return Split(stored["x"], stored["target"], stored.get("lengths"), bool(stored["every_step"]))


def cast(data: Data, dtype: str) -> Data:
    """Return the data as all backends and the reference get them: rounded to the row's dtype, but for class indices."""
    return Data(_cast(data.train, dtype), _cast(data.test, dtype))


def _cast(split: Split, dtype: str) -> Split:
    target = split.target.astype(dtype) if split.target.dtype.kind == "f" else split.target
    return Split(np.ascontiguousarray(split.x, dtype), np.ascontiguousarray(target), split.lengths, split.every_step)
