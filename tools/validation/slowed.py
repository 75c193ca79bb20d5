"""A plugin: the `numba` backend under another name, as it is and slowed by a known share of each call."""

from dataclasses import replace
from functools import partial
from time import perf_counter

from rnnbench import hookimpl
from rnnbench import registry as plugins
from rnnbench.backends.base import load_factory

AGAIN = "numba-again"
SLOWED = {"numba-slowed-3": 0.03, "numba-slowed-5": 0.05}  # id -> share of a call


class SlowedSession:
    """Passes everything on, and spins after each inference for a share of the time it took."""

    def __init__(self, inner, share):
        self._inner, self._share = inner, share
        self.step, self.gradients = inner.step, inner.gradients
        self.train_step, self.parameters = inner.train_step, inner.parameters

    def forward(self, x, lengths=None, state=None):
        start = perf_counter()
        result = self._inner.forward(x, lengths, state)
        end = start + (perf_counter() - start) * (1 + self._share)
        while perf_counter() < end:
            pass
        return result


class SlowedBackend:
    def __init__(self, inner, share):
        self._inner, self._share = inner, share
        self.version = inner.version
        self.unsupported, self.compile_report = inner.unsupported, inner.compile_report

    def session(self, *arguments):
        return SlowedSession(self._inner.session(*arguments), self._share)


def slowed(share, threads):
    return SlowedBackend(load_factory(plugins.registry().backend("numba").factory)(threads), share)


make_3 = partial(slowed, SLOWED["numba-slowed-3"])
make_5 = partial(slowed, SLOWED["numba-slowed-5"])


@hookimpl
def rnnbench_backends():
    from rnnbench.backends.numba_cpu import rnnbench_backends as originals

    (numba,) = originals()
    yield replace(numba, id=AGAIN, title="numba, a second time")
    for name in SLOWED:
        yield replace(numba, id=name, title=f"numba, slowed by {SLOWED[name]:.0%}", factory=f"slowed:make_{name[-1]}")
