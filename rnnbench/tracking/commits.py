"""Commits of the repository around us: what a name stands for, their order, and their files in a folder apart."""

import io
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from rnnbench.errors import UsageError

GIT_SECONDS = 60.0
SHORT = 8  # digits of a commit that are shown


@dataclass(frozen=True)
class Commit:
    """seconds: since 1970, of the commit, not of its author."""

    hash: str
    subject: str
    seconds: int

    def __str__(self) -> str:
        return f"{self.hash[:SHORT]} ({self.subject})"


class Repository:
    """A checkout, found from a folder inside it."""

    def __init__(self, folder: Path) -> None:
        """Raises UsageError outside a repository, or without git."""
        self.root = folder
        self.root = Path(self._git("rev-parse", "--show-toplevel").decode().strip())

    def commit(self, name: str) -> Commit:
        """The commit that `name` (a hash, branch, tag, HEAD~2) stands for. Raises UsageError."""
        try:
            found = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        except UsageError:
            raise UsageError(f"there is no commit {name!r} here; `git log --oneline` lists them") from None
        return self._log("-1", found.decode().strip())[0]

    def history(self) -> list[Commit]:
        """Everything that HEAD stands on, oldest first, parents before children."""
        return self._log("--topo-order", "HEAD")[::-1]

    def changed(self) -> bool:
        """Whether tracked files differ from HEAD. Those under results/ do not count: asv rewrites its own."""
        return bool(
            self._git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)results").strip()
        )

    def export(self, commit: Commit, folder: Path) -> None:
        """The commit's files into `folder`. Unlike `git worktree`, it leaves no trace in the repository, so that
        a run that is killed has nothing to clean up there."""
        with tarfile.open(fileobj=io.BytesIO(self._git("archive", "--format=tar", commit.hash))) as archive:
            archive.extractall(folder, filter="data")

    def _log(self, *which: str) -> list[Commit]:
        lines = self._git("log", "--format=%H%x09%ct%x09%s", *which).decode(errors="replace").splitlines()
        parts = (line.split("\t", 2) for line in lines)
        return [Commit(hash, subject, int(seconds)) for hash, seconds, subject in parts]

    def _git(self, *arguments: str) -> bytes:
        try:
            done = subprocess.run(["git", "-C", str(self.root), *arguments], capture_output=True, timeout=GIT_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UsageError(f"git cannot be run ({error}); commits are read through it") from None
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise UsageError(f"git {arguments[0]} failed: {said[-1] if said else 'it does not say why'}")
        return done.stdout
