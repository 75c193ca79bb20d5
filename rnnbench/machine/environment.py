"""What a figure depends on besides the program: processor, system, versions, load, commit."""

import hashlib
import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from rnnbench.errors import UsageError

PACKAGES = ("rnnbench", "numpy", "numba", "llvmlite", "scipy")


def machine() -> dict[str, Any]:
    """The facts that are stored with a run; JSON types only, None where the system does not tell.

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
        "governor": _line(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "commit": commit,
        "dirty": dirty,
    }


def core_count() -> int:
    """Physical cores, where the system tells them from logical ones."""
    return psutil.cpu_count(logical=False) or os.cpu_count() or 1


def machine_id(cpu: str, cores: int) -> str:
    """A short name for a processor model with so many cores."""
    words = "-".join(re.findall(r"[a-z0-9]+", cpu.lower()))[:32].strip("-")
    return f"{words}-{cores}c-{hashlib.sha256(f'{cpu}|{cores}'.encode()).hexdigest()[:6]}"


def cpu_model() -> str:
    """The processor's name with its family, model and stepping where the system tells: a name alone can stand for
    several generations."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        block = info.read_text(errors="replace").split("\n\n")[0]
        facts = dict(re.findall(r"^(.*?)\s*:\s*(.*)$", block, re.MULTILINE))
        if name := facts.get("model name"):
            numbers = [facts.get(key) for key in ("cpu family", "model", "stepping")]
            return " ".join([name, *(number for number in numbers if number)])
    return platform.processor() or platform.machine()


def usable_cores() -> list[int]:
    """The cores this process may run on; empty where the system has no affinity."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def check_threads(threads: int) -> None:
    """Raises UsageError for more threads than there are cores for them."""
    cores = len(usable_cores()) or os.cpu_count() or 1
    if threads > cores:
        raise UsageError(f"--threads {threads} is more than the {cores} cores here; ask for {cores} at most")


def source_state() -> tuple[str, bool]:
    """Return the commit of rnnbench's own checkout and whether it has changes.

    For an installed copy: $RNNBENCH_COMMIT, which says what it was installed from, or ("", False).
    """
    if commit := os.environ.get("RNNBENCH_COMMIT"):
        return commit, False
    here = Path(__file__).resolve().parent
    if _git(here, "ls-files", "--error-unmatch", Path(__file__).name) is None:
        return "", False
    commit = _git(here, "rev-parse", "HEAD") or ""
    program = (":/", ":(top,exclude)results")  # asv rewrites its tracked results while it measures
    return commit, bool(_git(here, "status", "--porcelain", "--untracked-files=no", "--", *program))


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _line(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
