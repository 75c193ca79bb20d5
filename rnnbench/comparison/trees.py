"""Nested arrays in a file, never a pickle: what a plugin's own process is given and answers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnnbench.comparison.arrays import load, save
from rnnbench.model import Array
from rnnbench.tasks.spec import Split
from rnnbench.verify.reference import Outputs

KINDS = (Split, Outputs)  # that a tree may hold beside lists, dictionaries and arrays


def save_tree(path: Path, value: object) -> None:
    """Write lists, dictionaries, splits and outputs of arrays, numbers and texts."""
    found: list[Array] = []
    tree = json.dumps(_packed(value, found))
    save(path, {"tree": np.array(tree), **{str(number): array for number, array in enumerate(found)}})


def load_tree(path: Path) -> Any:
    """Return what `save_tree` wrote; a tuple comes back as a list. Raises Failure as `load` does."""
    stored = load(path)
    return _unpacked(json.loads(str(stored["tree"])), stored)


def _packed(value: object, found: list[Array]) -> object:
    if isinstance(value, np.ndarray):
        found.append(value)
        return {"array": str(len(found) - 1)}
    if type(value) in KINDS:
        held = {name: item for name, item in vars(value).items() if name != "windows"}  # which no reference looks at
        return {type(value).__name__: _packed(held, found)}
    if isinstance(value, Mapping):
        return {"by name": {name: _packed(item, found) for name, item in value.items()}}
    return [_packed(item, found) for item in value] if isinstance(value, list | tuple) else value


def _unpacked(tree: Any, arrays: Mapping[str, Array]) -> Any:
    if isinstance(tree, list):
        return [_unpacked(item, arrays) for item in tree]
    if not isinstance(tree, dict):
        return tree
    ((kind, held),) = tree.items()
    if kind == "array":
        return arrays[held]
    if kind == "by name":
        return {name: _unpacked(item, arrays) for name, item in held.items()}
    (made,) = [each for each in KINDS if each.__name__ == kind]
    return made(**_unpacked(held, arrays))
