"""The parent's side: every property of a backend in a worker process, so that one that crashes is a finding."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from rnnbench.backends.base import BackendInfo
from rnnbench.errors import UsageError
from rnnbench.registry import registry
from rnnbench.testing.finding import Finding, Judge
from rnnbench.testing.properties import PROPERTIES, Property
from rnnbench.workers.failure import Failure
from rnnbench.workers.messages import Loaded
from rnnbench.workers.sandbox import Sandbox
from rnnbench.workers.worker import Worker, WorkerLimits

WORK = "rnnbench.testing.work:ConformanceWork"
LOADS = "loads"
NAMES = (LOADS, *(each.name for each in PROPERTIES))
PATIENT = WorkerLimits(call_seconds=600.0)  # a property may compile every cell in every dtype
Told = Callable[[Finding], None]


def _nobody(finding: Finding) -> None:
    pass


def check_backend(
    info: BackendInfo, threads: int = 1, told: Told = _nobody, limits: WorkerLimits | None = None
) -> list[Finding]:
    """A finding for each of `NAMES`, in that order; `told` hears each as it is made.

    limits: what the worker process may take. Raises UsageError where the backend is not installed.
    """
    if absent := info.missing():
        raise UsageError(f"backend {info.id!r} needs {absent.module}, which is not installed; {absent.remedy}")
    findings = []
    with Sandbox(limits or PATIENT) as place:
        inspection = Inspection(place, info, threads)
        for finding in in_order(inspection.load, inspection.judge):
            findings.append(finding)
            told(finding)
    return findings


def in_order(load: Callable[[], Finding], judge: Callable[[Property], Finding]) -> Iterator[Finding]:
    """Of every property; one that leans on another is not judged where that one is not ok."""
    findings = {LOADS: load()}
    yield findings[LOADS]
    for each in PROPERTIES:
        lacking = [findings[name] for name in (LOADS, *each.needs) if not findings[name].ok]
        if lacking:
            first = lacking[0]
            why = first.reason if first.ok is None else f"{first.property!r} comes first"
            findings[each.name] = Finding(each.name, None, reason=why)
        else:
            findings[each.name] = judge(each)
        yield findings[each.name]


class Inspection:
    """One backend's worker, and the next one where it has died."""

    def __init__(self, place: Sandbox, info: BackendInfo, threads: int) -> None:
        self._place, self._info, self._threads = place, info, threads
        self._worker: Worker | None = None

    def load(self) -> Finding:
        try:
            self._live()
        except Failure as failure:
            return Finding(LOADS, False, reason=failure.reason)
        return Finding(LOADS, True, reason="its process starts, and its factory gives a backend")

    def judge(self, judged: Property) -> Finding:
        try:
            return self._live().ask(Judge(self._info.id, judged.name, self._place.cores))
        except Failure as failure:
            return Finding(judged.name, False, reason=failure.reason)

    def _live(self) -> Worker:
        if self._worker is None or not self._worker.alive:
            self._worker = self._place.start(self._info, self._threads, work=WORK)
            self._worker.receive(Loaded, self._worker.limits.load_seconds)
        return self._worker


def conformance_tests(backend: str, threads: int = 1) -> Any:
    """A test function for pytest, with one case per property: ``test_conformance = conformance_tests("my-backend")``.

    A property that does not apply to the backend is skipped, with the reason. All are judged when the first is asked.
    """
    import pytest

    @cache
    def findings() -> dict[str, Finding]:
        return {finding.property: finding for finding in check_backend(registry().backend(backend), threads)}

    @pytest.mark.parametrize("name", NAMES)
    def test_conformance(name: str) -> None:
        finding = findings()[name]
        if finding.ok is None:
            pytest.skip(finding.reason)
        assert finding.ok, str(finding)

    return test_conformance
