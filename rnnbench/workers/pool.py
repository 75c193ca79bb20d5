"""The workers of one (threads, dtype, seed): a process for each backend, kept alive for all of its groups."""

from collections.abc import Sequence
from dataclasses import dataclass

from rnnbench.backends.base import BackendInfo
from rnnbench.workers.failure import Failure
from rnnbench.workers.sandbox import Sandbox
from rnnbench.workers.serve import BackendLoader
from rnnbench.workers.worker import Worker


@dataclass(frozen=True)
class WorkerSpec:
    """A process to be: the name of its run and the backend it loads."""

    name: str
    info: BackendInfo


class WorkerPool:
    """A context. Workers wait, stopped, until a run asks them something.

    unloadable: by backend, why it cannot be loaded in this run; what is in it is not tried again, and we add to it.
    """

    def __init__(
        self, sandbox: Sandbox, specs: Sequence[WorkerSpec], threads: int, unloadable: dict[str, Failure]
    ) -> None:
        self._sandbox, self._threads, self._unloadable = sandbox, threads, unloadable
        self._specs = {spec.name: spec for spec in specs}
        self._workers: dict[str, Worker] = {}
        self.versions: dict[str, str] = {}

    def __enter__(self) -> "WorkerPool":
        starting = {}
        wanted = [spec for spec in self._specs.values() if spec.info.id not in self._unloadable]
        for position, spec in enumerate(wanted):
            starting[spec.name] = self._sandbox.start(spec.info, self._threads, position)
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
        if spec.info.id not in self._unloadable:
            self._settle(spec, self._sandbox.start(spec.info, self._threads))
        if reason := self._unloadable.get(spec.info.id):
            raise reason
        return self._workers[name]

    def _settle(self, spec: WorkerSpec, worker: Worker) -> None:
        """Wait until the worker has loaded its backend, or note why it cannot."""
        try:
            self.versions[spec.name] = worker.receive(BackendLoader.load, worker.limits.load_seconds)
        except Failure as failure:
            if failure.status != "unsupported":  # what it needs is not there, a GPU for one: no fault of its own
                status = failure.status if failure.status in ("timeout", "oom") else "load_error"
                failure = Failure(status, f"could not be loaded: {failure.reason}")
            self._unloadable[spec.info.id] = failure
            self._sandbox.dismiss(worker)
            return
        worker.pause()
        self._workers[spec.name] = worker
