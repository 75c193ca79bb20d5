"""What the shell offers on TAB: names that are registered, ids of stored runs. Silent where something is wrong."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import click

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


@contextmanager
def _silent() -> Iterator[None]:
    """Swallow errors and what is written meanwhile: both would land in the line that somebody is typing."""
    import io
    from contextlib import redirect_stderr, redirect_stdout, suppress

    with suppress(Exception), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


def registered(kind: str) -> Complete:
    """Return what completes names of a kind ("cells", "tasks", ...), after a comma too."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        before, comma, start = incomplete.rpartition(",")
        names: Iterable[str] = ()
        with _silent():
            from rnnbench.registry import registry

            names = getattr(registry(), kind)
        taken = before.split(",")
        return [before + comma + name for name in sorted(names) if name.startswith(start) and name not in taken]

    return complete


NAMES = {f"--{kind[:-1]}": registered(kind) for kind in ("cells", "tasks", "backends")}  # by the flag that takes them


def stored_runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return "latest" and the ids of the runs under --results, the newest first."""
    ids: list[str] = []
    with _silent():
        from pathlib import Path

        from rnnbench.records.store import Store

        ids = ["latest", *(run.id for run in reversed(Store(Path(ctx.params["results"])).runs()))]
    return [name for name in ids if name.startswith(incomplete)]
