"""`rnnbench --help` answers at once: nothing heavy is imported, whatever is installed."""

import subprocess
import sys
import time

import pytest

HEAVY = ("numba", "llvmlite", "numpy", "pandas", "scipy", "torch", "rich", "pluggy", "psutil")
LIMIT_SECONDS = 0.3  # what a person takes for immediate


def imported_by(*arguments: str) -> set[str]:
    code = (
        "import sys; from rnnbench.cli import main; code = main(sys.argv[1:]);"
        "print('\\n' + ' '.join(sys.modules)); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("command", [(), ("compare",), ("show",), ("list",), ("plugins",), ("plugins", "list")])
def test_help_imports_nothing_heavy(command: tuple[str, ...]) -> None:
    assert not set(HEAVY) & imported_by(*command, "--help")


def test_help_is_immediate() -> None:
    """The best of several, since another process may hold the machine up."""
    times = []
    for _ in range(7):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "rnnbench", "--help"], capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    assert min(times) < LIMIT_SECONDS
