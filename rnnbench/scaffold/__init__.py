"""Begins a backend of one's own: a package that keeps every promise of the contract, to be changed step by step."""

import re
import shutil
from importlib.resources import files
from pathlib import Path
from string import Template

from rnnbench import __version__
from rnnbench.errors import UsageError

# A backend's id that is the tail of a distribution's name too, and therefore ends in a letter or digit.
NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
TEMPLATES = {
    "pyproject.toml.in": "pyproject.toml",
    "README.md.in": "README.md",
    "module.py.in": "$module.py",
    "test_module.py.in": "tests/test_$module.py",
}


def write_package(name: str, parent: Path) -> Path:
    """Write the folder `rnnbench-NAME`, new in `parent`, with a backend of that id.

    Raises UsageError for a name that cannot be an id, a folder that is there already, or one that cannot be made.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a backend's id; take lower-case letters, digits, '.', '_' and '-' between them, "
            "64 at most"
        )
    words = {"id": name, "module": "rnnbench_" + re.sub("[.-]", "_", name), "version": __version__}
    folder = parent / f"rnnbench-{name}"
    try:
        folder.mkdir()
    except FileExistsError:
        raise UsageError(f"{str(folder)!r} is there already; take another name, or remove it") from None
    except OSError as error:
        raise _unwritable(folder, error) from None
    try:
        _fill(folder, words)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise _unwritable(folder, error) from None
    return folder


def _fill(folder: Path, words: dict[str, str]) -> None:
    for source, target in TEMPLATES.items():
        path = folder / Template(target).substitute(words)
        path.parent.mkdir(exist_ok=True)
        text = files(__name__).joinpath("templates", source).read_text(encoding="utf-8")
        path.write_text(Template(text).substitute(words), encoding="utf-8")


def _unwritable(folder: Path, error: OSError) -> UsageError:
    return UsageError(f"{str(folder)!r} cannot be written: {error.strerror}; name another folder with --in")
