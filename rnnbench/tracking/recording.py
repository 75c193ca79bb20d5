"""Recording a commit: asv runs its own suite here, and the comparison behind it is stored as any other run."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from subprocess import DEVNULL, run

import rnnbench
from rnnbench.errors import UsageError
from rnnbench.records.store import Run, Store
from rnnbench.tracking.commits import Commit, Repository

CONFIGURATION = "asv.conf.json"
STDERR = 2  # the descriptor: asv prints its progress there, away from our results


def record(repository: Repository, results: Path, profile: str) -> tuple[Run, Commit | None]:
    """Run `asv run` in this environment, its output on stderr, and return the run that its suite has stored under
    `results`, with its commit. A dirty tree has none: its run is marked dirty, and asv keeps nothing (--dry-run).

    Raises UsageError where asv, its configuration or this checkout's package is not there, or asv measured nothing.
    """
    _check(repository)
    head = None if repository.changed() else repository.commit("HEAD")
    store = Store(results.absolute())
    before = {known.id for known in store.runs()}
    command = [sys.executable, "-m", "asv", "run", "--python=same", "--show-stderr"]
    command += ["--dry-run"] if head is None else ["--set-commit-hash", head.hash]
    run(
        command,
        cwd=repository.root,
        env=_environment(store.root, profile),
        stdin=DEVNULL,
        stdout=STDERR,
        check=False,  # asv's exit code is not 0 where a single benchmark has failed
    )
    new = [found for found in store.runs() if found.id not in before]
    if not new:
        raise UsageError("asv measured nothing; its own lines above say why (`asv machine --yes` must have been run)")
    return new[-1], head


def _check(repository: Repository) -> None:
    if not (repository.root / CONFIGURATION).is_file():
        raise UsageError(f"there is no {CONFIGURATION} in {repository.root}; --track records commits of rnnbench")
    if find_spec("asv") is None:
        raise UsageError("--track needs asv, which is not installed; pip install 'rnnbench[track]'")
    package = Path(rnnbench.__file__).resolve().parent
    if package.parent != repository.root.resolve():
        raise UsageError(f"rnnbench is imported from {package}, not from this checkout; pip install -e .")


def _environment(results: Path, profile: str) -> dict[str, str]:
    """Return ours for asv, which drops PYTHONPATH unless it is given again, and would measure another rnnbench."""
    environment = {**os.environ, "RNNBENCH_RESULTS": str(results), "RNNBENCH_PROFILE": profile}
    if path := os.environ.get("PYTHONPATH"):
        environment["ASV_PYTHONPATH"] = path
    return environment
