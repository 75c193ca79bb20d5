"""The same checks as continuous integration, each in an environment of its own: `nox`, or `nox -s tests`."""

import nox

nox.options.sessions = ["tests", "lint"]


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Run the default tests on every supported Python that is installed."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """Run the tests that take minutes, but those that need the plugins."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", "-m", "slow", "--ignore=tests/test_peers.py", *session.posargs)


@nox.session
def peers(session: nox.Session) -> None:
    """Run the plugins' own tests, the slow ones too."""
    names = ("torch", "onnxruntime", "openvino", "jax", "lightgbm", "statsforecast")
    session.install("-e", ".[test]", "-e", "./plugins/rnnbench-keras[jax]")
    session.install(*(word for name in names for word in ("-e", f"./plugins/rnnbench-{name}")))
    for name in names:
        session.run("python", "-m", "pytest", "-m", "", f"plugins/rnnbench-{name}")
    for framework in ("jax", "torch"):
        session.run("python", "-m", "pytest", "-m", "", "plugins/rnnbench-keras", env={"KERAS_BACKEND": framework})


@nox.session
def lint(session: nox.Session) -> None:
    """Check format, lint and types."""
    session.install("-e", ".[test,dev]")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy")


@nox.session
def cuda(session: nox.Session) -> None:
    """The CUDA kernels without a GPU: compiled to PTX by half a gigabyte of packages, and run in the simulator."""
    session.install("-e", ".[test,cuda12]")
    tests = ("tests/test_cuda_ptx.py", "tests/test_cuda_simulated.py")
    session.run("python", "-m", "pytest", "-m", "", *tests, *session.posargs)
