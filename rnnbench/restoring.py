"""Puts back what somebody else's code has changed in this process, and names it.

A plugin is imported into the process that measures, or into that of a backend it has nothing to do with: what it does
to the environment, the clock or NumPy's errors would be in every row.
"""

import builtins
import gc
import locale
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

MODULES = (builtins, os, signal, sys, threading, time)  # whose names mean the same afterwards
PUT_ELSEWHERE = ("__warningregistry__", "stdout")


def _names() -> dict[ModuleType, dict[str, object]]:
    return {module: {k: v for k, v in vars(module).items() if k not in PUT_ELSEWHERE} for module in MODULES}


def _put_names(before: dict[ModuleType, dict[str, object]]) -> None:
    for module, names in before.items():
        for added in vars(module).keys() - names.keys() - set(PUT_ELSEWHERE):
            delattr(module, added)
        vars(module).update(names)


def _numpy_errors() -> dict[str, str] | None:
    numpy = sys.modules.get("numpy")
    return numpy.geterr() if numpy else None


def _put_environment(before: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(before)


def _put_hooks(before: tuple[Any, Any]) -> None:
    sys.settrace(before[0])
    sys.setprofile(before[1])


def _put_collector(before: tuple[bool, tuple[int, int, int]]) -> None:
    (gc.enable if before[0] else gc.disable)()
    gc.set_threshold(*before[1])


# What all code of a process shares: how it is read, None where there is no such thing, and how it is put back.
SHARED: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "names of Python's own modules": (_names, _put_names),
    "the environment": (lambda: dict(os.environ), _put_environment),
    "the working directory": (os.getcwd, os.chdir),
    "NumPy's handling of errors": (_numpy_errors, lambda b: sys.modules["numpy"].seterr(**b)),
    "the handlers of signals": (
        lambda: {n: signal.getsignal(n) for n in signal.valid_signals()},
        lambda b: [signal.signal(n, h) for n, h in b.items() if h is not None and h is not signal.getsignal(n)],
    ),
    "what traces or profiles": (lambda: (sys.gettrace(), sys.getprofile()), _put_hooks),
    "the garbage collector": (lambda: (gc.isenabled(), gc.get_threshold()), _put_collector),
    "the cores that it may use": (
        lambda: os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None,
        lambda b: os.sched_setaffinity(0, b),
    ),
    "the locale": (lambda: locale.setlocale(locale.LC_ALL), lambda b: locale.setlocale(locale.LC_ALL, b)),
    "the switch interval": (sys.getswitchinterval, sys.setswitchinterval),
    "the recursion limit": (sys.getrecursionlimit, sys.setrecursionlimit),
    "the filters of warnings": (lambda: list(warnings.filters), lambda b: None),  # by `catch_warnings`
}


@contextmanager
def restored(changed: list[str]) -> Iterator[None]:
    """Put back what changes meanwhile, and add its name to `changed`; threads that were started are named alone. What
    is written to descriptor 1 meanwhile is dropped."""
    before = {name: read() for name, (read, _) in SHARED.items()}
    threads = set(threading.enumerate())
    with warnings.catch_warnings():
        try:
            with _no_output():
                yield
        finally:
            for name, (read, put) in SHARED.items():
                with suppress(Exception):  # the others are put back all the same
                    if before[name] is not None and read() != before[name]:
                        changed.append(name)
                        put(before[name])
            if set(threading.enumerate()) - threads:
                changed.append("the threads that run")


@contextmanager
def _no_output() -> Iterator[None]:
    try:
        output = os.dup(1)
    except OSError:  # closed already
        yield
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)
    try:
        yield
    finally:
        os.dup2(output, 1)
        os.close(output)
