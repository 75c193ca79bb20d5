"""What a stranger gets: wheels with license, types and a readme whose links lead somewhere; a source archive that is
whole."""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

pytest.importorskip("hatchling")

ROOT = Path(__file__).resolve().parents[1]
PROJECTS = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
TYPED = "Typing :: Typed"
NOT_SHIPPED = {".gitignore"}  # of what is tracked; hatchling adds it by itself
# Run in the unpacked archive: what reads the folders around the package, and a part of each layer of it.
CHECKED = [
    "architecture",
    "absent_frameworks",
    "cells",
    "cli",
    "docs_pages",
    "examples",
    "model",
    "readme",
    "store",
    "tasks",
    "validation",
]


def built(project: Path, target: str, folder: Path) -> Path:
    """Build a project's wheel or source archive, and return it."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=project, check=True, capture_output=True, timeout=120)
    (archive,) = folder.iterdir()
    return archive


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_a_wheel_has_its_license_its_types_and_links_that_lead_somewhere(project: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(built(project, "wheel", tmp_path)) as wheel:
        names = wheel.namelist()
        (license_file,) = (name for name in names if name.endswith(".dist-info/licenses/LICENSE"))
        assert wheel.read(license_file) == (ROOT / "LICENSE").read_bytes()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        told = message_from_bytes(wheel.read(metadata))
    packages = {name.partition("/")[0] for name in names if name.count("/") == 1 and name.endswith("/__init__.py")}
    assert [package for package in packages if f"{package}/py.typed" not in names] == []
    assert (TYPED in told.get_all("Classifier", [])) == bool(packages)
    assert told["License-Expression"] == ("BSD-3-Clause AND CC-BY-4.0" if project == ROOT else "BSD-3-Clause")
    assert any("https://github.com/rnnbench/rnnbench" in url for url in told.get_all("Project-URL", []))
    readme = told.get_payload()
    assert isinstance(readme, str)
    targets = re.findall(r"\]\(([^)]+)\)", readme) + re.findall(r"^\[.+\]: (\S+)$", readme, re.MULTILINE)
    assert targets or "[" not in re.sub(r"`[^`]*`|```.*?```", "", readme, flags=re.DOTALL)
    assert [target for target in targets if not target.startswith("https://")] == []


@pytest.mark.slow
def test_the_source_archive_is_whole_and_passes_its_tests(tmp_path: Path) -> None:
    (tmp_path / "sdist").mkdir()
    with tarfile.open(built(ROOT, "sdist", tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = (path for path in tmp_path.iterdir() if path.name != "sdist")
    if shutil.which("git") and (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.split()
        assert [name for name in listed if name not in NOT_SHIPPED and not (unpacked / name).exists()] == []
    files = [f"tests/test_{name}.py" for name in CHECKED]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    where = [sys.executable, "-c", "import rnnbench; print(rnnbench.__file__)"]
    assert str(unpacked) in subprocess.run(where, cwd=unpacked, capture_output=True, text=True, check=True).stdout
