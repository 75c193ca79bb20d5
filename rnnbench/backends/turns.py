"""One call at a time into a session, whichever threads call it."""

import os
import sys
import threading
from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from types import CodeType, FrameType
from typing import Any, TypeVar
from weakref import WeakSet

from rnnbench.backends.base import Session
from rnnbench.errors import UsageError

S = TypeVar("S", bound=type)
LOOK_SECONDS = 1.0  # that a lock is waited for before it is asked whether anybody has it


class Turn:
    """A session's lock. A call within a call (a signal handler's, say) is refused and does not wait for itself.

    A child of fork gets new locks, since a thread that held one is not there to give it back; what that thread left
    half done stays `broken`, and is refused. An interrupt between the taking of the lock and the call leaves it with
    nobody: who waits for it then takes it over.
    """

    __slots__ = ("__weakref__", "broken", "lock")

    def __init__(self) -> None:
        self.lock, self.broken = threading.Lock(), False
        _TURNS.add(self)

    def wait(self) -> None:
        """Take the lock that another thread has. Raises UsageError where this one is in a call already, or a fork came
        in the middle of one."""
        if self.broken or self._calling(sys._getframe(2)):
            raise UsageError(
                "a session takes one call at a time, and this one comes within another, or after a fork during"
                " another; use a session of its own"
            )
        while not self.lock.acquire(timeout=LOOK_SECONDS):
            own = threading.get_ident()
            if not any(self._calling(frame) for thread, frame in sys._current_frames().items() if thread != own):
                return

    def _calling(self, frame: FrameType | None) -> bool:
        """Tell whether a call with this turn is under way in a frame or one that called it."""
        while frame:
            if frame.f_code in _CALLS and frame.f_locals.get("turn") is self:
                return True
            frame = frame.f_back
        return False


_TURNS: WeakSet[Turn] = WeakSet()
_CALLS: set[CodeType] = set()


def _renew_locks() -> None:
    for turn in _TURNS:
        turn.broken = turn.lock.locked()
        turn.lock = threading.Lock()
        if turn.broken:
            turn.lock.acquire()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


def one_call_at_a_time(session: S) -> S:
    """Have a class of sessions take one call at a time: another thread's waits, one within a call raises UsageError.

    Its methods of the contract must not call each other.
    """
    init = session.__init__  # type: ignore[misc]

    @wraps(init)
    def init_with_turn(self: Any, *args: object, **options: object) -> None:
        self._turn = Turn()
        init(self, *args, **options)

    session.__init__ = init_with_turn  # type: ignore[misc]
    for name in ("forward", "step", "gradients", "train_step", "parameters"):
        setattr(session, name, _in_turn(getattr(session, name), getattr(Session, name)))
    return session


# Compiled for each signature, as a dataclass's methods are: a wrapper for any takes 0.2 us more, a tenth of a short
# step. `with` would take 0.1 us more than this.
_SOURCE = """
def call({given}):
    turn = self._turn
    lock = turn.lock
    if not lock.acquire(False):
        turn.wait()
    try:
        return method({names})
    finally:
        lock.release()
"""


def _in_turn(method: Callable[..., object], contract: Callable[..., object]) -> Callable[..., object]:
    parameters = signature(contract).parameters
    given = [name if p.default is Parameter.empty else f"{name}={p.default}" for name, p in parameters.items()]
    scope: dict[str, Any] = {"method": method}
    exec(_SOURCE.format(given=", ".join(given), names=", ".join(parameters)), scope)
    _CALLS.add(scope["call"].__code__)
    return wraps(method)(scope["call"])
