"""Git, asked about a folder."""

import subprocess
from pathlib import Path

from rnnbench.errors import UsageError

GIT_SECONDS = 60.0


def git(folder: Path, *arguments: str, seconds: float = GIT_SECONDS) -> bytes:
    """Return what git prints. Raises UsageError where it is not there, fails, or takes longer than `seconds`."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, timeout=seconds)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"git cannot be run ({error}); commits are read through it") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise UsageError(f"git {arguments[0]} failed: {said[-1] if said else 'it does not say why'}")
    return done.stdout
