"""The pages for authors, followed to the letter: their files are written, their commands run, their output compared."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rnnbench.registry import registry
from rnnbench.testing.properties import PROPERTIES

DOCS = Path(__file__).parents[1] / "docs"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NO_NETWORK = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")


@dataclass(frozen=True)
class Command:
    """words as typed, and the lines that the page shows under them: words of each must come, in their order."""

    words: list[str]
    shown: list[str]


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return [body for name, body in FENCE.findall(text) if name == language]


def write_files(page: str, folder: Path) -> None:
    """A Python block begins with the name of its file."""
    for block in blocks(page, "python"):
        name, code = block.split("\n", 1)
        (folder / name.removeprefix("# ")).write_text(code, encoding="utf-8")


def commands(page: str) -> Iterator[Command]:
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            typed, *shown = part.strip().splitlines()
            yield Command(typed.split(), shown)


def follow(page: str, folder: Path) -> None:
    """Installed packages go into a folder beside, which is where all commands look."""
    site = folder.parent / "site"
    environment = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "120", "NO_COLOR": "1"}
    write_files(page, folder)
    count = 0
    for command in commands(page):
        program, *arguments = command.words
        if program == "pip":
            assert arguments[:2] == ["install", "-e"]
            arguments = ["install", *NO_NETWORK, "--target", str(site), *arguments[2:]]
        if program in ("pip", "rnnbench"):
            arguments = ["-m", program, *arguments]
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=folder, env=environment)
        assert done.returncode == 0, f"{command.words}: {done.stdout}{done.stderr}"
        lines = iter(done.stdout.splitlines())
        for wanted in command.shown:
            parts = re.split(r"\s{3,}", wanted.strip())
            assert any(all(part in line for part in parts) for line in lines), f"{wanted!r} not in\n{done.stdout}"
        count += 1
    assert count, "the page has commands"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "here"
    made.mkdir()
    return made


def test_add_a_task(folder: Path) -> None:
    follow("add-a-task.md", folder)


@pytest.mark.slow
def test_add_a_baseline(folder: Path) -> None:
    follow("add-a-baseline.md", folder)


@pytest.mark.slow
def test_forecast_your_own_series(folder: Path) -> None:
    shutil.copy(DOCS.parent / "examples" / "shops.csv", folder)
    follow("forecasting.md", folder)
    week = (folder / "next-week.csv").read_text(encoding="utf-8").splitlines()
    assert week[0] == "shop,ds,y,y-lo-80,y-hi-80,y-lo-95,y-hi-95"
    assert len(week) == 1 + 5 * 7


@pytest.mark.slow
def test_add_a_cell(folder: Path) -> None:
    follow("add-a-cell.md", folder)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("hatchling") is None, reason="needs hatchling, which builds the package")
def test_add_a_backend(folder: Path) -> None:
    follow("add-a-backend.md", folder)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="needs onnx, which the page's model is saved with")
def test_bring_a_trained_model(folder: Path) -> None:
    follow("trained-models.md", folder)


def test_the_page_on_forecasting_names_options_and_baselines_that_exist() -> None:
    text = (DOCS / "forecasting.md").read_text(encoding="utf-8")
    told = ""
    for command in ("compare", "train", "forecast"):
        asked = [sys.executable, "-m", "rnnbench", command, "--help"]
        told += subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    named = set(re.findall(r"--[a-z]+(?:-[a-z]+)*", text))
    assert len(named) > 20
    assert {option for option in named if not re.search(rf"{option}\b", told)} == set()
    methods = text.partition("A row without a backend")[2].partition("explains them")[0]
    assert set(re.findall(r"`([a-z-]+)`", methods)) <= registry().baselines.keys()


def test_the_page_lists_every_promise() -> None:
    text = (DOCS / "add-a-backend.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z ]+) \| (.+) \|$", text, re.MULTILINE)
    listed = {name: promise for name, promise in rows if name in {each.name for each in PROPERTIES}}
    assert listed == {each.name: each.promise for each in PROPERTIES}


def test_the_page_shows_the_sessions_methods_with_their_arguments() -> None:
    import inspect

    from rnnbench import Session

    text = (DOCS / "add-a-backend.md").read_text(encoding="utf-8")
    for name, given in re.findall(r"^\| `(\w+)\((.*?)\) -> ", text, re.MULTILINE):
        parameters = list(inspect.signature(getattr(Session, name)).parameters.values())[1:]
        plain = [p.name if p.default is p.empty else f"{p.name}={p.default}" for p in parameters]
        assert given == ", ".join(plain), name


def test_the_page_on_the_kernels_names_what_exists() -> None:
    root, text = DOCS.parent, (DOCS / "kernels.md").read_text(encoding="utf-8")
    package = root / "rnnbench"
    files = re.findall(r"`(?:python )?([\w/]+\.py)\b", text)
    assert files
    places = (root, package, package / "kernels", package / "backends" / "numba_cpu")
    missing = [name for name in files if not any((at / name).exists() for at in places)]
    assert not missing
    sources = "".join(file.read_text() for part in ("kernels", "backends") for file in (package / part).rglob("*.py"))
    constants = re.findall(r"`([A-Z][A-Z0-9_]+)`", text)
    assert constants
    assert not [name for name in constants if not re.search(rf"\b{name}\b", sources)]
    assert (DOCS / "packed-layout.svg").exists()
