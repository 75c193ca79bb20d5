"""The workers of one (threads, dtype, seed): a process for each backend, kept alive for all of its groups."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rnnbench.backends.base import BackendInfo
from rnnbench.workers.failure import Failure, printable
from rnnbench.workers.sandbox import Sandbox
from rnnbench.workers.serve import BackendLoader
from rnnbench.workers.worker import Worker

PATIENCE = 2  # times that a backend may take too long to load in one run
LONGEST_VERSION = 100  # characters


@dataclass(frozen=True)
class WorkerSpec:
    """A process to be: the name of its run, the backend it loads, and the plugins that it imports, None for all."""

    name: str
    info: BackendInfo
    plugins: tuple[str, ...] | None = None


class WorkerPool:
    """A context. Workers wait, stopped, until a run asks them something. One that dies while it loads is tried once
    more: somebody else may have ended it.

    refused: by backend, that what it needs is not there; it is not tried again in this run, and we add to it. late: how
    often a backend did not load in time. Any other failure to load holds for this pool alone.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        specs: Sequence[WorkerSpec],
        threads: int,
        refused: dict[str, Failure],
        late: Counter[str],
    ) -> None:
        self._sandbox, self._threads, self._refused, self._late = sandbox, threads, refused, late
        self._unloadable: dict[str, Failure] = {}
        self._specs = {spec.name: spec for spec in specs}
        self._workers: dict[str, Worker] = {}
        self.versions: dict[str, str] = {}

    def __enter__(self) -> "WorkerPool":
        starting = {}
        wanted = [spec for spec in self._specs.values() if self._hopeful(spec)]
        for position, spec in enumerate(wanted):
            starting[spec.name] = self._start(spec, position)
        for name, worker in starting.items():
            self._settle(self._specs[name], worker)
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            self._sandbox.dismiss(worker)

    def worker(self, name: str) -> Worker:
        """Return the live worker of a spec, a fresh one where the last has died. Raises Failure if it cannot load."""
        spec = self._specs[name]
        if (worker := self._workers.get(name)) and worker.alive:
            return worker
        if worker:
            del self._workers[name]
            self._sandbox.dismiss(worker)
        if self._hopeful(spec):
            self._settle(spec, self._start(spec))
        if reason := self._refused.get(spec.info.id) or self._unloadable.get(name):
            raise reason
        return self._workers[name]

    def _hopeful(self, spec: WorkerSpec) -> bool:
        """Tell whether to try; note why not where a backend has been late often enough."""
        if self._late[spec.info.id] >= PATIENCE:
            late = Failure("timeout", f"not loaded again after it was late {PATIENCE} times")
            self._unloadable.setdefault(spec.name, late)
        return spec.info.id not in self._refused and spec.name not in self._unloadable

    def _start(self, spec: WorkerSpec, position: int = 0) -> Worker:
        return self._sandbox.start(spec.info, self._threads, position, plugins=spec.plugins)

    def _settle(self, spec: WorkerSpec, worker: Worker, last: bool = False) -> None:
        """Wait until the worker has loaded its backend, or note why it cannot."""
        try:
            version = worker.receive(BackendLoader.load, worker.limits.load_seconds)
        except Failure as failure:
            died = not worker.alive and failure.status == "crashed"
            self._sandbox.dismiss(worker)
            if died and not last:
                self._settle(spec, self._start(spec), last=True)
            elif failure.status == "unsupported":  # what it needs is not there, a GPU for one: no fault of its own
                self._refused[spec.info.id] = failure
            else:
                self._late[spec.info.id] += failure.status == "timeout"
                status = failure.status if failure.status in ("timeout", "oom") else "load_error"
                self._unloadable[spec.name] = Failure(status, f"could not be loaded: {failure.reason}")
            return
        self.versions[spec.name] = printable(version)[:LONGEST_VERSION]
        worker.pause()
        self._workers[spec.name] = worker
