"""A kernel cache on disk that works between processes.

Numba's own `cache=True` misses for closures over jitted functions and does not see an edited helper. Here the key is a
digest of everything that decides the machine code: all kernel sources, the cell's source, versions, CPU, options and
signature. The file is a JSON header with a checksum, then Numba's own serialisation. That last is a pickle, so it is
read only from a directory that belongs to this user and that nobody else may write: whoever could plant a file there
could change the program too. A damaged or foreign file is ignored and written anew. With no such place there is no
cache.
"""

import contextlib
import hashlib
import inspect
import json
import os
import pickle
import platform
import stat
import sys
from functools import cache
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm
import numba
import numpy as np
from numba.core import compiler
from numba.core.caching import _Cache
from numba.core.serialize import dumps

from rnnbench import atomic
from rnnbench.cells.spec import Cell
from rnnbench.kernels.target import OPTIONS, target

SUFFIX = ".kernel"
FORMAT = 1


def directory() -> Path:
    """Return where kernels are kept: $RNNBENCH_CACHE_DIR, else the platform's cache folder."""
    if asked := os.environ.get("RNNBENCH_CACHE_DIR"):
        return Path(asked)
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "rnnbench" / "kernels"


def safe_directory() -> tuple[Path | None, str | None]:
    """Return (directory, None) once it exists and is this user's alone, else (None, why not)."""
    path = directory()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except OSError as error:
        return None, f"kernels are not cached: {path}: {error.strerror}; set RNNBENCH_CACHE_DIR"
    if hasattr(os, "getuid"):
        if status.st_uid != os.getuid():
            return None, f"kernels are not cached: {path} belongs to another user; set RNNBENCH_CACHE_DIR"
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return None, f"kernels are not cached: others may write to {path}; run: chmod 700 {path}"
    if not os.access(path, os.W_OK):
        return None, f"kernels are not cached: {path} cannot be written; set RNNBENCH_CACHE_DIR"
    return path, None


@cache
def _sources():
    """Return the bytes of every kernel source and of what a cell is built with."""
    here = Path(__file__).parent
    files = sorted(here.glob("*.py")) + [here.parent / "cells" / name for name in ("spec.py", "maths.py")]
    return b"".join(file.read_bytes() for file in files)


@cache
def _circumstances():
    versions = platform.python_version(), numba.__version__, llvmlite.__version__, np.__version__
    host = platform.machine(), target(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    settings = sorted(f"{k}={v}" for k, v in os.environ.items() if k.startswith("NUMBA_"))
    return repr((FORMAT, versions, host, settings, sorted(OPTIONS.items(), key=str))).encode()


def cell_fingerprint(cell: Cell) -> str | None:
    """Return a digest of a cell's data and source; None if the source cannot be read."""
    total = hashlib.sha256(repr((cell.id, cell.states, [s.accumulators for s in cell.stages])).encode())
    for stage in cell.stages:
        try:
            total.update(Path(inspect.getsourcefile(stage.pair) or "").read_bytes())
        except (OSError, TypeError):
            return None
        total.update(stage.pair.__qualname__.encode())
    return total.hexdigest()


def digest(name, cell, dtype, signature):
    """Return the key of one kernel, the same in every process; None for a cell whose source cannot be read."""
    fingerprint = cell_fingerprint(cell) if cell is not None else ""
    if fingerprint is None:
        return None
    total = hashlib.sha256(_circumstances() + _sources())
    total.update(repr((name, fingerprint, dtype.name, str(signature))).encode())
    return total.hexdigest()


class KernelCache(_Cache):
    """Numba's cache interface for one function of one signature, kept under a key of our own."""

    def __init__(self, key):
        self.key = key
        self.hit = False
        self.place, self.notice = safe_directory()  # a folder, or None where nothing is kept

    @property
    def cache_path(self):
        return str(self.place)

    @property
    def file(self):
        return self.place / (self.key + SUFFIX)

    def load_overload(self, sig, target_context):
        if self.place is None:
            return None
        target_context.refresh()
        payload = self._read()
        if payload is None:
            return None
        try:
            result = compiler.CompileResult._rebuild(target_context, *pickle.loads(payload))  # noqa: S301
        except Exception:  # a payload that passed its checksum yet cannot be used is compiled anew
            return None
        self.hit = True
        return result

    def save_overload(self, sig, data):
        if self.place is None:
            return
        payload = dumps(data._reduce())
        content = json.dumps(self._header(payload)).encode() + b"\n" + payload
        with contextlib.suppress(OSError):  # a full disk costs the cache, not the run
            atomic.replace(self.file, content, mode=0o600, durable=False)

    def _header(self, payload):
        return {"format": FORMAT, "key": self.key, "sha256": hashlib.sha256(payload).hexdigest()}

    def _read(self):
        """Return the payload, if the file is ours, whole, and of this key."""
        try:
            with open(self.file, "rb") as source:
                if hasattr(os, "getuid") and os.fstat(source.fileno()).st_uid != os.getuid():
                    return None
                header, _, payload = source.read().partition(b"\n")
            whole = json.loads(header) == self._header(payload)
        except (OSError, ValueError):
            return None
        return payload if whole else None

    def flush(self):
        """Do nothing: Numba asks for these three, and a key says all."""

    enable = disable = flush
