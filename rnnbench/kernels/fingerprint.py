"""A digest of functions by what Numba would compile of them: bytecode, constants, and all that they reach by closures,
defaults, globals and modules, wherever it stands. Names of files, line numbers, comments, addresses and the order of
sets have no part in it.

What comes with Python, NumPy or Numba counts by its name, and so do this package's kernel sources: their versions and
bytes are in a kernel's key anyhow. What cannot be followed raises `NotFollowed`: its change would not be seen.
"""

import builtins
import hashlib
import os
import re
import sys
import types as python
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import reduce
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numba.core import types
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic
from numba.core.typing.templates import builtin_registry

PACKAGES, BASE = ("numpy", "numba", "llvmlite"), os.path.dirname(os.__file__)
CORE = ("rnnbench.cells.spec", "rnnbench.cells.maths")
PLAIN = (type(None), type(...), bool, int, float, complex, str, bytes)
# What a dispatcher was made of when it was first seen: what it has compiled since, it has compiled of that.
_SEEN: "WeakKeyDictionary[Dispatcher, str]" = WeakKeyDictionary()


class NotFollowed(Exception):
    """Something that a function reaches and whose content cannot be known; the message names it."""


def fingerprint(value: Any, known: Mapping[int, str] | None = None, shallow: bool = False) -> str:
    """Return a digest of a value and of all it reaches, the same in every process. Raises NotFollowed.

    known: what counts by a name of ours, by its id. shallow: jitted functions count by identity.
    """
    walk = _Walk(known or {}, shallow)
    try:
        walk.add(value)
    except RecursionError:
        raise NotFollowed(f"{walk.at}, which is nested too deeply") from None
    return walk.digest.hexdigest()


class _Walk:
    """One walk, depth first. at: the name by which the present value was reached."""

    def __init__(self, known: Mapping[int, str], shallow: bool) -> None:
        self.digest, self.known, self.shallow, self.at = hashlib.sha256(), known, shallow, "the pair"
        # What can reach itself, by id: how many came before. Values are kept, so that no id becomes another's.
        self.met: dict[object, tuple[int, object]] = {}

    def token(self, kind: str, content: bytes = b"") -> None:
        self.digest.update(f"{kind}:{len(content)}:".encode() + content)

    def each(self, kind: str, values: Iterable[Any]) -> None:
        found = list(values)
        self.token(kind, str(len(found)).encode())
        for value in found:
            self.add(value)

    def add(self, value: Any) -> None:
        kind = type(value)
        if id(value) in self.known:
            self.token("known", self.known[id(value)].encode())
        elif kind in PLAIN:
            self.token(kind.__name__, repr(value).encode())
        elif isinstance(value, np.generic | np.ndarray) and not value.dtype.hasobject:
            layout = value.shape, value.flags.c_contiguous, value.flags.f_contiguous, value.flags.aligned
            self.each("array", (kind, value.dtype, layout, value.tobytes()))
        elif isinstance(value, np.dtype):
            self.each("dtype", (value.str, repr(value), value.alignment))
        elif kind in (tuple, list):
            self.each(kind.__name__, value)
        elif kind is dict:
            self.each("dict", (part for item in value.items() for part in item))
        elif kind in (set, frozenset):
            self.each("set", sorted(fingerprint(one, self.known) for one in value))
        elif isinstance(value, python.CodeType):
            self.code(value)
        elif isinstance(value, types.Type) and not re.search(" at 0x|#", value.name):  # an address
            self.each("type", (kind, value.name))
        elif name := _named(value):
            self.token("named", name.encode())
        elif issubclass(value if isinstance(value, type) else kind, tuple) and hasattr(value, "_fields"):
            # Of a named tuple, or its class, Numba knows the fields alone.
            self.each("named tuple", (value._fields, () if isinstance(value, type) else tuple(value)))
        elif id(value) in self.met:
            self.token("again", str(self.met[id(value)][0]).encode())
        else:
            self.met[id(value)] = len(self.met), value
            self.once(value)

    def once(self, value: Any) -> None:
        """Add what may reach itself, and so is not added twice in a walk."""
        if isinstance(value, python.FunctionType):
            self.function(value)
        elif isinstance(value, Dispatcher):
            self.dispatcher(value)
        elif isinstance(value, _Intrinsic):
            self.each("intrinsic", (value._defn,))
        else:
            raise NotFollowed(f"{self.at}, a {type(value).__name__}")

    def code(self, code: python.CodeType) -> None:
        shape = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
        places = code.co_names, code.co_freevars, code.co_cellvars, len(code.co_varnames)
        self.each("code", (code.co_code, getattr(code, "co_exceptiontable", b""), shape, places, code.co_consts))

    def function(self, function: python.FunctionType) -> None:
        code = function.__code__
        self.each("function", (code, function.__defaults__, function.__kwdefaults__))
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            if cell != python.CellType():  # an empty one
                self.reached(name, cell.cell_contents, code)
        missing = object()
        for name in dict.fromkeys(_names(code)):
            value = function.__globals__.get(name, vars(builtins).get(name, missing))
            if value is not missing:
                self.reached(name, value, code)
        self.each("overloads", _overloads(function))

    def reached(self, name: str, value: Any, code: python.CodeType) -> None:
        """Add what a function knows by a name; of a module, what it may take of it."""
        self.at = name
        self.token("name", name.encode())
        if not isinstance(value, python.ModuleType):
            self.add(value)
        elif (id(value), id(code)) not in self.met:
            self.met[id(value), id(code)] = len(self.met), (value, code)
            foreign = not _by_name(value.__name__)
            self.token("module", b"" if foreign else value.__name__.encode())
            taken = set(_names(code))
            if foreign and "getattr" in taken:
                taken |= set(vars(value)) - {"__builtins__", "__spec__", "__loader__", "__cached__", "__file__"}
            for attribute in sorted(taken):
                try:
                    found = getattr(value, attribute)
                except Exception:  # whatever a module's own code raises; Numba cannot have it either
                    continue
                if foreign or isinstance(found, python.ModuleType | python.FunctionType | Dispatcher):
                    self.reached(attribute, found, code)

    def dispatcher(self, jitted: Any) -> None:
        """Add a function that is jitted already. What it has compiled is of what it was made of then."""
        if self.shallow:
            self.token("dispatcher", str(id(jitted)).encode())
            return
        if not isinstance(jitted._cache, NullCache):
            raise NotFollowed(f"{self.at}, which Numba caches by the file it stands in (drop its cache=True)")
        name, now = self.at, fingerprint(jitted.py_func, self.known, shallow=True)
        # The reference, in NumPy, calls it with arrays, and our kernels never do.
        taken = [args for args in jitted.overloads if not any(isinstance(one, types.Array) for one in args)]
        if taken and _SEEN.get(jitted) != now:
            raise NotFollowed(f"{name}, which was compiled before, of what cannot be known now")
        _SEEN[jitted] = now
        self.each("dispatcher", (jitted.py_func, jitted.targetoptions, jitted.locals))


def _names(code: python.CodeType) -> Iterator[str]:
    """Return the names and strings in code, its inner functions' too: globals, attributes, and what `getattr` takes."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, python.CodeType):
            yield from _names(constant)


def _named(value: Any) -> str | None:
    """Return the name under which Python, NumPy, Numba or the core offer this very object, or None."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if isinstance(value, np.ufunc):
        module, name = "numpy", str(value).split("'")[1]
    if not isinstance(module, str) or not isinstance(name, str) or not _by_name(module):
        return None
    with suppress(AttributeError):
        if reduce(getattr, name.split("."), sys.modules.get(module)) is value:
            return f"{module}.{name}"
    return None


def _by_name(module: str) -> bool:
    """Return whether what a module holds is known by name. A plugin's file may be called like one of Python's."""
    if module in CORE or module.startswith("rnnbench.kernels."):
        return True
    file, top = getattr(sys.modules.get(module), "__file__", None) or BASE, module.partition(".")[0]
    return top in PACKAGES or (top in sys.stdlib_module_names and file.startswith(BASE) and "-packages" not in file)


def _overloads(function: python.FunctionType) -> list[object]:
    """Return what Numba was told to compile in a plain function's place (`overload`, `register_jitable`)."""
    kinds = [kind for value, kind in builtin_registry.globals if value is function]
    found = [getattr(template, "_overload_func", None) for kind in kinds for template in kind.templates]
    if None in found:
        raise NotFollowed(f"{function.__name__}, whose machine code is emitted by a rule of its own")
    return [overload for overload in found if overload is not function]
