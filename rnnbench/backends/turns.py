"""One call at a time into a session, whichever threads call it."""

import os
import threading
from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import Any, TypeVar
from weakref import WeakSet

from rnnbench.backends.base import Session
from rnnbench.errors import UsageError

S = TypeVar("S", bound=type)


class Turn:
    """A session's lock, and whether a call is being made.

    The lock lets its own thread pass again: a call within a call (a signal handler's, say) is refused and does not wait
    for itself. A child of fork gets new locks, since a thread that held one is not there to give it back; what that
    thread left half done stays `taken`, and is refused.
    """

    __slots__ = ("__weakref__", "lock", "taken")

    def __init__(self) -> None:
        self.lock, self.taken = threading.RLock(), False
        _TURNS.add(self)


_TURNS: WeakSet[Turn] = WeakSet()


def _renew_locks() -> None:
    for turn in _TURNS:
        turn.lock = threading.RLock()


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
# step. `with` leaves no gap in which an interrupt could keep the lock.
_SOURCE = """
def call({given}):
    turn = self._turn
    with turn.lock:
        if turn.taken:
            raise refusal()
        turn.taken = True
        try:
            return method({names})
        finally:
            turn.taken = False
"""


def _in_turn(method: Callable[..., object], contract: Callable[..., object]) -> Callable[..., object]:
    parameters = signature(contract).parameters
    given = [name if p.default is Parameter.empty else f"{name}={p.default}" for name, p in parameters.items()]
    scope: dict[str, Any] = {"method": method, "refusal": _refusal}
    exec(_SOURCE.format(given=", ".join(given), names=", ".join(parameters)), scope)
    return wraps(method)(scope["call"])


def _refusal() -> UsageError:
    return UsageError(
        "a session takes one call at a time, and this one comes within another, or after a fork during another; "
        "use a session of its own"
    )
