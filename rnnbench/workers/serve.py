"""A worker process: `python -m rnnbench.workers.serve`. One backend, asked over a pipe of its own.

Requests and replies are lines of JSON (see `messages`); the first request says who we are. Threads are limited by the
environment that the parent gave us and by affinity, before anything heavy is imported. Standard output is turned into
standard error first, so that nothing a plugin prints can be taken for a reply.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rnnbench.workers.messages import Load, Loaded

Action: TypeAlias = Callable[[Mapping[str, object]], Mapping[str, object]]


def main() -> None:
    """Become the worker of the backend that the first request names."""
    from rnnbench.workers.messages import Load, Loaded, answering

    actions: dict[str, Action] = {}

    def load(asked: Load) -> Loaded:
        loaded, own = _load(asked)
        actions.update(own)
        return loaded

    actions.update(answering([load]))
    serve(actions)


def serve(actions: Mapping[str, Action]) -> None:
    """Answer requests until there are no more; `actions` may grow meanwhile."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = os.fdopen(os.dup(0), "rb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    for line in requests:
        request = json.loads(line)
        reply = _answer(actions[request.pop("do")], request)
        replies.write(json.dumps(reply).encode() + b"\n")
        replies.flush()


def _load(asked: "Load") -> tuple["Loaded", dict[str, Action]]:
    """Import the backend and what measures it; return what to answer, and the actions."""
    pin(asked.loading_cores)
    from rnnbench import registry as finder
    from rnnbench.backends.base import load_factory
    from rnnbench.workers.messages import Loaded, answering

    finder.configure(asked.plugins)
    backend = load_factory(asked.factory)(asked.threads)
    actions = answering(load_factory(asked.work)(backend, asked.threads).actions())
    pin(asked.cores)
    return Loaded(str(backend.version)), actions


def _answer(action: Action, request: Mapping[str, object]) -> dict[str, object]:
    """Return the action's result, or the status and reason of its failure. SystemExit is one of them."""
    try:
        return {"done": action(request)}
    except BaseException as error:
        return {"failed": _explain(error)}


def _explain(error: BaseException) -> tuple[str, str]:
    """Return the status and reason that an error stands for."""
    from rnnbench.errors import Unsupported
    from rnnbench.workers.failure import Failure, explain, printable

    if isinstance(error, Failure):
        return error.status, error.reason
    if isinstance(error, Unsupported):
        return "unsupported", printable(str(error)) or "the backend gives no reason"
    return "oom" if isinstance(error, MemoryError) else "crashed", explain(error)


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
