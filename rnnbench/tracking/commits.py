"""Commits of the repository around us: what a name stands for, their order, and their files in a folder apart."""

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from rnnbench.errors import UsageError
from rnnbench.machine.git import git

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
        """Find the checkout's root. Raises UsageError outside a repository, or without git."""
        self.root = folder
        self.root = Path(git(self.root, "rev-parse", "--show-toplevel").decode().strip())

    def commit(self, name: str) -> Commit:
        """Return the commit that `name` (a hash, branch, tag, HEAD~2) stands for. Raises UsageError."""
        try:
            found = git(self.root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        except UsageError:
            raise UsageError(f"there is no commit {name!r} here; `git log --oneline` lists them") from None
        return self._log("-1", found.decode().strip())[0]

    def history(self) -> list[Commit]:
        """Return everything that HEAD stands on, oldest first, parents before children."""
        return self._log("--topo-order", "HEAD")[::-1]

    def changed(self) -> bool:
        """Tell whether tracked files differ from HEAD. Those under results/ do not count: asv rewrites its own."""
        status = ("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all")
        return bool(git(self.root, *status, "--", ":/", ":(top,exclude)results").strip())

    def export(self, commit: Commit, folder: Path) -> None:
        """Write the commit's files into `folder`. Unlike `git worktree`, it leaves no trace in the repository, so that
        a run that is killed has nothing to clean up there."""
        with tarfile.open(fileobj=io.BytesIO(git(self.root, "archive", "--format=tar", commit.hash))) as archive:
            archive.extractall(folder, filter="data")

    def _log(self, *which: str) -> list[Commit]:
        lines = git(self.root, "log", "--format=%H%x09%ct%x09%s", *which).decode(errors="replace").splitlines()
        parts = (line.split("\t", 2) for line in lines)
        return [Commit(hash, subject, int(seconds)) for hash, seconds, subject in parts]
