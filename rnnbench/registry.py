"""Finds cells, tasks, baselines and backends: built-ins, installed entry points and one-file plugins, by one contract.

A broken plugin is reported by name and left out; the others work on. A plugin runs with the user's rights: this
contains faults, not malice.
"""

import contextlib
import importlib
import importlib.util
import inspect
import io
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import ClassVar, TypeVar

import pluggy

from rnnbench import backends, baselines, cells, hookspecs, tasks, weights
from rnnbench.backends.base import BackendInfo
from rnnbench.baselines.spec import Baseline
from rnnbench.cells.spec import Cell
from rnnbench.errors import UnknownName, UsageError, did_you_mean
from rnnbench.offers import KINDS, Offer, complaint
from rnnbench.restoring import restored
from rnnbench.tasks.spec import Task
from rnnbench.weights.spec import Converter

Registered = TypeVar("Registered")
GROUP = "rnnbench"
HOOK = b"\n@hookimpl\n"
BUILT_IN = "built in"


@dataclass(frozen=True)
class PluginProblem:
    """A plugin, or one of its offers, that was left out, or what a plugin did to this process."""

    plugin: str
    message: str


@dataclass
class Registry:
    """Everything registered, by kind and id. `plugins` maps each name to where it was found, `owners` kind and id to
    the plugin that offers it, `modules` a plugin to what was imported.

    A look-up of a name that nobody registered raises UnknownName.
    """

    cells: dict[str, Cell] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    baselines: dict[str, Baseline] = field(default_factory=dict)
    backends: dict[str, BackendInfo] = field(default_factory=dict)
    converters: dict[str, Converter] = field(default_factory=dict)
    plugins: dict[str, str] = field(default_factory=dict)
    owners: dict[tuple[str, str], str] = field(default_factory=dict)
    modules: dict[str, ModuleType] = field(default_factory=dict)
    problems: list[PluginProblem] = field(default_factory=list)

    def cell(self, name: str) -> Cell:
        """Return the cell of this id."""
        return _known("cell", self.cells, name)

    def task(self, name: str) -> Task:
        """Return the task of this id."""
        return _known("task", self.tasks, name)

    def baseline(self, name: str) -> Baseline:
        """Return the baseline of this id."""
        return _known("baseline", self.baselines, name)

    def backend(self, name: str) -> BackendInfo:
        """Return what the backend of this id says of itself."""
        return _known("backend", self.backends, name)

    def built_in(self, kind: str, name: str) -> bool:
        """Tell whether rnnbench itself offers the cell, task, ... of this id."""
        return self.plugins.get(self.owners.get((kind, name), "")) == BUILT_IN

    def needed(self, **names: Iterable[str]) -> tuple[str, ...]:
        """Return the plugins that offer these, by kind: `needed(cells=["gru"])`. The built-ins are always there."""
        asked = [(kind, name) for kind, several in names.items() for name in several]
        found = [self.owners[each] for each in asked if each in self.owners and not self.built_in(*each)]
        return tuple(dict.fromkeys(found))

    def converter(self, path: Path) -> Converter:
        """Return the one whose suffix the file has. Raises UsageError where there is none, or more than one."""
        found = [known for known in self.converters.values() if path.name.lower().endswith(known.suffix)]
        if len(found) == 1:
            return found[0]
        if found:
            names = " and ".join(repr(known.id) for known in found)
            raise UsageError(f"{names} both claim {str(path)!r}; turn one plugin off with -p no:NAME")
        known_suffixes = ", ".join(sorted(known.suffix for known in self.converters.values()))
        raise UsageError(f"{str(path)!r} is of no type that is known; known: {known_suffixes}")


def _known(kind: str, known: dict[str, Registered], name: str) -> Registered:
    if name not in known:
        raise UnknownName(kind, name, list(known))
    return known[name]


class Loader:
    """Builds a `Registry`; every step of a plugin's is guarded, and what it prints is kept off our output."""

    def __init__(self) -> None:
        self.registry = Registry()
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._known = {name for name in vars(hookspecs) if name.startswith("rnnbench_")}

    def load(self, requests: Sequence[str], needed: Collection[str] | None = None) -> Registry:
        """Return what all plugins offer, or the built-ins and those that are needed, by name.

        requests: ``-p`` values: a file, a module, or ``no:NAME``. Raises UsageError for one that is not there.
        """
        refused = {request.removeprefix("no:") for request in requests if request.startswith("no:")}
        wanted = [request for request in requests if not request.startswith("no:")]
        for request in wanted:
            if request.endswith(".py") and not Path(request).is_file():
                raise UsageError(f"there is no plugin file {request!r}; -p takes a .py file, a module or no:NAME")
            if not request.endswith(".py") and not _findable(request):
                raise UsageError(f"there is no module {request!r}; -p takes a .py file, a module or no:NAME")
        found: list[tuple[str, str, Callable[[], ModuleType]]] = []
        for name in _builtin_modules():
            found.append((name.removeprefix("rnnbench."), BUILT_IN, partial(importlib.import_module, name)))
        for entry in entry_points(group=GROUP):
            origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
            found.append((entry.name, origin, entry.load))
        for request in wanted:
            name = Path(request).stem if request.endswith(".py") else request
            if needed is not None and request.endswith(".py"):
                PluginFiles.paths[name] = Path(request).resolve()
            found.append((name, request, partial(_import_request, request)))
        if unknown := refused - {name for name, _, _ in found}:
            raise UnknownName("plugin", sorted(unknown)[0], [name for name, _, _ in found])
        for name, origin, imports in found:
            if name in refused or (needed is not None and origin != BUILT_IN and name not in needed):
                continue
            if name in self.registry.plugins:
                self._problem(name, f"is there twice ({self.registry.plugins[name]}; {origin}); the first is used")
                continue
            module = self._guard(name, imports, ours=origin == BUILT_IN)
            if module is None or not self._register(name, module):
                continue
            if self._manager.get_hookcallers(module):
                self.registry.plugins[name], self.registry.modules[name] = origin, module
            else:
                self._problem(name, f"has no hook; the hooks are {', '.join(sorted(self._known))}")
        for kind in KINDS:
            self._collect(kind)
        return self.registry

    def _register(self, name: str, module: object) -> bool:
        for attribute in vars(module) if isinstance(module, ModuleType) else dir(module):
            a_hook = attribute.startswith("rnnbench_") and callable(getattr(module, attribute))
            if a_hook and (why := self._hook_complaint(module, attribute)):
                self._problem(name, why)
                return False
        return self._guard(name, lambda: self._manager.register(module, name)) is not None

    def _hook_complaint(self, module: object, hook: str) -> str | None:
        """Return why this function of a plugin's cannot be a hook, or None."""
        if hook not in self._known:
            hint = did_you_mean(hook, sorted(self._known), 0.75) or f"the hooks are {', '.join(sorted(self._known))}"
            return f"has an unknown hook {hook}; {hint}"
        if self._manager.parse_hookimpl_opts(module, hook) is None:
            return f"has {hook} without @rnnbench.hookimpl; mark it"
        parameters = inspect.signature(getattr(module, hook)).parameters.values()
        if required := [
            str(p) for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]:
            return f"{hook} takes no arguments; got {', '.join(required)}"
        return None

    def _collect(self, kind: str) -> None:
        offers: dict[str, list[tuple[str, Offer]]] = {}
        for implementation in getattr(self._manager.hook, f"rnnbench_{kind}").get_hookimpls():
            name = implementation.plugin_name
            ours = self.registry.plugins.get(name) == BUILT_IN
            for offer in self._guard(name, partial(_listed, implementation.function), ours) or ():
                if why := complaint(kind, offer):
                    self._problem(name, why)
                else:
                    offers.setdefault(offer.id, []).append((name, offer))
        registered = getattr(self.registry, kind)
        for offer_id, owners in offers.items():
            if len(owners) == 1:
                self.registry.owners[kind, offer_id], registered[offer_id] = owners[0]
            else:
                names = " and ".join(name for name, _ in owners)
                self._problem(names, f"both offer the {kind[:-1]} {offer_id!r}; turn one off with -p no:NAME")

    def _guard(self, name: str, action: Callable[[], Registered], ours: bool = False) -> Registered | None:
        """Return the action's result, or None after noting what it raised: SystemExit too is a fault here. What an
        action that is not ours changes in the process is put back, and noted."""
        changed: list[str] = []
        guard = contextlib.nullcontext() if ours else restored(changed)
        try:
            with guard, contextlib.redirect_stdout(io.StringIO()):
                return action()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            text = str(error).splitlines()
            self._problem(name, f"{type(error).__name__}: {text[0] if text else 'no message'}")
            return None
        finally:
            for words in changed:
                self._problem(name, f"changes {words} when it is found; it must do so in a backend's factory")

    def _problem(self, plugin: str, message: str) -> None:
        self.registry.problems.append(PluginProblem(plugin, message))


def _listed(offers: Callable[[], Iterable[Offer]]) -> list[Offer]:
    return list(offers())


def _builtin_modules() -> Iterator[str]:
    """Yield the modules and packages of the built-in folders that have a hook; no other is imported for it."""
    for package in (cells, tasks, baselines, backends, weights):
        for found in iter_modules(package.__path__, f"{package.__name__}."):
            spec = importlib.util.find_spec(found.name)
            if spec is not None and spec.origin and HOOK in Path(spec.origin).read_bytes():
                yield found.name


def _findable(module: str) -> bool:
    """Tell whether the package that a module is of, or itself, is there; nothing is imported for it."""
    top = module.partition(".")[0]
    return top in sys.modules or (top.isidentifier() and importlib.util.find_spec(top) is not None)


def _import_request(request: str) -> ModuleType:
    if not request.endswith(".py"):
        return importlib.import_module(request)
    path = Path(request).resolve()
    name = path.stem
    if name in sys.stdlib_module_names or (name in sys.modules and sys.modules[name] is not _files.get(name)):
        raise ImportError(f"the name {name!r} belongs to another module; rename the file")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{request!r} is not a Python file that can be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = _files[name] = module  # so that a factory path "my_backend:make" finds it
    spec.loader.exec_module(module)
    return module


class PluginFiles:
    """Finds one-file plugins for others that import them by name, where not all have been imported."""

    paths: ClassVar[dict[str, Path]] = {}

    @classmethod
    def find_spec(cls, name: str, *_: object) -> ModuleSpec | None:
        return importlib.util.spec_from_file_location(name, cls.paths[name]) if name in cls.paths else None


sys.meta_path.append(PluginFiles)


_files: dict[str, ModuleType] = {}  # one-file plugins, by the name they have in sys.modules
_current: Registry | None = None
_requests: tuple[str, ...] = ()


def configure(requests: Sequence[str], needed: Collection[str] | None = None) -> Registry:
    """Load all plugins anew with these ``-p`` values, or those alone that are needed; later `registry()` calls return
    the result."""
    global _current, _requests
    loaded = Loader().load(
        tuple(requests), needed
    )  # before anything is set: it may fail, or a plugin may ask for registry()
    _current, _requests = loaded, tuple(requests)
    return loaded


def registry() -> Registry:
    """Return everything registered, loaded at first use."""
    return _current if _current is not None else configure(())


def requests() -> tuple[str, ...]:
    """Return the ``-p`` values in force, for handing to worker processes."""
    return _requests
