"""Files whole or not at all; that nothing is lost when we are stopped is tested on the store (test_store.py)."""

import os
import threading
from pathlib import Path

import pytest

from rnnbench import atomic


@pytest.fixture(params=["without a name", "with a name"])
def target(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "with a name":
        monkeypatch.setattr(atomic, "_unnamed", lambda *_: None)
    return tmp_path / "report.md"


def test_a_link_is_written_through_or_replaced(target: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.md"
    target.write_text("old")
    link.symlink_to(target)
    atomic.write(link, "new µ")
    assert link.is_symlink()
    assert target.read_bytes() == "new µ".encode()
    atomic.replace(link, b"other")
    assert not link.is_symlink()
    assert (link.read_bytes(), target.read_bytes()) == (b"other", "new µ".encode())
    assert {path.name for path in tmp_path.iterdir()} == {"link.md", "report.md"}


def test_the_mode_of_a_file_stays(target: Path, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic.write(target, "a")
        assert target.stat().st_mode & 0o777 == 0o640
        target.chmod(0o606)
        atomic.write(target, "b")
        assert target.stat().st_mode & 0o777 == 0o606
        atomic.replace(target, b"c", mode=0o600)
        assert target.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def test_devices_and_pipes_are_written_as_they_are(tmp_path: Path) -> None:
    atomic.write(Path("/dev/null"), "gone")
    assert not Path("/dev/null").is_file()
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    atomic.write(pipe, "through")
    reader.join()
    assert read == [b"through"]
    assert pipe.is_fifo()
