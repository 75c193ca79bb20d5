"""`rnnbench plugins new`: what it writes passes every check as it stands; what it refuses, it refuses in one line."""

import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path
from site import getsitepackages as site_packages

import pytest

import rnnbench
from rnnbench.cli import main

Capture = pytest.CaptureFixture[str]


def run(*command: str, path: Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    search = os.pathsep.join([str(path), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = {**os.environ, "PYTHONPATH": search}
    return subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, env=environment, cwd=folder or path
    )


@pytest.fixture
def package(tmp_path: Path, default_registry: None) -> Path:
    assert main(["plugins", "new", "my-demo", "--in", str(tmp_path)]) == 0
    return tmp_path / "rnnbench-my-demo"


@pytest.mark.usefixtures("default_registry")
def test_it_says_what_is_next(tmp_path: Path, capsys: Capture) -> None:
    assert main(["plugins", "new", "my-demo", "--in", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "  rnnbench plugins check my-demo"


def test_it_writes_a_package(package: Path) -> None:
    written = sorted(str(path.relative_to(package)) for path in package.rglob("*") if path.is_file())
    assert written == ["README.md", "pyproject.toml", "rnnbench_my_demo.py", "tests/test_rnnbench_my_demo.py"]
    assert not any("$" in (package / name).read_text() for name in written)


def test_it_passes_the_check_unedited(package: Path) -> None:
    done = run("rnnbench", "plugins", "check", "my-demo", "-p", "rnnbench_my_demo", path=package)
    assert done.returncode == 0, done.stdout + done.stderr
    unjudged = [line.split("  ")[0] for line in done.stdout.splitlines() if "not judged" in line]
    assert unjudged == ["gradients", "ragged gradients", "training"]


@pytest.mark.skipif(importlib.util.find_spec("hatchling") is None, reason="needs hatchling, which builds the package")
def test_its_tests_pass_once_it_is_installed(package: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    flags = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    built = run("pip", "install", *flags, "--target", str(site), str(package), path=tmp_path)
    assert built.returncode == 0, built.stderr
    done = run("pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(package), path=site, folder=package)
    assert done.returncode == 0, done.stdout
    assert "14 passed, 3 skipped" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("hatchling") is None, reason="needs hatchling, which builds the package")
def test_it_passes_the_check_where_pip_has_installed_it(package: Path, tmp_path: Path) -> None:
    """In a virtual environment of its own, which sees what this one has installed: nothing is fetched."""
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True, symlinks=os.name != "nt")
    python = next(path for path in environment.glob("*/python*") if path.stem == "python")
    (site,) = environment.glob("**/site-packages")
    (site / "ours.pth").write_text("\n".join([str(Path(rnnbench.__file__).parents[1]), *site_packages()]))

    def run_there(*command: str) -> str:
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [str(python), "-m", *command], capture_output=True, text=True, env=clean, cwd=tmp_path, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    flags = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    run_there("pip", "install", *flags, str(package))
    assert "rnnbench-my-demo 0.1.0" in run_there("rnnbench", "plugins", "list")
    assert "FAILED" not in run_there("rnnbench", "plugins", "check", "my-demo")


@pytest.mark.skipif(importlib.util.find_spec("ruff") is None, reason="needs ruff")
def test_its_code_is_formatted(package: Path) -> None:
    done = run("ruff", "format", "--check", "--line-length", "120", str(package), path=package)
    assert done.returncode == 0, done.stdout


def fails(arguments: list[str], capsys: Capture) -> str:
    assert main(["plugins", "new", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.usefixtures("default_registry")
@pytest.mark.parametrize("name", ["", "Torch", "../x", "a b", "x-", "ünï", "x" * 65])
def test_a_name_that_cannot_be_an_id(name: str, tmp_path: Path, capsys: Capture) -> None:
    assert "cannot be a backend's id" in fails(["--in", str(tmp_path), "--", name], capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(package: Path, capsys: Capture) -> None:
    module = package / "rnnbench_my_demo.py"
    module.write_text("mine")
    assert "is there already" in fails(["my-demo", "--in", str(package.parent)], capsys)
    assert module.read_text() == "mine"


@pytest.mark.usefixtures("default_registry")
def test_a_name_that_is_taken(tmp_path: Path, capsys: Capture) -> None:
    assert "there is a backend 'numpy' already" in fails(["numpy", "--in", str(tmp_path)], capsys)


@pytest.mark.usefixtures("default_registry")
def test_a_folder_that_is_not_there(tmp_path: Path, capsys: Capture) -> None:
    assert "does not exist" in fails(["x", "--in", str(tmp_path / "absent")], capsys)


@pytest.mark.usefixtures("default_registry")
def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert "cannot be written: No space left on device" in fails(["x", "--in", str(tmp_path)], capsys)
    assert list(tmp_path.iterdir()) == []
