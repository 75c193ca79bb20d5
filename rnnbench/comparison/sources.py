"""What a run's rows come from, as digests: a run is resumed only where tasks, cells, plugins and files are the same."""

import ast
import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from rnnbench.comparison.plan import Settings
from rnnbench.registry import Registry

OF_A_FILE = re.compile(r"^((?:csv|model)(?:-.*)?)-[0-9a-f]{8}$")  # the id of a task made of one ends in its digest


def digests(registry: Registry, settings: Settings, backends: Iterable[str]) -> dict[str, str]:
    """Return a digest of the source of each task, cell, baseline and plugin's backend, by its name in words."""
    asked = {"tasks": settings.tasks, "cells": settings.cells, "backends": tuple(backends)}
    asked["baselines"] = () if settings.no_baselines else tuple(registry.baselines)
    found = {}
    for kind, name in ((kind, name) for kind, names in asked.items() for name in names):
        owner = registry.owners.get((kind, name))
        if owner and not (kind == "backends" and registry.built_in(kind, name)):  # ours has a version, which is noted
            digest = hashlib.sha256()
            for path in sorted(_files(Path(registry.modules[owner].__file__ or ""), set())):
                digest.update(path.name.encode() + b"\0" + path.read_bytes())
            found[f"{kind[:-1]} {name!r}"] = digest.hexdigest()[:16]
    return found


def _files(path: Path, seen: set[Path]) -> set[Path]:
    """Return the files of a package, or a module's own and those beside it that it imports; all are added to `seen`."""
    if path.name == "__init__.py":
        seen.update(path.parent.rglob("*.py"))
    elif path.is_file() and path not in seen:
        seen.add(path)
        for node in ast.walk(ast.parse(path.read_bytes())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                _files(path.with_name(f"{name.rpartition('.')[2]}.py"), seen)
    return seen


def changed(stored: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the names of those that a stored run had otherwise."""
    return [name for name, digest in now.items() if stored.get(name, digest) != digest]


def changed_file(stored: object, settings: Settings) -> str | None:
    """Return the task of a file that is all that differs between stored settings and these; None where there is none.

    The file has other contents than it had, or is cut in another way.
    """
    now = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(settings).items()}
    if (
        not isinstance(stored, dict)
        or not isinstance(stored.get("tasks"), list)
        or {**stored, "tasks": 0} != {**now, "tasks": 0}
    ):
        return None
    pairs = list(zip(map(str, stored["tasks"]), settings.tasks, strict=False))
    alike = len(stored["tasks"]) == len(settings.tasks) and all(_plain(one) == _plain(other) for one, other in pairs)
    return next((other for one, other in pairs if alike and one != other), None)


def _plain(task: str) -> str:
    return OF_A_FILE.sub(r"\1", task)
