"""What the code is generated for: vector width and registers of the CPU, and the options every kernel shares."""

import itertools
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeAlias

import llvmlite.binding as llvm
import numpy as np
from numba import njit
from numba.core import config
from numba.core.bytecode import FunctionIdentity

from rnnbench.errors import Unsupported

DType = np.dtype[Any]
# A function that Numba has compiled or will compile. Its class is a descriptor: a property of one would be a method.
Jitted: TypeAlias = Any
# Enough freedom for fused multiply-adds, and none that would lose a NaN, an infinity or the sign of an argument.
FASTMATH = {"contract"}
OPTIONS = {"nogil": True, "fastmath": FASTMATH, "error_model": "numpy", "boundscheck": False}

FULL = 3  # of the levels of optimisation
_AVX2_NAMES = ("haswell", "broadwell", "skylake", "alderlake", "znver1", "znver2", "znver3", "x86-64-v3", "core-avx2")
_AVX512_NAMES = ("skylake-avx512", "cascadelake", "icelake-server", "sapphirerapids", "znver4", "znver5", "x86-64-v4")


# Numba numbers functions from 1 in every process, and a number is part of a function's name in machine code. Kernels
# compiled by two processes and read from the cache by a third would meet there under the same names, and one would run
# the other's code. So each process begins somewhere else.
FunctionIdentity._unique_ids = itertools.count(secrets.randbits(60))


def check_settings() -> None:
    """Raise Unsupported where Numba's settings would have other code measured than ours: interpreted, not optimised, or
    with checks. They come from the environment or from .numba_config.yaml."""
    asked = {
        "DISABLE_JIT": config.DISABLE_JIT,
        "BOUNDSCHECK": config.BOUNDSCHECK,
        "DEBUG": config.DEBUG,
        "DEBUGINFO": config.DEBUGINFO_DEFAULT,
        "OPT": int(config.OPT) != FULL,
    }
    if wrong := [name for name, value in asked.items() if value]:
        raise Unsupported(f"NUMBA_{wrong[0]} is set, and other code than ours would be measured; unset it")


def jit(function: Callable[..., object], **options: str) -> Jitted:
    """Compile a helper or kernel."""
    return njit(**{**OPTIONS, **options})(function)


# Every jitted helper is optimised and turned into machine code on its own, and then again inside its caller. The large
# ones are inlined into their caller by Numba instead.
inline = partial(jit, inline="always")


@dataclass(frozen=True)
class Target:
    """vector_bytes: the widest register; registers: how many there are."""

    cpu: str
    vector_bytes: int
    registers: int

    def lanes(self, dtype: DType) -> int:
        """Return how many values of a dtype the widest register holds."""
        return self.vector_bytes // dtype.itemsize

    @property
    def accumulators(self) -> int:
        """Return how many registers a tile may fill with sums: the rest holds its operands."""
        return self.registers * 3 // 4


@cache
def target() -> Target:
    """Return the CPU that Numba compiles for: this one, unless NUMBA_CPU_NAME says otherwise."""
    name = os.environ.get("NUMBA_CPU_NAME")
    if name is None:
        name, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features()
        avx512 = bool(features.get("avx512f") and features.get("avx512vl"))
        avx2 = bool(features.get("avx2") and features.get("fma"))
    else:
        asked = os.environ.get("NUMBA_CPU_FEATURES", "")
        avx512 = name in _AVX512_NAMES or "+avx512f" in asked
        avx2 = name in _AVX2_NAMES or "+avx2" in asked
    if avx512:
        return Target(name, 64, 32)
    if avx2:
        return Target(name, 32, 16)
    arm = llvm.get_default_triple().startswith(("aarch64", "arm64"))
    return Target(name, 16, 32 if arm else 16)
