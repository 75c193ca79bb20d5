"""A worker process: `python -m rnnbench.workers.serve`. One backend, asked over a pipe of its own.

Requests and replies are lines of JSON (see `messages`); the first request says who we are. Threads are limited by the
environment that the parent gave us and by affinity, before anything heavy is imported. Standard output is turned into
standard error first, so that nothing a plugin prints can be taken for a reply.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rnnbench.workers.messages import Action


class BackendLoader:
    """What a worker holds at first: it adds to `actions` those of the backend that the first request names."""

    def __init__(self, actions: dict[str, "Action"]) -> None:
        self._actions = actions

    def load(
        self,
        factory: str,
        work: str,
        threads: int,
        loading_cores: list[int],
        cores: list[int],
        plugins: list[str],
        needed: list[str] | None,
    ) -> str:
        """Import the backend and what measures it; return the backend's version.

        factory: of the backend. work: import path of what makes actions of it. plugins, needed: requests for
        `registry.configure`, and the names of those that are imported; None for all.
        """
        pin(loading_cores)
        from rnnbench import registry as finder
        from rnnbench.backends.base import load_factory
        from rnnbench.workers.messages import answering

        measuring = load_factory(work)  # before any plugin, which may change the modules that tell the time
        finder.configure(plugins, needed)
        backend = load_factory(factory)(threads)
        self._actions.update(answering(measuring(backend, threads)))
        pin(cores)
        return str(backend.version)


def main() -> None:
    """Become the worker of a backend."""
    from rnnbench.workers.failure import fault
    from rnnbench.workers.messages import answering

    adopt_orphans()
    actions: dict[str, Action] = {}
    actions.update(answering(BackendLoader(actions)))
    serve(actions, fault)


def serve(actions: Mapping[str, "Action"], fault: Callable[[BaseException], tuple[str, str]]) -> None:
    """Answer requests until there are no more: by an action's result or, whatever it raises (SystemExit too), by the
    status and reason that `fault` makes of that. `actions` may grow meanwhile. A child that an action has forked, and
    that comes back here, ends: there is one answer."""
    own = os.getpid()
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = os.fdopen(os.dup(0), "rb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    for line in requests:
        request = json.loads(line)
        action = actions[request["do"]]
        try:
            reply: dict[str, object] = {"done": action(request["with"])}
        except BaseException as error:
            reply = {"failed": fault(error)}
        if os.getpid() != own:
            os._exit(1)
        replies.write(json.dumps(reply, default=asdict).encode() + b"\n")
        replies.flush()


def adopt_orphans() -> None:
    """Become the parent of whatever is left behind below us, where the system can: who ends us can then see it."""
    if sys.platform == "linux":
        from ctypes import CDLL

        CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def pin(cores: list[int]) -> None:
    """Move every thread of this process to these cores, where the system can. Threads started later inherit it."""
    if not cores or not hasattr(os, "sched_setaffinity"):
        return
    tasks = Path("/proc/self/task")
    for thread in [int(entry.name) for entry in tasks.iterdir()] if tasks.is_dir() else [0]:
        try:
            os.sched_setaffinity(thread, cores)
        except OSError as error:  # a thread that has just ended, or a container that forbids it
            sys.stderr.write(f"thread {thread} stays where it is: {error}\n")


if __name__ == "__main__":
    main()
