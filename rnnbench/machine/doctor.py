"""What may spoil a measurement on this machine: facts, and what is to be said of them. `rnnbench doctor` prints it."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from rnnbench.backends.base import load_factory
from rnnbench.machine.environment import core_count, cpu_model, machine, read_line, usable_cores
from rnnbench.records.noise import KnownNoise
from rnnbench.records.statistics import minimum_effect
from rnnbench.registry import Registry
from rnnbench.units import GIB

SYSTEM = Path("/sys/devices/system")
WATCHED_SECONDS = 0.5
MOST_BUSY, MOST_STOLEN = 0.1, 0.01  # shares of all processor time, by others than us and by the host
STEADY_CLOCKS = ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter")
CACHE = "rnnbench.kernels.kernel_folder:safe_directory"


@dataclass(frozen=True)
class HealthCheck:
    """value: how it is. warning: what is wrong with that, empty where nothing is. action: the one thing to do then."""

    topic: str
    value: str
    warning: str = ""
    action: str = ""


@dataclass(frozen=True)
class Facts:
    """As the system tells them; None where it does not. busy and stolen: shares of all processor time just now, taken
    by other programs and by other guests of the host. quota: cores' worth of time that a container may use."""

    cpu: str
    cores: int
    logical: int
    usable: int
    siblings: bool | None = None
    governor: str | None = None
    boost: bool | None = None
    busy: float | None = None
    stolen: float | None = None
    quota: float | None = None
    clock: str | None = None
    resolution_seconds: float = 1e-9
    memory_bytes: int = 0
    memory_free_bytes: int = 0
    versions: dict[str, str | None] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)  # backend -> what installs it
    broken: dict[str, str] = field(default_factory=dict)  # plugin -> why it was left out
    blas: tuple[str, ...] = ()
    cache: str | None = None
    cache_notice: str = ""
    noise: KnownNoise | None = None


def gather(registry: Registry, noise: KnownNoise | None) -> Facts:
    """Gather the facts; half a second, to see what else runs. noise: what `--noise` found here, now or before."""
    busy, stolen = _watch()
    memory, facts = psutil.virtual_memory(), machine()
    place, notice = _cache()
    return Facts(
        cpu=cpu_model(),
        cores=core_count(),
        logical=os.cpu_count() or 1,
        usable=len(usable_cores()) or os.cpu_count() or 1,
        siblings=_truth(SYSTEM / "cpu/smt/active"),
        governor=facts["governor"],
        boost=_boost(),
        busy=busy,
        stolen=stolen,
        quota=_quota(),
        clock=read_line(SYSTEM / "clocksource/clocksource0/current_clocksource"),
        resolution_seconds=time.get_clock_info("perf_counter").resolution,
        memory_bytes=memory.total,
        memory_free_bytes=memory.available,
        versions={"python": facts["python"], **facts["packages"]},
        absent={info.id: need.remedy for info in registry.backends.values() if (need := info.missing())},
        broken={problem.plugin: problem.message for problem in registry.problems},
        blas=_blas(),
        cache=place,
        cache_notice=notice,
        noise=noise,
    )


def judge(facts: Facts) -> Iterator[HealthCheck]:
    """Yield a line for each topic, in the order of display."""
    yield HealthCheck("processor", facts.cpu)
    for look in (_cores, _siblings, _frequency, _others, _host, _clock, _memory):
        yield look(facts)
    yield HealthCheck(
        "versions", ", ".join(f"{name} {version or 'not installed'}" for name, version in facts.versions.items())
    )
    yield from _plugins(facts)
    yield HealthCheck(
        "threads", "kernels run in Python threads that let go of the GIL; Numba's threading layer is not used"
    )
    for look in (_linear_algebra, _kernels, _noise):
        yield look(facts)


def _cores(facts: Facts) -> HealthCheck:
    value = f"{facts.cores} cores, {facts.logical} logical, {facts.usable} usable"
    if facts.quota is not None and facts.quota < facts.usable:
        value += f", a quota of {facts.quota:g}"
        return HealthCheck(
            "cores", value, "the quota stops us now and then, in the middle of a call", "lift it (--cpus)"
        )
    if facts.usable < 2:
        return HealthCheck("cores", value, "what is measured shares its core with what measures", "allow a second core")
    return HealthCheck("cores", value)


def _siblings(facts: Facts) -> HealthCheck:
    if facts.siblings is None:
        return HealthCheck("siblings", "not told")
    if not facts.siblings:
        return HealthCheck("siblings", "none: every logical core is a core")
    action = f"echo off | sudo tee {SYSTEM / 'cpu/smt/control'}"
    return HealthCheck("siblings", "two logical cores share one", "a busy sibling halves a core's speed", action)


def _frequency(facts: Facts) -> HealthCheck:
    if facts.governor is None and facts.boost is None:
        return HealthCheck("frequency", "not told")
    value = f"governor {facts.governor or 'not told'}, {'boost' if facts.boost else 'no boost'}"
    if facts.governor not in (None, "performance"):
        action = "sudo cpupower frequency-set -g performance"
        return HealthCheck("frequency", value, "the first calls run at a lower clock", action)
    return HealthCheck("frequency", value)


def _others(facts: Facts) -> HealthCheck:
    if facts.busy is None:
        return HealthCheck("other programs", "not told")
    trouble = ("they take turns with what is measured", "end them, or wait") if facts.busy > MOST_BUSY else ()
    return HealthCheck("other programs", f"{facts.busy:.0%} of the processor", *trouble)


def _host(facts: Facts) -> HealthCheck:
    if facts.stolen is None:
        return HealthCheck("other guests", "not told")
    trouble = ("the host gives our time to them", "use a machine of your own") if facts.stolen > MOST_STOLEN else ()
    return HealthCheck("other guests", f"{facts.stolen:.1%} of the processor", *trouble)


def _clock(facts: Facts) -> HealthCheck:
    value = f"{facts.clock or 'not told'}, {facts.resolution_seconds * 1e9:g} ns"
    if facts.clock not in (None, *STEADY_CLOCKS):
        path = SYSTEM / "clocksource/clocksource0/current_clocksource"
        return HealthCheck("clock", value, "reading it takes microseconds", f"echo tsc | sudo tee {path}")
    return HealthCheck("clock", value)


def _memory(facts: Facts) -> HealthCheck:
    value = f"{facts.memory_bytes / GIB:.1f} GiB, {facts.memory_free_bytes / GIB:.1f} available"
    if facts.memory_free_bytes < GIB:
        return HealthCheck("memory", value, "workers of large frameworks will not fit", "end what holds it")
    return HealthCheck("memory", value)


def _plugins(facts: Facts) -> Iterator[HealthCheck]:
    for plugin, message in facts.broken.items():
        yield HealthCheck("plugin", plugin, f"left out: {message}", f"mend it, or turn it off: -p no:{plugin}")
    absent = ", ".join(f"{backend} ({remedy})" for backend, remedy in facts.absent.items())
    yield HealthCheck("backends", f"not installed: {absent}" if absent else "all that are known are installed")


def _linear_algebra(facts: Facts) -> HealthCheck:
    if not facts.blas:
        warning = "its threads cannot be limited, so NumPy's rows are not held to --threads"
        return HealthCheck("BLAS", "none that threadpoolctl knows", warning, "install NumPy from PyPI or conda-forge")
    return HealthCheck("BLAS", "; ".join(facts.blas))


def _kernels(facts: Facts) -> HealthCheck:
    if facts.cache is None:
        what, _, action = facts.cache_notice.rpartition("; ")
        return HealthCheck("kernel cache", "none", f"{what}: every process compiles anew", action)
    return HealthCheck("kernel cache", facts.cache)


def _noise(facts: Facts) -> HealthCheck:
    if facts.noise is None:
        warning = "what this machine shows between two processes of one program is not known"
        return HealthCheck("A/A noise", "not measured", warning, "rnnbench doctor --noise")
    ratio = facts.noise.ratio
    ends = "" if ratio.low is None or ratio.high is None else f" [{ratio.low - 1:+.1%}, {ratio.high - 1:+.1%}]"
    value = f"{ratio.value - 1:+.1%}{ends}, {ratio.count} pairs of processes, {facts.noise.measured}"
    least = minimum_effect(ratio)
    return HealthCheck("A/A noise", f"{value}; speeds closer than {least:.1%} are not told apart")


def _watch() -> tuple[float | None, float | None]:
    """Return the shares of all cores' time that others used, and that the host took, while we slept."""
    before, own = psutil.cpu_times(), time.process_time()
    time.sleep(WATCHED_SECONDS)
    after, own = psutil.cpu_times(), time.process_time() - own
    spent = {name: getattr(after, name) - getattr(before, name) for name in after._fields if "guest" not in name}
    total = sum(spent.values())
    if total <= 0:
        return None, None
    busy = total - spent.get("idle", 0.0) - spent.get("iowait", 0.0) - spent.get("steal", 0.0) - own
    return max(0.0, busy / total), spent["steal"] / total if "steal" in spent else None


def _boost() -> bool | None:
    if (intel := _truth(SYSTEM / "cpu/intel_pstate/no_turbo")) is not None:
        return not intel
    return _truth(SYSTEM / "cpu/cpufreq/boost")


def _quota() -> float | None:
    words = (read_line(Path("/sys/fs/cgroup/cpu.max")) or "max").split()
    return int(words[0]) / int(words[1]) if len(words) == 2 and words[0].isdecimal() else None


def _blas() -> tuple[str, ...]:
    import numpy as np
    from threadpoolctl import threadpool_info

    np.linalg.norm(np.ones(2))  # some are loaded when they are first needed
    found = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return tuple(f"{pool['internal_api']} {pool['version'] or ''}".strip() for pool in found)


def _cache() -> tuple[str | None, str]:
    place, notice = load_factory(CACHE)()
    return (None if place is None else str(place)), notice or ""


def _truth(path: Path) -> bool | None:
    line = read_line(path)
    return None if line is None else line == "1"
