"""A kernel cache on disk that works between processes.

Numba's own `cache=True` misses for closures over jitted functions and does not see an edited helper. Here the key is a
digest of everything that decides the machine code: this package's kernel sources, what the cell's own functions are
made of (fingerprint.py), versions, CPU, settings and signature; and of nothing else. The file is a JSON header with a
checksum, then Numba's own serialisation. That last is a pickle, so it is read only where nobody else can have written
(kernel_folder.py): whoever could plant a file there could change the program too. A damaged or foreign file is ignored
and written anew. With no such place there is no cache.
"""

import hashlib
import json
import pickle
import platform
import re
from functools import cache
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm
import numba
import numpy as np
from numba.core import compiler, config
from numba.core.caching import _Cache
from numba.core.serialize import dumps

from rnnbench.kernels import kernel_folder
from rnnbench.kernels.fingerprint import fingerprint
from rnnbench.kernels.target import OPTIONS, target

FORMAT = 2
# Numba's settings that change no machine code of ours; any other, of a later Numba too, is part of the key.
NOT_CODE = re.compile(r"NUMBA_(DEFAULT_)?NUM_THREADS|(THREADING|CACHE|CUDA|COLOR|SHOW)_.*|.*TRACE.*")


def _read_sources():
    """Return the bytes of every kernel source and of what a cell is built with."""
    here = Path(__file__).parent
    files = sorted(here.glob("*.py")) + [here.parent / "cells" / name for name in ("spec.py", "maths.py")]
    return b"".join(file.read_bytes() for file in files)


# At once: what is edited while we run is not what we run.
_SOURCES = hashlib.sha256(_read_sources()).hexdigest()


@cache
def _host():
    versions = platform.python_version(), numba.__version__, llvmlite.__version__, np.__version__
    cpu = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    return (*versions, llvm.llvm_version_info, platform.machine(), repr(target()), *cpu)


def _settings():
    """Return Numba's settings as they are in force, by whichever of its ways they were set."""
    names = (name for name in dir(config) if name.isupper() and not NOT_CODE.fullmatch(name))
    return repr([(name, getattr(config, name)) for name in names])


def digest(name, dtype, signature, made_of=(), known=None):
    """Return the key of one kernel, the same in every process. Raises NotFollowed.

    made_of: what makes it besides the sources here. known: what counts by a name of ours there, by its id.
    """
    own = fingerprint(made_of, known)
    return fingerprint((FORMAT, _SOURCES, _host(), _settings(), OPTIONS, name, dtype.name, str(signature), own))


class KernelCache(_Cache):
    """Numba's cache interface for one function of one signature, kept under a key of our own."""

    def __init__(self, key):
        self.key = key
        self.hit = self.saved = False
        self.place, self.notice = kernel_folder.safe_directory()

    @property
    def cache_path(self):
        return str(self.place)

    @property
    def file(self):
        return self.place / (self.key + kernel_folder.SUFFIX)

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
        if self.notice is None:
            payload = dumps(data._reduce())
            content = json.dumps(self._header(payload)).encode() + b"\n" + payload
            self.saved = kernel_folder.write(self.file, content)

    def _header(self, payload):
        return {"format": FORMAT, "key": self.key, "sha256": hashlib.sha256(payload).hexdigest()}

    def _read(self):
        """Return the payload, if the file is ours, whole, and of this key."""
        header, _, payload = (kernel_folder.read(self.file) or b"").partition(b"\n")
        try:
            whole = json.loads(header) == self._header(payload)
        except ValueError:
            return None
        return payload if whole else None

    def flush(self):
        """Do nothing: Numba asks for these three, and a key says all."""

    enable = disable = flush
