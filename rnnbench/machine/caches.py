"""The processor's data caches: how much of them a number of threads has between them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rnnbench.units import GIB, KIB, MIB

CPUS = Path("/sys/devices/system/cpu")
FACTORS = {"": 1, "K": KIB, "M": MIB, "G": GIB}
# Where the system does not tell: common sizes, which a core has for itself but for the last.
ASSUMED = (("L1", 32 * KIB, False), ("L2", MIB, False), ("L3", 16 * MIB, True))


@dataclass(frozen=True)
class Cache:
    """One level. instances: bytes of each cache of this level that some of our cores use, largest first."""

    name: str
    instances: tuple[int, ...]

    def held(self, threads: int) -> int:
        """Return the bytes that `threads` threads, on cores as far apart as there are, can keep in it."""
        return sum(self.instances[:threads])


def caches(cores: Iterable[int], root: Path = CPUS) -> tuple[tuple[Cache, ...], bool]:
    """Return the data caches of these cores, from the first level on, and whether the system told them or they are
    assumed."""
    cores = list(cores)
    found: dict[int, dict[str, int]] = {}
    for core in cores:
        for folder in sorted((root / f"cpu{core}" / "cache").glob("index*")):
            try:
                level, kind, size, shared = (
                    (folder / name).read_text().strip() for name in ("level", "type", "size", "shared_cpu_list")
                )
                if kind != "Instruction":
                    found.setdefault(int(level), {})[shared] = _bytes(size)
            except (OSError, ValueError):
                continue
    if not found:
        count = max(1, len(cores))
        return tuple(Cache(name, (size,) * (1 if shared else count)) for name, size, shared in ASSUMED), False
    return tuple(Cache(f"L{n}", tuple(sorted(found[n].values(), reverse=True))) for n in sorted(found)), True


def _bytes(text: str) -> int:
    """Return 32K, 1M or 512 as a number of bytes. Raises ValueError."""
    match = re.fullmatch(r"([1-9]\d*)([KMG]?)", text)
    if not match:
        raise ValueError(text)
    return int(match[1]) * FACTORS[match[2]]
