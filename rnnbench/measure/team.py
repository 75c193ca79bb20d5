"""The workers of one (threads, dtype, seed): a process for each backend, kept alive for all of its groups."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rnnbench.backends.base import BackendInfo
from rnnbench.measure.failure import Failure
from rnnbench.measure.process import Worker
from rnnbench.measure.workplace import Workplace


@dataclass
class Unloadable:
    """Backends that could not be loaded in this run, and why: they are not tried again for each group."""

    reasons: dict[str, Failure] = field(default_factory=dict)


@dataclass(frozen=True)
class Member:
    """A process to be: the name of its lane and the backend it loads."""

    name: str
    info: BackendInfo


class Team:
    """A context. Workers wait, stopped, until a lane asks them something."""

    def __init__(self, place: Workplace, members: Sequence[Member], threads: int, unloadable: Unloadable) -> None:
        self._place, self._threads, self._unloadable = place, threads, unloadable
        self._members = {member.name: member for member in members}
        self._workers: dict[str, Worker] = {}
        self.versions: dict[str, str] = {}

    def __enter__(self) -> "Team":
        starting = {}
        wanted = [member for member in self._members.values() if member.info.id not in self._unloadable.reasons]
        for position, member in enumerate(wanted):
            starting[member.name] = self._place.start(member.info, self._threads, position)
        for name, worker in starting.items():
            self._settle(self._members[name], worker)
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            self._place.dismiss(worker)

    def worker(self, name: str) -> Worker:
        """The live worker of a member, a fresh one where the last has died. Raises Failure where it cannot load."""
        member = self._members[name]
        if (worker := self._workers.get(name)) and worker.alive:
            return worker
        if worker:
            del self._workers[name]
            self._place.dismiss(worker)
        if member.info.id not in self._unloadable.reasons:
            self._settle(member, self._place.start(member.info, self._threads))
        if reason := self._unloadable.reasons.get(member.info.id):
            raise reason
        return self._workers[name]

    def _settle(self, member: Member, worker: Worker) -> None:
        """Waits until the worker has loaded its backend, or notes why it cannot."""
        try:
            self.versions[member.name] = worker.receive(worker.limits.load_seconds)["version"]
        except Failure as failure:
            if failure.status != "unsupported":  # what it needs is not there, a GPU for one: no fault of its own
                status = failure.status if failure.status in ("timeout", "oom") else "load_error"
                failure = Failure(status, f"could not be loaded: {failure.reason}")
            self._unloadable.reasons[member.info.id] = failure
            self._place.dismiss(worker)
            return
        worker.pause()
        self._workers[member.name] = worker
