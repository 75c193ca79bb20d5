"""The parent's side: every property of a backend in a worker process, so that one that crashes is a result."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache

from rnnbench.backends.base import BackendInfo
from rnnbench.errors import UsageError
from rnnbench.registry import registry
from rnnbench.testing.properties import PROPERTIES, Property
from rnnbench.testing.results import PropertyResult
from rnnbench.testing.work import ConformanceWork
from rnnbench.workers.failure import Failure
from rnnbench.workers.sandbox import Sandbox
from rnnbench.workers.serve import BackendLoader
from rnnbench.workers.worker import Worker, WorkerLimits

WORK = "rnnbench.testing.work:ConformanceWork"
LOADS = "loads"
NAMES = (LOADS, *(each.name for each in PROPERTIES))
PATIENT = WorkerLimits(call_seconds=600.0)  # a property may compile every cell in every dtype


def check_backend(
    info: BackendInfo,
    threads: int = 1,
    on_result: Callable[[PropertyResult], None] | None = None,
    limits: WorkerLimits | None = None,
) -> list[PropertyResult]:
    """Return a result for each of `NAMES`, in that order; `on_result` is called with each as it is made.

    limits: what the worker process may take. Raises UsageError where the backend is not installed.
    """
    if absent := info.missing():
        raise UsageError(f"backend {info.id!r} needs {absent.module}, which is not installed; {absent.remedy}")
    results = []
    with Sandbox(limits or PATIENT) as place:
        inspection = Inspection(place, info, threads)
        for result in in_order(inspection.load, inspection.judge):
            results.append(result)
            if on_result:
                on_result(result)
    return results


def in_order(
    load: Callable[[], PropertyResult], judge: Callable[[Property], PropertyResult]
) -> Iterator[PropertyResult]:
    """Yield every property's result; one that leans on another is not judged where that one is not ok."""
    results = {LOADS: load()}
    yield results[LOADS]
    for each in PROPERTIES:
        lacking = [results[name] for name in (LOADS, *each.needs) if not results[name].ok]
        if lacking:
            first = lacking[0]
            why = first.reason if first.ok is None else f"{first.property!r} comes first"
            results[each.name] = PropertyResult(each.name, None, reason=why)
        else:
            results[each.name] = judge(each)
        yield results[each.name]


class Inspection:
    """One backend's worker, and the next one where it has died."""

    def __init__(self, place: Sandbox, info: BackendInfo, threads: int) -> None:
        self._place, self._info, self._threads = place, info, threads
        self._worker: Worker | None = None

    def load(self) -> PropertyResult:
        try:
            self._live()
        except Failure as failure:
            return PropertyResult(LOADS, False, reason=failure.reason)
        return PropertyResult(LOADS, True, reason="its process starts, and its factory gives a backend")

    def judge(self, judged: Property) -> PropertyResult:
        try:
            return self._live().ask(ConformanceWork.judge, self._info.id, judged.name, self._place.cores)
        except Failure as failure:
            return PropertyResult(judged.name, False, reason=failure.reason)

    def _live(self) -> Worker:
        if self._worker is None or not self._worker.alive:
            self._worker = self._place.start(self._info, self._threads, work=WORK)
            self._worker.receive(BackendLoader.load, self._worker.limits.load_seconds)
        return self._worker


def conformance_tests(backend: str, threads: int = 1) -> Callable[[str], None]:
    """Make a test for pytest, with one case per property: ``test_conformance = conformance_tests("my-backend")``.

    A property that does not apply to the backend is skipped, with the reason. All are judged when the first is asked.
    """
    import pytest

    @cache
    def results() -> dict[str, PropertyResult]:
        return {result.property: result for result in check_backend(registry().backend(backend), threads)}

    @pytest.mark.parametrize("name", NAMES)
    def test_conformance(name: str) -> None:
        result = results()[name]
        if result.ok is None:
            pytest.skip(result.reason)
        assert result.ok, str(result)

    return test_conformance


def imported_by_listing(backend: str) -> list[str]:
    """Return which of a backend's requirements are imported where it is only looked up, in a process of its own."""
    code = f"""
import sys
from rnnbench.registry import registry
print(*(needed.module for needed in registry().backend({backend!r}).requires if needed.module in sys.modules))
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
