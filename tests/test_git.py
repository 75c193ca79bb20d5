"""Git in a repository that a stranger has packed: nothing runs that its configuration, hooks or attributes name."""

import os
import subprocess
from pathlib import Path

import pytest
from scratch_history import Scratch

from rnnbench.cli import main
from rnnbench.errors import UsageError
from rnnbench.machine.git import git
from rnnbench.tracking.commits import Repository

SIGNED = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ==\n -----END PGP SIGNATURE-----\n"
ATTRIBUTES = "*.txt filter=evil diff=evil\nsigned.md export-subst\n*.log filter=odd=evil\n"
PROGRAMS = (
    *("core.fsmonitor", "core.pager", "pager.log", "core.editor", "core.sshCommand", "core.askPass", "diff.external"),
    *("diff.evil.textconv", "diff.evil.command", "filter.evil.clean", "filter.evil.smudge", "filter.odd=evil.clean"),
    *("filter.odd=evil.smudge", "filter.late.process", "gpg.program", "gpg.ssh.program", "credential.helper"),
    *("tar.tar.command", "tar.tgz.command", "alias.log", "alias.status", "core.alternateRefsCommand"),
)


@pytest.fixture
def hostile(tmp_path: Path) -> tuple[Scratch, Path]:
    """A repository, and the file that its programs would leave: each names itself in it."""
    scratch, mark = Scratch(tmp_path / "repository", count=2), tmp_path / "mark"
    root = scratch.root
    for name, text in ((".gitattributes", ATTRIBUTES), ("signed.md", "$Format:%G? %GG$\n"), ("a.log", "log\n")):
        (root / name).write_text(text)
    scratch.git("add", ".")
    scratch.git("commit", "-q", "-m", "With attributes")
    tree, parent = scratch.git("rev-parse", "HEAD^{tree}"), scratch.git("rev-parse", "HEAD")
    who = "S <s@example.invalid> 1700000000 +0000"
    (tmp_path / "commit").write_text(f"tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n{SIGNED}\nSigned\n")
    scratch.git("update-ref", "HEAD", scratch.git("hash-object", "-t", "commit", "-w", str(tmp_path / "commit")))
    for name in PROGRAMS:
        scratch.git("config", name, str(script(tmp_path, mark, name)))
    scratch.git("config", "filter.evil.required", "true")
    scratch.git("config", "log.showSignature", "true")
    for hook in ("post-index-change", "pre-auto-gc", "reference-transaction", "post-checkout"):
        script(tmp_path, mark, hook).rename(root / ".git" / "hooks" / hook)
    for name in ("file.txt", "a.log"):  # another time than the index knows: the content is compared, through filters
        os.utime(root / name, (1, 1))
    return scratch, mark


def script(folder: Path, mark: Path, name: str) -> Path:
    path = folder / f"run-{name.replace('=', '-')}"
    path.write_text(f"#!/bin/sh\necho {name} >> {mark}\ncat\n")
    path.chmod(0o755)
    return path


def plainly(root: Path) -> None:
    """What `history` and `gate` ask, asked without care."""
    for arguments in (["log", "-1", "HEAD"], ["status"], ["archive", "--format=tar", "HEAD"]):
        subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, stdin=subprocess.DEVNULL)


def all_questions(root: Path) -> None:
    repository = Repository(root)
    commit = repository.commit("HEAD")
    assert [one.subject for one in repository.history()][-1] == "Signed"
    assert not repository.changed()
    repository.export(commit, root.parent / "export")
    assert (root.parent / "export" / "file.txt").read_text() == "1"


def test_nothing_runs_that_a_repository_names(hostile: tuple[Scratch, Path]) -> None:
    scratch, mark = hostile
    all_questions(scratch.root)
    assert not mark.exists()
    plainly(scratch.root)
    ran = set(mark.read_text().split())
    assert {"core.fsmonitor", "gpg.program", "filter.evil.clean", "filter.evil.smudge", "post-index-change"} <= ran


@pytest.mark.parametrize(
    "arguments", [["history"], ["gate", "HEAD~1", "--base-python", "/no/python"]], ids=lambda a: a[0]
)
def test_the_commands_run_nothing_either(
    arguments: list[str], hostile: tuple[Scratch, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch, mark = hostile
    monkeypatch.chdir(scratch.root)
    assert main(arguments) != 0
    assert not mark.exists()


def test_the_users_own_configuration_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the environment too, as containers do it."""
    scratch = Scratch(tmp_path / "repository", count=1)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "status.showUntrackedFiles")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "no")
    (scratch.root / "new").write_text("")
    assert git(scratch.root, "status", "--porcelain") == b""


@pytest.mark.parametrize("arguments", [["history"], ["gate", "HEAD~1"], ["compare", "--track"]], ids=lambda a: a[0])
def test_outside_a_repository_is_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert main(arguments) == 2
    assert capsys.readouterr().err == (
        f"error: {str(tmp_path)!r} is in no git repository; change into a checkout of the project\n"
    )


def test_git_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="git cannot be run"):
        Repository(tmp_path)
