"""`rnnbench --help` answers at once: nothing heavy is imported, whatever is installed."""

import os
import subprocess
import sys
import time

import pytest

FRAMEWORKS = ("torch", "jax", "jaxlib", "keras", "onnx", "onnxruntime", "openvino", "lightgbm", "statsforecast")
HEAVY = ("numba", "llvmlite", "numpy", "pandas", "scipy", "rich", "pluggy", "psutil", *FRAMEWORKS)
LIMIT_SECONDS = 0.3  # what a person takes for immediate


def imported_by(*arguments: str) -> set[str]:
    code = (
        "import sys; from rnnbench.cli import main; code = main(sys.argv[1:]);"
        "print('\\n' + ' '.join(sys.modules)); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("compare",),
        ("train",),
        ("forecast",),
        ("show",),
        ("list",),
        ("plugins",),
        ("plugins", "list"),
        ("warmup",),
        ("cache",),
    ],
)
def test_help_imports_nothing_heavy(command: tuple[str, ...]) -> None:
    assert not set(HEAVY) & imported_by(*command, "--help")


@pytest.mark.parametrize("command", [("list", "backends"), ("plugins", "list")])
def test_listing_imports_no_framework(command: tuple[str, ...]) -> None:
    """Though it loads every plugin that is installed."""
    assert not set(FRAMEWORKS) & imported_by(*command)


def test_help_is_immediate() -> None:
    """In seconds of processor, where the system tells them: another process may hold ours up, but it waits for nothing.
    The best of several."""
    times = []
    for _ in range(7):
        start, before = time.perf_counter(), os.times()
        subprocess.run([sys.executable, "-m", "rnnbench", "--help"], capture_output=True, check=True)
        elapsed, after = time.perf_counter() - start, os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        times.append(used or elapsed)
    assert min(times) < LIMIT_SECONDS
