"""The `numba` backend: sessions over the compiled kernels. This face says what it is, and imports nothing heavy.

Read `session.py` (a call), `plan.py` (the programs of a size of call), `launches.py` (kernels and their arguments),
`partition.py` (who does which part), `workspace.py` (memory) and `thread_team.py`.
"""

from rnnbench.backends.base import BackendInfo
from rnnbench.hookspecs import hookimpl


@hookimpl
def rnnbench_backends() -> list[BackendInfo]:
    """Yield the backend's description."""
    return [BackendInfo(id="numba", title="Numba kernels", factory="rnnbench.backends.numba_cpu.session:NumbaBackend")]
