"""Files whole or not at all; that nothing is lost when we are stopped is tested on the store (test_store.py)."""

import os
import threading
from pathlib import Path
from time import time

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


def test_what_a_dead_writer_left_is_removed_by_the_next_write(target: Path, tmp_path: Path) -> None:
    old, young = tmp_path / f".{'0' * 16}.tmp.onnx", tmp_path / f".{'1' * 16}.tmp"
    others = [tmp_path / name for name in (".0123.tmp", f"{'2' * 16}.tmp", f".{'3' * 16}.tmp~")]
    for path in (old, young, *others):
        path.write_text("half")
        os.utime(path, (0, time() - (5.0 if path == young else 2 * atomic.STALE_SECONDS)))
    atomic.write(target, "whole")
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in (young, target, *others)}


def test_staged_is_put_in_place_through_a_link_with_its_mode(tmp_path: Path) -> None:
    target, link = tmp_path / "deep.onnx", tmp_path / "link.onnx"
    target.write_text("old")
    target.chmod(0o604)
    link.symlink_to(target)
    with atomic.staged(link) as place:
        assert (place.parent, place.suffix) == (tmp_path, ".onnx")
        place.write_text("new")
        assert target.read_text() == "old"
    assert link.is_symlink()
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("new", 0o604)
    stopped = atomic.staged(link)
    stopped.__enter__().write_text("half")
    assert not stopped.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert target.read_text() == "new"
    assert {path.name for path in tmp_path.iterdir()} == {"deep.onnx", "link.onnx"}


def test_a_file_that_may_not_be_written_is_not_replaced(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's answer is put in its mouth: root may write every file."""
    target.write_text("kept")
    monkeypatch.setattr(os, "access", lambda path, mode: not (path == target and mode == os.W_OK))
    for write in (atomic.write, lambda path, text: atomic.staged(path).__enter__()):
        with pytest.raises(PermissionError):
            write(target, "new")
    assert target.read_text() == "kept"
