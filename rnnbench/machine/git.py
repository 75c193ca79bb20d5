"""Git, asked about a folder, which may be a stranger's: no program runs that its configuration names."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from rnnbench.errors import UsageError

GIT_SECONDS = 60.0
# Whatever else a repository's own configuration could have run by the commands that are asked for here. Filters are
# named by the repository, so they are looked up. An archive may ask for signatures, in a file with `export-subst`.
HARMLESS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.pager": "cat",
    "core.sshCommand": "false",
    "core.askPass": "false",
    "credential.helper": "",
    "diff.external": "",
    "diff.ignoreSubmodules": "all",
    "log.showSignature": "false",
    **{f"gpg{kind}.program": "false" for kind in ("", ".openpgp", ".x509", ".ssh")},
    "gpg.ssh.defaultKeyCommand": "false",
}
FILTER = {"clean": "", "smudge": "", "process": "", "required": "false"}


def git(folder: Path, *arguments: str, seconds: float = GIT_SECONDS) -> bytes:
    """Return what git prints. Raises UsageError where it is not there, fails, or takes longer than `seconds`.

    The user's own configuration holds, but for what would run a program.
    """
    found = _run(folder, ("config", "--null", "--name-only", "--get-regexp", r"^filter\."), HARMLESS, seconds)
    filters = {key.rpartition(".")[0] for key in os.fsdecode(found.stdout).split("\0") if key}
    settings = HARMLESS | {f"{name}.{key}": value for name in sorted(filters) for key, value in FILTER.items()}
    done = _run(folder, arguments, settings, seconds)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        if any("not a git repository" in line for line in said):
            raise UsageError(f"{str(folder)!r} is in no git repository; change into a checkout of the project")
        raise UsageError(f"git {arguments[0]} failed: {said[-1] if said else 'it does not say why'}")
    return done.stdout


def _run(
    folder: Path, arguments: Iterable[str], settings: dict[str, str], seconds: float
) -> subprocess.CompletedProcess[bytes]:
    """Run git with these settings before all others; names of filters may hold what `git -c` would take apart."""
    environment = {**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_ALLOW_PROTOCOL": "none"}
    given = os.environ.get("GIT_CONFIG_COUNT", "")
    first = int(given) if given.isdecimal() else 0
    for number, (key, value) in enumerate(settings.items(), first):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    environment["GIT_CONFIG_COUNT"] = str(first + len(settings))
    command = ["git", "--no-pager", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"git cannot be run ({error}); commits are read through it") from None
