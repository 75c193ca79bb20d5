"""What a figure depends on besides the program: processor, system, versions, load, commit."""

import hashlib
import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from rnnbench.errors import UsageError
from rnnbench.machine.git import git

PACKAGES = ("rnnbench", "numpy", "numba", "llvmlite", "scipy")
GIT_SECONDS = 10.0  # a run is not kept waiting for longer


def machine() -> dict[str, Any]:
    """Return the facts that are stored with a run; JSON types only, None where the system does not tell.

    ``id`` names the kind of machine, not the machine: two of a kind may be compared.
    """
    cpu, cores = cpu_model(), core_count()
    commit, dirty = source_state()
    return {
        "id": machine_id(cpu, cores),
        "cpu": cpu,
        "cores": cores,
        "logical_cores": os.cpu_count(),
        "usable_cores": len(usable_cores()) or os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "governor": read_line(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "commit": commit,
        "dirty": dirty,
    }


def core_count() -> int:
    """Count the physical cores, where the system tells them from logical ones."""
    return psutil.cpu_count(logical=False) or os.cpu_count() or 1


def machine_id(cpu: str, cores: int) -> str:
    """Return a short name for a processor model with so many cores."""
    words = "-".join(re.findall(r"[a-z0-9]+", cpu.lower()))[:32].strip("-")
    return f"{words}-{cores}c-{hashlib.sha256(f'{cpu}|{cores}'.encode()).hexdigest()[:6]}"


def cpu_model() -> str:
    """Return the processor's name with its family, model and stepping where the system tells: a name alone can stand
    for several generations."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        block = info.read_text(errors="replace").split("\n\n")[0]
        facts = dict(re.findall(r"^(.*?)\s*:\s*(.*)$", block, re.MULTILINE))
        if name := facts.get("model name"):
            numbers = [facts.get(key) for key in ("cpu family", "model", "stepping")]
            return " ".join([name, *(number for number in numbers if number)])
    return platform.processor() or platform.machine()


def usable_cores() -> list[int]:
    """Return the cores this process may run on; empty where the system has no affinity."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def check_threads(threads: int) -> None:
    """Raise UsageError for more threads than there are cores for them."""
    cores = len(usable_cores()) or os.cpu_count() or 1
    if threads > cores:
        raise UsageError(f"--threads {threads} is more than the {cores} cores here; ask for {cores} at most")


def source_state() -> tuple[str, bool]:
    """Return the commit of rnnbench's own checkout and whether it has changes.

    For an installed copy: $RNNBENCH_COMMIT, which says what it was installed from, or ("", False).
    """
    if commit := os.environ.get("RNNBENCH_COMMIT"):
        return commit, False
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return "", False
    commit = _git("rev-parse", "HEAD") or ""
    program = (":/", ":(top,exclude)results")  # asv rewrites its tracked results while it measures
    return commit, bool(
        _git("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all", "--", *program)
    )


def _git(*arguments: str) -> str | None:
    """Return what git says of this file's folder; None where it says nothing in time."""
    try:
        return git(Path(__file__).resolve().parent, *arguments, seconds=GIT_SECONDS).decode(errors="replace").strip()
    except UsageError:
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def read_line(path: Path) -> str | None:
    """Return a small file's text; None where the system does not have it."""
    try:
        return path.read_text().strip()
    except OSError:
        return None
